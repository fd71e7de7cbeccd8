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
#include "guest-agent/file-flags.h"
#include "libmlimg/boot.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

#define LAST "reset"    /* the last word, and a newline */
#define NEW "reset-new" /* what is under way */

#define ASIDE_TRIES 1000000
#define BEGUN_MAX (MLIMG_BOOT_RESET_MAX + MLIMG_BOOT_RESET_ASIDE_SIZE + 1)

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

/* umask or not. @return its descriptor */
static int make_dir(int dirfd, const char *name, mode_t mode, struct mlimg_err *err)
{
	mlimg_autoclose int fd = -1;

	if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
		return mlimg_err_set(err, errno, "make directory '%s'", name);
	fd = open_dir(dirfd, name, err);
	if (fd >= 0 && fchmod(fd, mode) < 0)
		return mlimg_err_set(err, errno, "set the mode of '%s'", name);
	return fd < 0 ? fd : mlimg_steal_fd(&fd);
}

/* Reads LAST or MLIMG_RESET_BEGUN. A file that is not what this module writes is as good as none. */
static void read_reset(int own_fd, const char *name, struct mlimg_boot_reset *ret)
{
	mlimg_autofree char *text = NULL;
	char *aside;
	size_t size;

	memset(ret, 0, sizeof(*ret));
	if (mlimg_read_beneath(own_fd, name, BEGUN_MAX, &text, &size, NULL) < 0)
		return;
	aside = text + strcspn(text, "\n");
	if (*aside)
		*aside++ = '\0';
	aside[strcspn(aside, "\n")] = '\0';
	if (!mlimg_boot_reset_is_valid(text))
		return;
	strcpy(ret->word, text);
	/* One that was begun before names had a line. */
	snprintf(ret->aside, sizeof(ret->aside), "reset-%s", text);
	if (*aside && !strchr(aside, '/') && strlen(aside) < sizeof(ret->aside))
		strcpy(ret->aside, aside);
}

/* The first name that is free: the same word may have come before, and others in between. */
static int name_aside(int own_fd, struct mlimg_boot_reset *reset, struct mlimg_err *err)
{
	mlimg_autoclose int aside_fd = make_dir(own_fd, "aside", 0700, err);
	struct stat st;

	if (aside_fd < 0)
		return aside_fd;
	for (int n = 1; n < ASIDE_TRIES; n++) {
		snprintf(reset->aside, sizeof(reset->aside), n == 1 ? "reset-%s" : "reset-%s-%d",
			reset->word, n);
		if (fstatat(aside_fd, reset->aside, &st, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		return errno == ENOENT
			? 0
			: mlimg_err_set(err, errno, "look at 'aside/%s'", reset->aside);
	}
	return mlimg_err_set(err, EEXIST, "make 'aside/%s'", reset->aside);
}

/* @more: another line, or "" */
static int write_lines(
	int own_fd, const char *name, const char *word, const char *more, struct mlimg_err *err)
{
	char text[BEGUN_MAX + 1];

	snprintf(text, sizeof(text), "%s\n%s%s", word, more, *more ? "\n" : "");
	return mlimg_replace_file(own_fd, name, text, strlen(text), 0644, err);
}

/* What is immutable or append-only cannot be renamed. */
static int clear_flags(int dirfd, const char *name, struct mlimg_err *err)
{
	mlimg_autoclose int fd = open_dir(dirfd, name, NULL);
	int r = fd < 0 ? 0 : mlimg_file_flags_clear(fd);

	return r < 0 ? mlimg_err_set(err, r, "clear the flags of '%s'", name) : 0;
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
	r = clear_flags(user_fd, name, err);
	if (r < 0)
		return r;
	if (renameat2(user_fd, name, new_fd, name, RENAME_EXCHANGE) < 0)
		return mlimg_err_set(err, errno, "set '%s' aside", name);
	return 0;
}

/* Whoever wants the old changes back needs to know what they were made on. */
static int copy_state(int own_fd, int new_fd, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_read_beneath(own_fd, "state.json", MLIMG_BOOT_STATE_MAX, &text, &size, err);

	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : mlimg_replace_file(new_fd, "state.json", text, size, 0644, err);
}

static int set_aside(int user_fd, int own_fd, const char *name, struct mlimg_err *err)
{
	mlimg_autoclose int aside_fd = make_dir(own_fd, "aside", 0700, err), new_fd = -1;
	struct stat st;
	int r = 0;

	if (aside_fd < 0)
		return aside_fd;
	/* All but the last lines was done before it was cut off. */
	if (fstatat(aside_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	new_fd = make_dir(own_fd, NEW, 0700, err);
	if (new_fd < 0)
		return new_fd;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && r == 0; i++)
		r = change_places(user_fd, new_fd, parts[i].name, parts[i].mode, err);
	if (r == 0)
		r = copy_state(own_fd, new_fd, err);
	if (r == 0 && renameat2(own_fd, NEW, aside_fd, name, RENAME_NOREPLACE) < 0)
		r = mlimg_err_set(err, errno, "rename '" NEW "' to 'aside/%s'", name);
	return r;
}

/* From any point to the end. */
static int carry_out(
	int user_fd, int own_fd, const struct mlimg_boot_reset *reset, struct mlimg_err *err)
{
	int r = set_aside(user_fd, own_fd, reset->aside, err);

	if (r < 0)
		return r;
	/* Of the upper that is gone; another one must not get it back. */
	mlimg_change_forget(own_fd);
	/* The renames before the word: it must not be remembered without them. */
	if (syncfs(user_fd) < 0)
		return mlimg_err_set(err, errno, "write what was set aside");
	r = write_lines(own_fd, LAST, reset->word, "", err);
	if (r == 0 && unlinkat(own_fd, MLIMG_RESET_BEGUN, 0) < 0 && errno != ENOENT)
		r = mlimg_err_set(err, errno, "remove '" MLIMG_RESET_BEGUN "'");
	return r;
}

bool mlimg_reset_is_pending(int own_fd)
{
	struct mlimg_boot_reset begun;

	read_reset(own_fd, MLIMG_RESET_BEGUN, &begun);
	return begun.word[0] != '\0';
}

int mlimg_reset(
	int user_fd, const char *word, struct mlimg_boot_reset *ret_done, struct mlimg_err *err)
{
	mlimg_autoclose int own_fd = open_dir(user_fd, "mlimg", err);
	struct mlimg_boot_reset reset, last;
	int r = 0;

	memset(ret_done, 0, sizeof(*ret_done));
	if (own_fd < 0)
		return own_fd;
	read_reset(own_fd, MLIMG_RESET_BEGUN, &reset);
	if (reset.word[0])
		r = carry_out(user_fd, own_fd, &reset, err);
	if (r < 0)
		return r;
	*ret_done = reset;
	read_reset(own_fd, LAST, &last);
	if (!word || strcmp(word, last.word) == 0)
		return 0;
	strcpy(reset.word, word);
	r = name_aside(own_fd, &reset, err);
	if (r == 0)
		r = write_lines(own_fd, MLIMG_RESET_BEGUN, reset.word, reset.aside, err);
	if (r == 0)
		r = carry_out(user_fd, own_fd, &reset, err);
	if (r == 0)
		*ret_done = reset;
	return r;
}
