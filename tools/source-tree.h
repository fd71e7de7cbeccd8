/* SPDX-License-Identifier: MIT */
/**
 * @file source-tree.h
 * The halves of the tree among themselves: source-tree.c (names, directories, memory) and
 * source-put.c (what may stand where, and what sources hide from each other).
 */
#ifndef MLIMG_TOOLS_SOURCE_TREE_H
#define MLIMG_TOOLS_SOURCE_TREE_H

#include "libmlimg/arena.h"
#include "tools/source.h"

/** All nodes by parent and name: open addressing, at most two thirds full. */
struct mlimg_tree_table {
	struct mlimg_node **slots;
	size_t n_slots, n_used;
};

struct mlimg_tree {
	enum mlimg_kind kind;
	struct mlimg_arena *arena;
	struct mlimg_tree_table table;
	struct mlimg_node *root;
	uint64_t n_nodes;
	uint16_t level;        /**< of the present source, 1 is the topmost */
	bool has_level;        /**< mlimg_tree_begin_level() was called */
	bool has_beneath;      /**< sources have levels beneath this one */
	mlimg_judge_fn *judge; /**< or NULL */
	void *judge_ctx;
	mlimg_choose_fn *choose; /**< or NULL */
	void *choose_ctx;
	const struct mlimg_node *choose_top;
};

/** @return @p size zeroed bytes that live as long as the tree, or NULL */
void *mlimg_tree_alloc(struct mlimg_tree *tree, size_t size);

/**
 * Make an entry of an inode, as manifests have it.
 *
 * @param inode      of a finished tree; digests must be there
 * @param path       for the entry, which holds pointers to both
 * @param ret_entry  the entry
 */
void mlimg_inode_entry(const struct mlimg_inode *inode, char *path, struct mlimg_entry *ret_entry);

/** @return a new node in @p parent, without an inode; NULL when there is no memory */
struct mlimg_node *mlimg_tree_node_new(
	struct mlimg_tree *tree, struct mlimg_node *parent, const char *name);

/**
 * Bring a directory's mark of opacity into overlayfs' form, where the layer may have one.
 *
 * @param tree  the tree
 * @param node  a directory
 * @param top   where paths in messages begin
 * @return      0, -ENOMEM, -EUCLEAN when the directory's xattrs leave no room
 */
int mlimg_tree_mark_opaque(struct mlimg_tree *tree, struct mlimg_node *node,
	const struct mlimg_node *top, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Keep where an upper's directory was before it was renamed. Only who has read the upper's marks
 * may: what other sources have in trusted.overlay.* is not passed on.
 *
 * @param tree      of a user layer
 * @param node      a directory that is not opaque
 * @param redirect  the mark, whatever its prefix
 * @return          0, -ENOMEM
 */
int mlimg_tree_mark_redirect(struct mlimg_tree *tree, struct mlimg_node *node,
	const struct mlimg_xattr *redirect, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
