/* SPDX-License-Identifier: MIT */
/**
 * @file index-follow.h
 * References of patch layers (libmlimg/patch.h), followed in the layers' images as overlayfs
 * follows them, so that an index points at the blocks where the contents lie. Not for other modules
 * than the index-*.c.
 */
#ifndef MLIMG_TOOLS_INDEX_FOLLOW_H
#define MLIMG_TOOLS_INDEX_FOLLOW_H

#include "tools/index-merge.h"

/**
 * Where lookups have been: of each layer the last directory that was looked up, since the files of
 * a directory come together.
 */
struct mlimg_index_follower;

/** @return a new one, or NULL when there is no memory; @p layers must live as long */
struct mlimg_index_follower *mlimg_index_follower_new(
	const struct mlimg_index_layer *layers, size_t n_layers);

/** Free it; accepts NULL. */
void mlimg_index_follower_free(struct mlimg_index_follower *f);

/** @return whether it is a reference, and in a layer that may have some */
bool mlimg_index_is_reference(
	const struct mlimg_index_layer *layer, const struct mlimg_entry *entry);

/**
 * Find the contents of a reference.
 *
 * @param f          the follower
 * @param layer      the patch
 * @param entry      the reference, with its path
 * @param ret_layer  layer that has the contents
 * @param ret_inode  the file there, of the same size; whether the digest is the same is not known
 *                   here
 * @param err        names what it leads to. Refused: a reference to nothing, or to a file of
 *                   another size
 * @return           0, -EUCLEAN, other -errno
 */
int mlimg_index_follow(struct mlimg_index_follower *f, size_t layer,
	const struct mlimg_entry *entry, size_t *ret_layer, struct mlimg_ext4_inode *ret_inode,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
