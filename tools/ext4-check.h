/* SPDX-License-Identifier: MIT */
/**
 * @file ext4-check.h
 * Whether a whole image is sound as ext4-read.h sees it: not only the layer's tree, and including
 * what a single read cannot see, such as blocks that belong to two files. What only a writer uses
 * (bitmaps, free counts, hash trees of directories) is e2fsck(8)'s.
 */
#ifndef MLIMG_TOOLS_EXT4_CHECK_H
#define MLIMG_TOOLS_EXT4_CHECK_H

#include "tools/ext4-read.h"

/** What an image holds. */
struct mlimg_ext4_usage {
	uint64_t
		n_names; /**< files, directories and so on, from "/" down; a hard link counts as often as it is there */
	uint64_t n_blocks; /**< that something uses, the file system's own ones included */
};

/**
 * Walk everything that can be reached from "/". Refused beside what mlimg_ext4_walk() refuses: an
 * extent or a node of an extent tree that is damaged or outside the image, a block with two uses
 * (files, the journal, or the file system's own tables; a block of xattrs may be shared, and with
 * the feature shared_blocks an extent of regular files), a file with more or fewer names than its
 * inode says. Reads no contents. Memory: 24 bytes for each extent.
 *
 * @param fs         the image
 * @param ret_usage  what was found
 * @param err        names path or inode, and block
 * @return           0 or -errno
 */
int mlimg_ext4_check(struct mlimg_ext4 *fs, struct mlimg_ext4_usage *ret_usage,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
