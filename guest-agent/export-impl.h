/* SPDX-License-Identifier: MIT */
/**
 * @file export-impl.h
 * The parts of `mlimg export`. Not for other modules.
 */
#ifndef MLIMG_EXPORT_IMPL_H
#define MLIMG_EXPORT_IMPL_H

#include "guest-agent/export-links.h"
#include "guest-agent/export-out.h"
#include "guest-agent/mlimg-cmd.h"
#include "guest-agent/user-change.h"
#include "tools/progress.h"

#define EXPORT_WHOLE_MAX \
	((size_t)1 << 20)  /* files up to here are read at once, and again if they change */
#define EXPORT_TOLD_MAX 10 /* files that are named in warnings */

struct export
{
	struct mlimg_cmd *cmd;
	struct mlimg_view_cursor *cursor;
	struct mlimg_user_change change;
	struct mlimg_export_out out;
	struct mlimg_export_links links;
	struct mlimg_progress progress;
	const char *
		*firsts; /* of each group of the upper's names, the one that was written; or NULL */
	char *block;     /* EXPORT_WHOLE_MAX bytes */
	char own[MLIMG_PATH_MAX + 1];   /* where the output is to be, in the merged root; "" */
	struct stat own_st;             /* of what it is until it is there */
	char above[MLIMG_PATH_MAX + 1]; /* the last directory that the upper lacks; "" */
	uint64_t n, n_sockets, n_changed, n_gone, n_told;
};

/** Count something that is not as it was, and warn of the first few. */
void export_tell(struct export *x, const char *path, const char *what, uint64_t *count);

/** Write a regular file. @return 0, 1 when it is gone, -errno */
int export_put_file(struct export *x, const struct mlimg_view_tree *tree,
	const struct mlimg_entry *entry, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
