/* SPDX-License-Identifier: MIT */
/**
 * @file manifest-diff.h
 * What differs between two lists of entries in the order of manifests. One is a manifest in memory;
 * the other is fed entry by entry, so that it may come from a walk. Not compared: header lines.
 */
#ifndef MLIMG_TOOLS_MANIFEST_DIFF_H
#define MLIMG_TOOLS_MANIFEST_DIFF_H

#include "libmlimg/manifest.h"

/** What can differ, or-ed. The first two come alone. */
enum mlimg_change {
	MLIMG_CHANGE_ADDED = 1,   /**< the old manifest has no such path */
	MLIMG_CHANGE_REMOVED = 2, /**< the new one has none */
	MLIMG_CHANGE_TYPE = 4,
	MLIMG_CHANGE_CONTENT =
		8, /**< size, digest (or only one has one), link target, device number; never with TYPE */
	MLIMG_CHANGE_MODE = 16,
	MLIMG_CHANGE_OWNER = 32, /**< uid or gid */
	MLIMG_CHANGE_TIME = 64,
	MLIMG_CHANGE_XATTR = 128, /**< overlayfs' own ones included */
	MLIMG_CHANGE_LINKS = 256, /**< number of names, or which is the first of them */
};

#define MLIMG_N_CHANGES 9 /**< bits above */

/** @return the name of the change with bit number @p bit: "added", "removed", "type" and so on */
const char *mlimg_change_name(unsigned bit);

/**
 * Called for every path that differs, in order.
 *
 * @param changes    enum mlimg_change, or-ed; never 0
 * @param old_entry  NULL when added
 * @param new_entry  NULL when removed; valid for the call only
 * @param ctx        the caller's
 * @param err        where to put an error
 * @return           0 to go on, negative to stop
 */
typedef int mlimg_manifest_diff_fn(unsigned changes, const struct mlimg_entry *old_entry,
	const struct mlimg_entry *new_entry, void *ctx, struct mlimg_err *err);

/** A comparison under way. */
struct mlimg_manifest_diff;

/**
 * Begin.
 *
 * @param old  the old manifest; must live as long as the comparison
 * @param fn   gets the differences
 * @param ctx  handed to @p fn
 * @return     mlimg_manifest_diff_free() it; NULL when there is no memory
 */
struct mlimg_manifest_diff *mlimg_manifest_diff_new(
	const struct mlimg_manifest *old, mlimg_manifest_diff_fn *fn, void *ctx);

/**
 * The next entry of the new list.
 *
 * @param d      the comparison
 * @param entry  complete: with hard link group, and digest where there is to be one
 * @param err    no memory, or @p fn's error
 * @return       0, negative
 */
int mlimg_manifest_diff_feed(struct mlimg_manifest_diff *d, const struct mlimg_entry *entry,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The new list has ended: what is left of the old one was removed. @return 0, negative */
int mlimg_manifest_diff_end(struct mlimg_manifest_diff *d, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free it; accepts NULL. */
void mlimg_manifest_diff_free(struct mlimg_manifest_diff *d);

#endif
