/* SPDX-License-Identifier: MIT */
/**
 * @file source-unionfs.h
 * The writable branch of a unionfs-fuse mount (mounted with "cow") as source.
 *
 * Its marks are told in libmlimg/unionfs.h. Markers stay behind when something else takes the place
 * of a removed directory; those below it mean nothing either.
 *
 * The directory .unionfs-fuse does not go into the layer. Overlayfs' marks, which unionfs-fuse
 * takes for ordinary things, are refused.
 *
 * A marker can stand in a directory that the branch does not have. The layer must have it then; its
 * attributes are those of the directory in a source beneath this one, or in the layers beneath the
 * new one (mlimg_source_complete()). Where neither is given, the branch is refused.
 */
#ifndef MLIMG_TOOLS_SOURCE_UNIONFS_H
#define MLIMG_TOOLS_SOURCE_UNIONFS_H

#include "libmlimg/unionfs.h"
#include "tools/source-cursor.h"

/**
 * Refuse what is not to be in a branch.
 *
 * @param entry  of the branch
 */
int mlimg_unionfs_check(const struct mlimg_entry *entry, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Hide what the markers of a branch say, after its other entries have been put.
 *
 * @param root_fd  the branch
 * @param name     its name, for messages
 * @param to       where the branch went
 */
int mlimg_unionfs_hide(int root_fd, const char *name, const struct mlimg_source_to *to,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
