/* SPDX-License-Identifier: MIT */
#include "guest-agent/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/file-flags.h"
#include "libmlimg/boot.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

#define LAST "identity"    /* in the user layer's /mlimg: the last word, and a newline */
#define NEW "identity-new" /* the word that LAST will have */
#define NAME_SIZE 320      /* of a file that is aside: a name, and its directories */

/* Names that begin and end so. */
static const struct place {
	const char *dir, *begin, *end;
	bool is_emptied; /* not missing afterwards */
} places[] = {
	{"etc", "machine-id", "", true},
	{"var/lib/dbus", "machine-id", "", false},
	{"etc/ssh", "ssh_host_", "_key", false},
	{"etc/ssh", "ssh_host_", "_key.pub", false},
	{"etc/ssh", "ssh_host_", "_key-cert.pub", false},
	{"etc/dropbear", "dropbear_", "_host_key", false},
	{"var/lib/systemd", "random-seed", "", false},
	{"var/lib/urandom", "random-seed", "", false},
};

static bool is_in(const struct place *place, const char *name)
{
	size_t begin = strlen(place->begin), end = strlen(place->end), size = strlen(name);

	if (!end)
		return strcmp(name, place->begin) == 0;
	return size > begin + end && strncmp(name, place->begin, begin) == 0 &&
		strcmp(name + size - end, place->end) == 0;
}

/* Where files go. */
struct aside {
	int fd;
	size_t n;
};

static int error(const struct place *place, const char *name, int code, struct mlimg_err *err)
{
	return mlimg_err_set(err, code, "set '%s/%.255s' aside", place->dir, name);
}

static void name_aside(const struct place *place, const char *name, char ret_name[NAME_SIZE])
{
	snprintf(ret_name, NAME_SIZE, "%s/%.255s", place->dir, name);
	for (char *c = ret_name; *c; c++)
		if (*c == '/')
			*c = '-';
}

/* An empty one takes its place in the same step; one may be left of a boot that was cut off. */
static int exchange(int dir_fd, const char *name, int aside_fd, const char *aside)
{
	mlimg_autoclose int fd = openat(
		aside_fd, aside, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0444);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || fchmod(fd, 0444) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size)
		return -EEXIST;
	return renameat2(dir_fd, name, aside_fd, aside, RENAME_EXCHANGE) < 0 ? -errno : 0;
}

static int put_aside(const struct place *place, int dir_fd, const char *name, struct aside *aside,
	struct mlimg_err *err)
{
	mlimg_autoclose int fd =
		openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	char to[NAME_SIZE];
	struct stat st;
	int r;

	/* A whiteout, a symbolic link: nothing of this guest's own. */
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return 0;
	r = mlimg_file_flags_clear(fd);
	if (r < 0)
		return error(place, name, r, err);
	name_aside(place, name, to);
	if (place->is_emptied)
		r = exchange(dir_fd, name, aside->fd, to);
	else if (renameat2(dir_fd, name, aside->fd, to, RENAME_NOREPLACE) < 0)
		r = -errno;
	if (r < 0)
		return error(place, name, r, err);
	aside->n++;
	return 0;
}

static int search(
	int upper_fd, const struct place *place, struct aside *aside, struct mlimg_err *err)
{
	mlimg_autoclose int dir_fd = mlimg_open_beneath_strict(
		upper_fd, place->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	mlimg_autoclosedir DIR *dir = dir_fd < 0 ? NULL : mlimg_dir_open(dir_fd, ".");
	const struct dirent *entry;
	int r = 0;

	/* Not there, or no directory. */
	if (!dir)
		return 0;
	while (r == 0 && (errno = 0, (entry = readdir(dir))))
		if (is_in(place, entry->d_name))
			r = put_aside(place, dir_fd, entry->d_name, aside, err);
	if (r == 0 && errno)
		r = mlimg_err_set(err, errno, "read '%s'", place->dir);
	return r;
}

static int open_aside(int own_fd, const char *word, struct mlimg_err *err)
{
	char path[MLIMG_BOOT_RESET_MAX + 32];
	int fd;

	snprintf(path, sizeof(path), "aside/identity-%s", word);
	if ((mkdirat(own_fd, "aside", 0700) < 0 && errno != EEXIST) ||
		(mkdirat(own_fd, path, 0700) < 0 && errno != EEXIST))
		return mlimg_err_set(err, errno, "make '%s'", path);
	fd = mlimg_open_beneath_strict(own_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	return fd < 0 ? mlimg_err_set(err, fd, "open '%s'", path) : fd;
}

/* An empty directory tells nobody anything. */
static void drop_aside(int own_fd, const char *word)
{
	char path[MLIMG_BOOT_RESET_MAX + 32];

	snprintf(path, sizeof(path), "aside/identity-%s", word);
	unlinkat(own_fd, path, AT_REMOVEDIR);
}

static bool is_done(int own_fd, const char *word)
{
	mlimg_autofree char *last = NULL;
	size_t size;

	if (mlimg_read_beneath(own_fd, LAST, MLIMG_BOOT_RESET_MAX + 1, &last, &size, NULL) < 0)
		return false;
	last[strcspn(last, "\n")] = '\0';
	return strcmp(last, word) == 0;
}

/* Before anything is moved: on a full disk it could not be remembered afterwards. */
static int write_word(int own_fd, const char *word, struct mlimg_err *err)
{
	char line[MLIMG_BOOT_RESET_MAX + 2];

	snprintf(line, sizeof(line), "%s\n", word);
	return mlimg_replace_file(own_fd, NEW, line, strlen(line), 0644, err);
}

static int note_done(int own_fd, struct mlimg_err *err)
{
	/* What was moved before the word: it must not be remembered without that. */
	if (syncfs(own_fd) < 0)
		return mlimg_err_set(err, errno, "write what was set aside");
	if (renameat(own_fd, NEW, own_fd, LAST) < 0 || fsync(own_fd) < 0)
		return mlimg_err_set(err, errno, "rename '" NEW "'");
	return 0;
}

int mlimg_identity_renew(int user_fd, const char *word, size_t *ret_n, struct mlimg_err *err)
{
	mlimg_autoclose int own_fd =
		mlimg_open_beneath_strict(user_fd, "mlimg", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	mlimg_autoclose int upper_fd =
		mlimg_open_beneath_strict(user_fd, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	mlimg_autoclose int aside_fd = -1;
	struct aside aside;
	int r = 0;

	*ret_n = 0;
	if (own_fd < 0 || upper_fd < 0)
		return mlimg_err_set(err, own_fd < 0 ? own_fd : upper_fd, "open the user layer");
	if (is_done(own_fd, word))
		return 0;
	r = write_word(own_fd, word, err);
	if (r < 0)
		return r;
	aside_fd = open_aside(own_fd, word, err);
	if (aside_fd < 0)
		return aside_fd;
	aside = (struct aside){.fd = aside_fd};
	for (size_t i = 0; r == 0 && i < sizeof(places) / sizeof(places[0]); i++)
		r = search(upper_fd, &places[i], &aside, err);
	*ret_n = aside.n;
	drop_aside(own_fd, word);
	return r < 0 ? r : note_done(own_fd, err);
}
