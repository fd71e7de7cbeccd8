/* SPDX-License-Identifier: MIT */
/**
 * @file resolve-impl.h
 * The parts of `mlimg resolve` among themselves: mlimg-resolve.c (which conflict, what is told),
 * resolve-do.c (what is done). Nothing that the user wrote is lost: what is replaced or removed of
 * his is copied before to aside/resolved-N in the user layer's /mlimg.
 */
#ifndef MLIMG_RESOLVE_IMPL_H
#define MLIMG_RESOLVE_IMPL_H

#include <sys/stat.h>

#include "guest-agent/conflicts.h"
#include "guest-agent/mlimg-cmd.h"
#include "libmlimg/plan.h"

/** Of the file with marked conflicts where programs read every name. */
#define RESOLVE_MERGED_DIST_SUFFIX MLIMG_PLAN_MERGED_SUFFIX MLIMG_PLAN_DIST_SUFFIX
#define RESOLVE_KEPT_MAX 2 /**< things set aside for one conflict */

/** A conflict that is being resolved. */
struct resolving {
	struct mlimg_cmd *cmd;
	enum mlimg_keep_way way; /**< that is wanted */
	int own_fd;              /**< the user layer's /mlimg */
	int kept_fd;             /**< aside/resolved-N there, or -1: not made yet */
	char kept_dir[32];       /**< "aside/resolved-1" */

	/* Of the present conflict: */
	char path[MLIMG_PATH_MAX + 1], at[MLIMG_PATH_MAX + 1];
	uint64_t generation;
	bool is_found, is_open, is_aside, is_there; /**< as in struct mlimg_conflict */
	struct mlimg_user_undo undo;
	int dir_fd;       /**< the directory of path in the merged root, or -1: it is not there */
	const char *name; /**< in there */
	enum mlimg_type type; /**< of what is at path there; 0: nothing */
	struct stat there;    /**< and what it is */

	/* What came of it: */
	bool is_queued, is_beside_gone, has_base;
	bool is_beside_queued;     /**< what lies beside goes with the user's, at the next boot */
	bool has_cancelled;        /**< something waited there, and no longer does */
	bool is_edited;            /**< what was merged is the file with the marks, without these */
	struct stat edited;        /**< and what that was before it was read */
	uint64_t n_sockets;        /**< that are not put back with a directory */
	size_t n_conflicts;        /**< that are marked */
	const char *merged_suffix; /**< of the file with the marks; NULL: no place for one */
	char merged[MLIMG_PATH_MAX + 1];                 /**< and its path */
	char kept[RESOLVE_KEPT_MAX][MLIMG_PATH_MAX + 1]; /**< what was set aside: its path */
	size_t n_kept;
};

/**
 * Do it.
 *
 * @param v    all but what came of it is set
 * @param err  names the path
 * @return     0, also when conflicts are left; -errno
 */
int resolve_do(struct resolving *v, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Remove what is not wanted any more, after it was noted that the conflict is resolved: the copy
 * set aside of what was put back, the file that had the marks. Until then, whoever could not do
 * all of it can be told to do it again.
 *
 * @param v    as resolve_do() has left it
 * @param err  names the file
 * @return     0, -errno
 */
int resolve_clear(struct resolving *v, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
