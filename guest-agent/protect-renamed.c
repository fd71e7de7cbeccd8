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
#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/walk.h"
#include "libmlimg/whiteout.h"

#define NONE SIZE_MAX

/* A directory that was renamed: where it is, and where the layers have it. */
struct one {
	char *path, *from;
	size_t above;    /* the nearest of them above it, or NONE */
	bool is_waiting; /* to be looked at */
};

/* All of them in the order of a walk, parents before what is below them. */
struct renamed {
	struct one *at;
	size_t n, room;
	size_t *by_from; /* their numbers, in the order of manifests by where they are from */
	size_t *waiting; /* those that are to be looked at, the next one last */
	size_t n_waiting;
};

static void renamed_done(struct renamed *all)
{
	while (all->n > 0) {
		all->n--;
		free(all->at[all->n].path);
		free(all->at[all->n].from);
	}
	free(all->at);
	free(all->by_from);
	free(all->waiting);
}

/* In a walk the last one is above @path, or has above it what is. */
static size_t nearest_above(const struct renamed *all, const char *path)
{
	size_t i = all->n ? all->n - 1 : NONE;

	while (i != NONE && !mlimg_path_is_below(path, all->at[i].path))
		i = all->at[i].above;
	return i;
}

/*
 * Where the layers have what shows at @path: the directory nearest above that was renamed decides.
 */
static bool origin_of(const struct renamed *all, size_t above, const char *path,
	char ret_from[MLIMG_PATH_MAX + 1])
{
	if (above == NONE) {
		strcpy(ret_from, path);
		return true;
	}
	strcpy(ret_from, all->at[above].from);
	return mlimg_cover_append(ret_from, path + strlen(all->at[above].path) + 1);
}

/*
 * An absolute redirect counts from the layers' root, another one from the directory that it is in.
 */
static bool resolve(const struct renamed *all, size_t above, const char *path,
	const struct mlimg_xattr *redirect, char ret_from[MLIMG_PATH_MAX + 1])
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
	if (!origin_of(all, above, path, ret_from))
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
	struct one one = {.path = NULL};

	if (entry->type != MLIMG_DIR)
		return mlimg_origin_forget(entry, at, err);
	one.above = nearest_above(all, entry->path);
	if (!redirect || !resolve(all, one.above, entry->path, redirect, from))
		return 0;
	if (mlimg_buffer_reserve(&all->at, &all->room, (all->n + 1) * sizeof(*all->at)) < 0)
		return mlimg_err_set(err, ENOMEM, "protected paths");
	one.path = strdup(entry->path);
	one.from = strdup(from);
	all->at[all->n++] = one;
	return one.path && one.from ? 0 : mlimg_err_set(err, ENOMEM, "protected paths");
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

/*
 * Whether a directory of the layers shows in its own place: nothing in the upper is in its way.
 * @return 1, 0, -errno
 */
static int shows(const struct mlimg_cover *c, int upper, const char *path)
{
	mlimg_autoclose int dir = fcntl(upper, F_DUPFD_CLOEXEC, 0);
	int type = mlimg_cover_type(c, path);

	if (type != S_IFDIR)
		return type < 0 ? type : 0;
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
			return 0;
		path += len + (path[len] == '/');
	}
	return dir < 0 ? -errno : 1;
}

/* @return 1 when it was, 0 when it went with a directory above it, -errno */
static int set_one_aside(struct mlimg_cover *c, int upper, const char *path)
{
	const char *name;
	mlimg_autoclose int dir = mlimg_open_parent_strict(upper, path, O_RDONLY, &name);
	int r;

	if (dir == -ENOENT || (dir >= 0 && faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0))
		return 0;
	if (dir < 0)
		return mlimg_err_set(c->err, dir, "set '/%.200s' aside", path);
	r = mlimg_cover_set_aside(c, dir, name, path, path);
	return r < 0 ? r : 1;
}

static int compare_from(const void *a, const void *b, void *ctx)
{
	const struct renamed *all = ctx;

	return mlimg_manifest_path_cmp(
		all->at[*(const size_t *)a].from, all->at[*(const size_t *)b].from);
}

static void wait_for(struct renamed *all, size_t i)
{
	if (all->at[i].is_waiting)
		return;
	all->at[i].is_waiting = true;
	all->waiting[all->n_waiting++] = i;
}

/* The first one of the walk is looked at first. */
static int sort_all(struct renamed *all, struct mlimg_err *err)
{
	all->by_from = reallocarray(NULL, all->n + 1, sizeof(*all->by_from));
	all->waiting = reallocarray(NULL, all->n + 1, sizeof(*all->waiting));
	if (!all->by_from || !all->waiting)
		return mlimg_err_set(err, ENOMEM, "protected paths");
	for (size_t i = all->n; i-- > 0;) {
		all->by_from[i] = i;
		wait_for(all, i);
	}
	qsort_r(all->by_from, all->n, sizeof(*all->by_from), compare_from, all);
	return 0;
}

/* The first in by_from whose place in the layers does not come before @path. */
static size_t first_from(const struct renamed *all, const char *path)
{
	size_t low = 0, high = all->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (mlimg_manifest_path_cmp(all->at[all->by_from[middle]].from, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * Set aside what shows in its own place again. Where it was, something else may show that another
 * one was renamed from: that one is looked at once more, as are those from below it.
 */
static int set_aside_all(struct mlimg_cover *c, int upper, struct renamed *all)
{
	while (all->n_waiting > 0) {
		struct one *one = &all->at[all->waiting[--all->n_waiting]];
		int r = shows(c, upper, one->from);

		one->is_waiting = false;
		if (r < 0)
			return mlimg_err_set(
				c->err, r, "look for what shows at '/%.200s'", one->from);
		if (r > 0)
			r = set_one_aside(c, upper, one->path);
		if (r < 0)
			return r;
		for (size_t k = first_from(all, one->path); r && k < all->n; k++) {
			const char *from = all->at[all->by_from[k]].from;

			if (!mlimg_path_is_within(from, one->path))
				break;
			wait_for(all, all->by_from[k]);
		}
	}
	return 0;
}

int mlimg_cover_renamed(struct mlimg_cover *c, int upper)
{
	mlimg_cleanup(renamed_done) struct renamed all = {.n = 0};
	int r = mlimg_walk_lenient(upper, 0, visit, pass_over, &all, c->err);

	if (r == 0)
		r = sort_all(&all, c->err);
	return r < 0 ? r : set_aside_all(c, upper, &all);
}
