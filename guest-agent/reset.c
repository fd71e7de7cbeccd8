/* SPDX-License-Identifier: MIT */
#include "guest-agent/reset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/carve.h"
#include "guest-agent/change.h"
#include "libmlimg/boot.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

#define LAST "reset"        /* the last word, and a newline */
#define BEGUN "reset-begun" /* the word of what is under way, in the same form */
#define NEW "reset-new"     /* what is under way */

/* "WORD\n" and one byte more, which no word has. */
#define LAST_MAX (MLIMG_BOOT_RESET_MAX + 2)

/* What changes places, and the mode of the empty one: the upper's is that of the merged root. */
static const struct {
	const char *name;
	mode_t mode;
} parts[] = {{"upper", 0755}, {MLIMG_CARVE_DIR, 0700}};

static int open_dir(int dirfd, const char *name, struct mlimg_err *err)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? mlimg_err_set(err, errno, "open '%s'", name) : fd;
}

/* umask or not. */
static int make_dir(int dirfd, const char *name, mode_t mode, struct mlimg_err *err)
{
	if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
		return mlimg_err_set(err, errno, "make directory '%s'", name);
	if (fchmodat(dirfd, name, mode, 0) < 0)
		return mlimg_err_set(err, errno, "set the mode of '%s'", name);
	return 0;
}

/* Reads LAST or BEGUN. A file that is not what this module writes is as good as none: "". */
static void read_word(int own_fd, const char *name, char ret_word[MLIMG_BOOT_RESET_MAX + 1])
{
	mlimg_autofree char *text = NULL;
	size_t size;

	ret_word[0] = '\0';
	if (mlimg_read_file(own_fd, name, LAST_MAX, &text, &size, NULL) < 0)
		return;
	text[strcspn(text, "\n")] = '\0';
	if (mlimg_boot_reset_is_valid(text))
		strcpy(ret_word, text);
}

static int write_word(int own_fd, const char *name, const char *word, struct mlimg_err *err)
{
	char line[LAST_MAX];

	snprintf(line, sizeof(line), "%s\n", word);
	return mlimg_replace_file(own_fd, name, line, strlen(line), 0644, err);
}

static int change_places(
	int user_fd, int new_fd, const char *name, mode_t mode, struct mlimg_err *err)
{
	struct stat st;
	int r;

	if (fstatat(user_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : mlimg_err_set(err, errno, "look at '%s'", name);
	if (mkdirat(new_fd, name, mode) < 0 && errno != EEXIST)
		return mlimg_err_set(err, errno, "make directory '%s'", name);
	r = mlimg_dir_has_entries(new_fd, name);
	if (r)
		return r < 0 ? mlimg_err_set(err, r, "read '%s'", name) : 0;
	if (fchmodat(new_fd, name, mode, 0) < 0)
		return mlimg_err_set(err, errno, "set the mode of '%s'", name);
	if (renameat2(user_fd, name, new_fd, name, RENAME_EXCHANGE) < 0)
		return mlimg_err_set(err, errno, "set '%s' aside", name);
	return 0;
}

/* Whoever wants the old changes back needs to know what they were made on. */
static int copy_state(int own_fd, int new_fd, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_read_file(own_fd, "state.json", MLIMG_BOOT_STATE_MAX, &text, &size, err);

	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : mlimg_replace_file(new_fd, "state.json", text, size, 0644, err);
}

static int set_aside(int user_fd, int own_fd, const char *name, struct mlimg_err *err)
{
	mlimg_autoclose int new_fd = -1, aside_fd = -1;
	int r = make_dir(own_fd, NEW, 0700, err);

	if (r < 0)
		return r;
	new_fd = open_dir(own_fd, NEW, err);
	if (new_fd < 0)
		return new_fd;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && r == 0; i++)
		r = change_places(user_fd, new_fd, parts[i].name, parts[i].mode, err);
	if (r == 0)
		r = copy_state(own_fd, new_fd, err);
	if (r == 0)
		r = make_dir(own_fd, "aside", 0700, err);
	if (r < 0)
		return r;
	aside_fd = open_dir(own_fd, "aside", err);
	if (aside_fd < 0)
		return aside_fd;
	if (renameat2(own_fd, NEW, aside_fd, name, RENAME_NOREPLACE) < 0)
		return mlimg_err_set(err, errno, "rename '" NEW "' to 'aside/%s'", name);
	return 0;
}

/* From any point to the end. */
static int carry_out(int user_fd, int own_fd, const char *word, struct mlimg_err *err)
{
	char name[sizeof("aside/reset-") + MLIMG_BOOT_RESET_MAX];
	struct stat st;
	int r = 0;

	/* Of the upper that goes; another one must not get it back. */
	mlimg_change_forget(own_fd);
	snprintf(name, sizeof(name), "aside/reset-%s", word);
	if (fstatat(own_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = set_aside(user_fd, own_fd, name + strlen("aside/"), err);
	if (r < 0)
		return r;
	/* The renames before the word: it must not be remembered without them. */
	if (syncfs(user_fd) < 0)
		return mlimg_err_set(err, errno, "write what was set aside");
	r = write_word(own_fd, LAST, word, err);
	if (r == 0 && unlinkat(own_fd, BEGUN, 0) < 0 && errno != ENOENT)
		r = mlimg_err_set(err, errno, "remove '" BEGUN "'");
	return r;
}

/* @return 1 when there was one */
static int end_begun(
	int user_fd, int own_fd, char ret_word[MLIMG_BOOT_RESET_MAX + 1], struct mlimg_err *err)
{
	int r;

	read_word(own_fd, BEGUN, ret_word);
	if (!ret_word[0])
		return 0;
	r = carry_out(user_fd, own_fd, ret_word, err);
	return r < 0 ? r : 1;
}

int mlimg_reset(int user_fd, const char *word, char ret_done[MLIMG_BOOT_RESET_MAX + 1],
	struct mlimg_err *err)
{
	mlimg_autoclose int own_fd = open_dir(user_fd, "mlimg", err);
	char begun[MLIMG_BOOT_RESET_MAX + 1], last[MLIMG_BOOT_RESET_MAX + 1];
	int r;

	ret_done[0] = '\0';
	if (own_fd < 0)
		return own_fd;
	r = end_begun(user_fd, own_fd, begun, err);
	if (r < 0)
		return r;
	strcpy(ret_done, begun);
	read_word(own_fd, LAST, last);
	if (!word || strcmp(word, last) == 0)
		return 0;
	r = write_word(own_fd, BEGUN, word, err);
	if (r == 0)
		r = carry_out(user_fd, own_fd, word, err);
	if (r == 0)
		strcpy(ret_done, word);
	return r;
}
