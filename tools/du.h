/* SPDX-License-Identifier: MIT */
/**
 * @file du.h
 * How much room the directories of a tree take.
 */
#ifndef MLIMG_TOOLS_DU_H
#define MLIMG_TOOLS_DU_H

#include "tools/itree.h"

/**
 * A directory with all that is below it; or a single file, when the tree is one. A file with
 * several names counts once, where its first is.
 */
struct mlimg_du_row {
	const char *path;    /**< relative to where the walk began, "" for that itself */
	uint64_t used_bytes; /**< of blocks: mlimg_itree_used() */
	uint64_t size_bytes; /**< of the contents of regular files */
	uint64_t n_entries;  /**< names, its own among them */
};

/** Rows, a directory after those that are in it. */
struct mlimg_du {
	struct mlimg_du_row *rows;
	size_t n_rows;
	struct mlimg_arena *arena; /**< private */
};

/**
 * Add up.
 *
 * @param tree       the tree
 * @param root       where to begin
 * @param depth_max  directories that are farther below get no row of their own; 0 leaves one row
 * @param is_sorted  the largest first, by used_bytes
 * @param ret_du     mlimg_du_done() when done
 * @param err        names the image
 * @return           0 or -errno
 */
int mlimg_du(const struct mlimg_itree *tree, const struct mlimg_itree_node *root,
	uint64_t depth_max, bool is_sorted, struct mlimg_du *ret_du,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_du_done(struct mlimg_du *du);

#endif
