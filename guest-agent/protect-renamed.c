/* SPDX-License-Identifier: MIT */
/* What a user has renamed or copied, when what it is from shows in its own place again. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "guest-agent/origins.h"
#include "guest-agent/protect-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/walk.h"
#include "libmlimg/whiteout.h"

/* All that were renamed, parents before what is below them. */
struct renamed {
	struct {
		char *path, *from; /* where it is, and where the layers have it */
	} * at;
	size_t n;
};

static void renamed_done(struct renamed *all)
{
	while (all->n > 0) {
		all->n--;
		free(all->at[all->n].path);
		free(all->at[all->n].from);
	}
	free(all->at);
}

/* Where the layers have what shows at @path: the directory nearest above that was renamed decides. */
static bool origin_of(
	const struct renamed *all, const char *path, char ret_from[MLIMG_PATH_MAX + 1])
{
	for (size_t i = all->n; i-- > 0;)
		if (mlimg_path_is_below(path, all->at[i].path)) {
			strcpy(ret_from, all->at[i].from);
			return mlimg_cover_append(ret_from, path + strlen(all->at[i].path) + 1);
		}
	strcpy(ret_from, path);
	return true;
}

/* An absolute redirect counts from the layers' root, another one from the directory that it is in. */
static bool resolve(const struct renamed *all, const char *path, const struct mlimg_xattr *redirect,
	char ret_from[MLIMG_PATH_MAX + 1])
{
	char value[MLIMG_PATH_MAX + 1], *slash;

	if (redirect->size == 0 || redirect->size > MLIMG_PATH_MAX)
		return false;
	memcpy(value, redirect->value, redirect->size);
	value[redirect->size] = '\0';
	if (*value == '/') {
		strcpy(ret_from, value + 1);
		return true;
	}
	if (!origin_of(all, path, ret_from))
		return false;
	slash = strrchr(ret_from, '/');
	*(slash ? slash : ret_from) = '\0';
	return mlimg_cover_append(ret_from, value);
}

static int visit(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	const struct mlimg_xattr *redirect = mlimg_entry_xattr(entry, MLIMG_XATTR_REDIRECT);
	char from[MLIMG_PATH_MAX + 1];
	struct renamed *all = ctx;
	void *more;

	if (entry->type != MLIMG_DIR)
		return mlimg_origin_forget(entry, at, err);
	if (!redirect || !resolve(all, entry->path, redirect, from))
		return 0;
	more = reallocarray(all->at, all->n + 1, sizeof(*all->at));
	if (!more)
		return mlimg_err_set(err, ENOMEM, "protected paths");
	all->at = more;
	all->at[all->n].path = strdup(entry->path);
	all->at[all->n].from = strdup(from);
	all->n++;
	if (!all->at[all->n - 1].path || !all->at[all->n - 1].from)
		return mlimg_err_set(err, ENOMEM, "protected paths");
	return 0;
}

/* What cannot be read stays as it is: the kernel cannot show it either. */
static void pass_over(const char *path, int error, bool was_visited, void *ctx)
{
}

static bool shows_another(int dir)
{
	char value;

	return (fgetxattr(dir, MLIMG_XATTR_OPAQUE, &value, 1) == 1 && value == 'y') ||
		fgetxattr(dir, MLIMG_XATTR_REDIRECT, NULL, 0) >= 0;
}

/* Whether a directory of the layers shows in its own place: nothing in the upper is in its way. */
static bool shows(const struct mlimg_cover *c, int upper, const char *path)
{
	mlimg_autoclose int dir = fcntl(upper, F_DUPFD_CLOEXEC, 0);

	if (mlimg_cover_type(c, path) != S_IFDIR)
		return false;
	while (dir >= 0 && *path) {
		char name[NAME_MAX + 1];
		size_t len = strcspn(path, "/");
		int next;

		snprintf(name, sizeof(name), "%.*s", (int)len, path);
		next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return errno == ENOENT;
		close(dir);
		dir = next;
		if (shows_another(dir))
			return false;
		path += len + (path[len] == '/');
	}
	return dir >= 0;
}

/* @return 1 when it was, 0 when it went with a directory above it, -errno */
static int set_one_aside(struct mlimg_cover *c, int upper, const char *path)
{
	const char *name = mlimg_path_name(path);
	mlimg_autofree char *parent = strndup(path, (size_t)(name - path));
	mlimg_autoclose int dir = -1;
	int r;

	if (!parent)
		return mlimg_err_set(c->err, ENOMEM, "protected paths");
	dir = mlimg_open_beneath_strict(upper, *parent ? parent : ".", O_RDONLY | O_DIRECTORY);
	if (dir == -ENOENT || (dir >= 0 && faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0))
		return 0;
	if (dir < 0)
		return mlimg_err_set(c->err, dir, "set '/%.200s' aside", path);
	r = mlimg_cover_set_aside(c, dir, name, path, path);
	return r < 0 ? r : 1;
}

/* Where one was, something else may show that another one was renamed from: until there is none. */
int mlimg_cover_renamed(struct mlimg_cover *c, int upper)
{
	mlimg_cleanup(renamed_done) struct renamed all = {.n = 0};
	bool has_more = true;
	int r = mlimg_walk_lenient(upper, 0, visit, pass_over, &all, c->err);

	while (r == 0 && has_more) {
		has_more = false;
		for (size_t i = 0; r >= 0 && i < all.n; i++) {
			if (!shows(c, upper, all.at[i].from))
				continue;
			r = set_one_aside(c, upper, all.at[i].path);
			has_more |= r == 1;
		}
		r = r < 0 ? r : 0;
	}
	return r;
}
