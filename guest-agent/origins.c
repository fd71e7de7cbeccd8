/* SPDX-License-Identifier: MIT */
#include "guest-agent/origins.h"

#include <errno.h>
#include <stdio.h>
#include <sys/xattr.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/whiteout.h"

int mlimg_origin_forget(
	const struct mlimg_entry *entry, const struct mlimg_walk_at *at, struct mlimg_err *err)
{
	mlimg_autofree char *path = NULL;

	if (!mlimg_entry_xattr(entry, MLIMG_XATTR_ORIGIN))
		return 0;
	if (asprintf(&path, "/proc/self/fd/%d/%s", at->parent_fd, at->name) < 0)
		return mlimg_err_set(err, ENOMEM, "user/upper/%.200s", entry->path);
	if (lremovexattr(path, MLIMG_XATTR_ORIGIN) < 0 && errno != ENODATA)
		return mlimg_err_set(
			err, errno, "remove what 'user/upper/%.200s' is a copy of", entry->path);
	return 0;
}

static int visit(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	return entry->type == MLIMG_DIR ? 0 : mlimg_origin_forget(entry, at, err);
}

static void pass_over(const char *path, int error, bool was_visited, void *ctx)
{
}

int mlimg_origins_forget(int upper_fd, struct mlimg_err *err)
{
	return mlimg_walk_lenient(upper_fd, MLIMG_WALK_ONE_FS, visit, pass_over, NULL, err);
}
