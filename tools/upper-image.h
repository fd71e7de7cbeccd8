/* SPDX-License-Identifier: MIT */
/**
 * @file upper-image.h
 * The upper of a user layer's image as something to read for whoever plans a reconcile
 * (libmlimg/upper-source.h), without mounting it. An image may be a stranger's: it is read through
 * ext4-read.h, and what is not sound is refused, not skipped.
 */
#ifndef MLIMG_TOOLS_UPPER_IMAGE_H
#define MLIMG_TOOLS_UPPER_IMAGE_H

#include "libmlimg/upper-source.h"
#include "tools/ext4-read.h"

/** An upper in an image. */
struct mlimg_upper_image {
	struct mlimg_upper_source source;
	struct mlimg_ext4 *fs;
	/** bytes that its entries may take; MLIMG_WALK_MEMORY_MAX unless changed */
	size_t memory_max;
	bool is_unionfs; /**< unionfs-fuse wrote it */
};

/**
 * Make a source of an image. Refused: a layer of another kind, one whose journal holds changes, and
 * one whose upper is being changed (user-pending.h).
 *
 * @param ret_image   the source; nothing is to be freed
 * @param fs          the image; stays open as long as the source is used
 * @param is_unionfs  unionfs-fuse wrote it, as state.json in it tells (libmlimg/boot.h)
 * @param err         names the image
 * @return            0, -EUCLEAN, -errno
 */
int mlimg_upper_image_init(struct mlimg_upper_image *ret_image, struct mlimg_ext4 *fs,
	bool is_unionfs, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
