/* SPDX-License-Identifier: MIT */
/**
 * @file verity-check.h
 * Checking the hash tree of an image (libmlimg/verity.h), without libcryptsetup and from the top
 * down as the kernel does: so a damaged block of hashes is told from damaged data, and what is
 * wrong has a place.
 */
#ifndef MLIMG_TOOLS_VERITY_CHECK_H
#define MLIMG_TOOLS_VERITY_CHECK_H

#include "libmlimg/verity.h"
#include "tools/ext4-read.h"

#define MLIMG_VERITY_SHOWN_MAX 20 /**< blocks that are named; a screenful */

/**
 * Look for a hash tree behind the file system. Refused: a superblock that is not as described; one
 * that is as described, but the tree is not all there; in a file, anything else than zeros in its
 * place, and anything else than a signature behind it.
 *
 * @param fs          the image
 * @param ret_verity  data_blocks is 0 when there is none; the root hash is not known;
 *                    mlimg_verity_done() when done
 * @param err         names the image
 * @return            0, -EUCLEAN, other -errno
 */
int mlimg_verity_find(struct mlimg_ext4 *fs, struct mlimg_verity *ret_verity,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Check the blocks of hashes: the top one against the root hash, each other one against the level
 * above it.
 *
 * @param fs      the image
 * @param verity  from mlimg_verity_find(); a root hash that is not known, "", becomes what the tree
 *                says
 * @param err     says the root hash, or names the first block that does not fit
 * @return        0, -EUCLEAN, other -errno
 */
int mlimg_verity_check_tree(
	struct mlimg_ext4 *fs, struct mlimg_verity *verity, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Blocks of the file system that are not as in the tree. */
struct mlimg_verity_flaws {
	uint64_t n;
	uint64_t blocks[MLIMG_VERITY_SHOWN_MAX]; /**< the first ones, ascending */
};

/**
 * Check the blocks of the file system against a tree that has been found right. Reads all of them.
 *
 * @param fs         the image
 * @param verity     from mlimg_verity_find()
 * @param ret_flaws  blocks that are not as in the tree; that there are some is no error
 * @param err        names the image
 * @return           0 or -errno
 */
int mlimg_verity_check_data(struct mlimg_ext4 *fs, const struct mlimg_verity *verity,
	struct mlimg_verity_flaws *ret_flaws, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
