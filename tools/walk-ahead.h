/* SPDX-License-Identifier: MIT */
/**
 * @file walk-ahead.h
 * mlimg_walk() by a thread of its own, ahead of the visitor. Asking for the attributes of things
 * takes most of the time of a walk that opens no files, and the visitor has something else to do
 * meanwhile: then it finds them asked for.
 */
#ifndef MLIMG_TOOLS_WALK_AHEAD_H
#define MLIMG_TOOLS_WALK_AHEAD_H

#include "libmlimg/walk.h"

/** A walk. */
struct mlimg_walk_ahead;

/**
 * Begin to walk. At most 16 MiB of entries wait for the visitor, or one that is larger.
 *
 * @param root_fd    as for mlimg_walk()
 * @param flags      as for mlimg_walk(), but not MLIMG_WALK_OPEN_FILES
 * @param ret_ahead  mlimg_walk_ahead_free() it
 * @param err        what failed
 * @return           0 or -errno
 */
int mlimg_walk_ahead_new(int root_fd, unsigned flags, struct mlimg_walk_ahead **ret_ahead,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Visit what is there, in the calling thread, until the walk ends. To be called once.
 *
 * @param ahead  the walk
 * @param fn     the visitor. It is given no descriptors but that of the root: what it wants to open
 *               may have become something else anyhow. Where it says 1, what is in the directory is
 *               passed over, though it has been walked
 * @param ctx    handed to @p fn
 * @param err    names the path
 * @return       as mlimg_walk(); an error comes when all before it has been visited
 */
int mlimg_walk_ahead_run(struct mlimg_walk_ahead *ahead, mlimg_walk_fn *fn, void *ctx,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** End the thread, free; accepts NULL. */
void mlimg_walk_ahead_free(struct mlimg_walk_ahead *ahead);

#endif
