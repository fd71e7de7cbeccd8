/* SPDX-License-Identifier: MIT */
/**
 * @file mkfs-over.h
 * What a software layer holds that is made over others (mlimg-mkfs --over): of the tree of the
 * sources, only what differs from what shows beneath. So layers and new layer together show the
 * sources' tree, but for what rules leave out (mkfs-rules.h).
 *
 * - Kept are what is new, and what differs from what shows at the same path in anything that a
 *   manifest tells: type, attributes, time, xattrs, contents, link target, device. Of a file with
 *   several names all are kept as soon as its names or it differ. Of directories times do not
 *   count: installing a package and removing it again changes them, and a directory that were kept
 *   for its time alone would hide the attributes that a newer system gives it. A directory is kept
 *   also where something is kept in it, and then with its time; the root always.
 * - What is beneath and no more in its directory gets a whiteout, unless a rule would leave it out.
 *   Sources that hold additions only, and tell deletions by whiteouts, lack nothing (is_partial):
 *   uppers of overlayfs, branches of unionfs-fuse, software and user layers; others when told so.
 * - Whiteouts and opaque directories of the sources are kept, the latter with all that is in them.
 * - A directory that a source does not have itself, but something in it, has the attributes that
 *   show beneath.
 * - A place where another file system is mounted is as beneath: what is in it is not known.
 *
 * Refused, unless their rule is lifted: sources that lack more than half of the entries beneath
 * (mass-deletion; not when is_partial); a symbolic link such as libfoo.so.1 that leads to a lower
 * version of the library than beneath (older-library; packages are compared in mkfs-databases.h).
 */
#ifndef MLIMG_TOOLS_MKFS_OVER_H
#define MLIMG_TOOLS_MKFS_OVER_H

#include "tools/beneath.h"
#include "tools/mkfs-databases.h"
#include "tools/mkfs-rules.h"

/** What a software layer is made over, and what came of it. */
struct mlimg_over {
	bool is_partial;                  /**< the sources hold additions only */
	struct mlimg_databases databases; /**< filled in */
	uint64_t n_whiteouts;             /**< filled in: names beneath that are hidden */
};

/**
 * Reduce a tree to what differs.
 *
 * @param over     filled in; mlimg_over_done() when done, also on failure
 * @param tree     finished; to be finished again
 * @param top      the layer's own tree
 * @param beneath  what the layer lies over; must live as long as the tree
 * @param rules    which are in force
 * @param data     synced; contents that were left out but are kept are read from beneath and
 *                 written there
 * @param err      names the path
 * @return         0; -EUCLEAN when refused, or when what lies beneath is not what its manifest
 *                 says; other -errno
 */
int mlimg_over_apply(struct mlimg_over *over, struct mlimg_tree *tree, struct mlimg_node *top,
	const struct mlimg_beneath *beneath, const struct mlimg_rules *rules,
	struct mlimg_data *data, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Say on @p f what was found. */
void mlimg_over_report(const struct mlimg_over *over, FILE *f);

/** Free what it owns. */
void mlimg_over_done(struct mlimg_over *over);

#endif
