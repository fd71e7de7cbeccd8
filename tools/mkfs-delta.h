/* SPDX-License-Identifier: MIT */
/**
 * @file mkfs-delta.h
 * What a patch layer holds: of the tree of a whole new system, only what differs from the old one.
 *
 * - Kept are what is new, and what differs from what shows beneath at the same path in anything
 *   that a manifest tells: type, attributes, time, xattrs, contents, link target, device. Of a file
 *   with several names all are kept as soon as its names or it differ. A directory is kept also
 *   where something is kept in it; the root always.
 * - A name that is beneath and no more in its directory gets a whiteout. Opaque directories are not
 *   needed.
 * - A kept file whose contents show anywhere beneath becomes a reference (libmlimg/patch.h), unless
 *   that takes as many blocks as the contents, its xattrs leave no room, or the path is too long
 *   for a redirect. A file with several names always gets a redirect, since its names share their
 *   xattrs.
 */
#ifndef MLIMG_TOOLS_MKFS_DELTA_H
#define MLIMG_TOOLS_MKFS_DELTA_H

#include "tools/beneath.h"
#include "tools/ext4-data.h"
#include "tools/source.h"

/**
 * Reduce a tree to the patch.
 *
 * @param tree     finished, of a system layer; finished again on return, of a patch layer
 * @param top      the layer's own tree
 * @param beneath  what the patch lies over
 * @param time_s   of the whiteouts
 * @param data     synced; contents that were left out, but cannot be referred to, are read from
 *                 beneath and written there
 * @param err      names the path
 * @return         0; -EUCLEAN when what lies beneath is not what its manifest says; other -errno
 */
int mlimg_delta_apply(struct mlimg_tree *tree, struct mlimg_node *top,
	const struct mlimg_beneath *beneath, int64_t time_s, struct mlimg_data *data,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
