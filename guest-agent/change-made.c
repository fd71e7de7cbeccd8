/* SPDX-License-Identifier: MIT */
/*
 * Copies of the databases (libmlimg/accounts.h, packages.h) as a change leaves them in the upper:
 * without them nobody could tell later what a user has done to them since, so that it could be
 * merged into what they were before.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/change-stage-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/reconcile-plan.h"

static int copy(struct staging *s, int from_fd, const char *name, const char *path)
{
	mlimg_autoclose int from = -1, made = -1, to = -1;
	mlimg_autofree char *text = NULL;
	size_t size;
	int r;

	from = openat(from_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (from < 0)
		return mlimg_err_set(s->err, errno, "open 'user/upper/%s'", path);
	r = mlimg_read_fd(from, path, MLIMG_RECORDS_SIZE_MAX, &text, &size, s->err);
	if (r == -EFBIG)
		return 0; /* which is not merged either */
	if (r < 0)
		return r;
	if (mkdirat(s->c.undo_fd, MLIMG_CHANGE_MADE, 0700) < 0 && errno != EEXIST)
		return mlimg_err_set(s->err, errno, "make '" MLIMG_CHANGE_MADE "'");
	made = openat(
		s->c.undo_fd, MLIMG_CHANGE_MADE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = made < 0 ? -errno : mlimg_change_make_way(made, path, 0700);
	if (r == 0) {
		to = openat(
			made, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
		r = to < 0 ? -errno : mlimg_write_all(to, text, size);
	}
	return r < 0 ? mlimg_err_set(s->err, r, "copy '/%s'", path) : 0;
}

int stage_keep_made(struct staging *s, const char *slot, const char *path)
{
	return mlimg_reconcile_is_database(path) ? copy(s, s->c.new_fd, slot, path) : 0;
}

/* One that the steps leave alone. */
static int keep_one(struct staging *s, int dir_fd, const char *name, const char *path)
{
	struct stat st;

	if (!mlimg_reconcile_is_database(path) || mlimg_path_map_covers(&s->gone, path))
		return 0;
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return mlimg_change_is_nowhere(-errno)
			? 0
			: mlimg_err_set(s->err, errno, "look at 'user/upper/%s'", path);
	return S_ISREG(st.st_mode) ? copy(s, dir_fd, name, path) : 0;
}

static int keep_in(struct staging *s, const char *dir_path)
{
	mlimg_autoclose int fd =
		mlimg_open_beneath_strict(s->c.upper_fd, dir_path, O_RDONLY | O_DIRECTORY);
	mlimg_autoclosedir DIR *dir = NULL;
	const struct dirent *entry;
	int r = 0;

	if (mlimg_change_is_nowhere(fd))
		return 0;
	dir = fd < 0 ? NULL : mlimg_dir_open(fd, ".");
	if (!dir)
		return mlimg_err_set(s->err, fd < 0 ? fd : errno, "open 'user/upper/%s'", dir_path);
	while (r == 0 && (entry = readdir(dir))) {
		mlimg_autofree char *path = NULL;

		if (asprintf(&path, "%s/%s", dir_path, entry->d_name) < 0)
			return stage_no_memory(s);
		r = keep_one(s, fd, entry->d_name, path);
	}
	return r;
}

int stage_keep_rest(struct staging *s)
{
	static const char *const dirs[] = {"etc", "var/lib/dpkg", "var/lib/dpkg/alternatives",
		"var/lib/dpkg/triggers", "var/lib/apt", "var/cache/debconf"};
	int r = 0;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs) && r == 0; i++)
		r = keep_in(s, dirs[i]);
	return r;
}
