/* SPDX-License-Identifier: MIT */
/**
 * @file index-impl.h
 * Shared by index-merge.c (directories), index-inode.c (one inode) and index-describe.c (the
 * index's own). Not for other modules.
 */
#ifndef MLIMG_TOOLS_INDEX_IMPL_H
#define MLIMG_TOOLS_INDEX_IMPL_H

#include "libmlimg/stack.h"
#include "tools/index-follow.h"
#include "tools/index-merge.h"
#include "tools/index-seen.h"

/** A merge in progress. */
struct mlimg_index_job {
	const struct mlimg_index_layer *layers;
	size_t n_layers;
	struct mlimg_erofs *image;
	struct mlimg_ext4_attrs *attrs;
	/** Of the entry at hand; too large for the stack of every function. */
	struct mlimg_ext4_inode inode;
	struct mlimg_ext4_inode below; /**< of a directory beneath it, or of contents */
	struct mlimg_index_follower *follower;
	const struct mlimg_index_composed *composed;
	size_t n_composed;
	bool *is_used;                              /**< of each composed entry */
	uint64_t n_entries[MLIMG_STACK_LAYERS_MAX]; /**< of each layer, that were read */
	struct mlimg_index_pending *pending;        /**< directories that are to be merged yet */
	struct mlimg_index_seen seen;
};

/** An entry becomes an inode of the image, without data. */
int mlimg_index_add_entry(struct mlimg_index_job *m, const struct mlimg_entry *entry,
	uint32_t nlink, uint32_t *ret_ino, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * m->inode of @p layer and its entry become an inode of the image. A reference gets the blocks of
 * the contents that it leads to, and needs a path; its marks are taken from @p entry.
 */
int mlimg_index_add_inode(struct mlimg_index_job *m, size_t layer, struct mlimg_entry *entry,
	uint32_t *ret_ino, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The blocks of a layer's file become those of inode @p ino. */
int mlimg_index_add_extents(struct mlimg_index_job *m, size_t layer,
	const struct mlimg_ext4_inode *inode, uint32_t ino, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Add a directory that is of no layer: the image's root where @p name is NULL, and @p parent does
 * not matter.
 */
int mlimg_index_add_own_dir(struct mlimg_index_job *m, uint32_t parent, const char *name,
	uint32_t *ret_ino, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Add /mlimg and what is in it. */
int mlimg_index_add_description(struct mlimg_index_job *m, uint32_t root,
	const struct mlimg_index_texts *texts, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Read an inode of a layer and make an entry of it. */
int mlimg_index_load(struct mlimg_index_job *m, size_t layer, uint32_t ino,
	struct mlimg_ext4_inode *inode, struct mlimg_entry *ret_entry,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
