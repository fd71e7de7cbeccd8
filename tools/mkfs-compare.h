/* SPDX-License-Identifier: MIT */
/**
 * @file mkfs-compare.h
 * A tree and what shows beneath it, side by side: what layers that hold only differences have in
 * common (mkfs-delta.h, mkfs-over.h). Each walks both trees by itself, and decides what is kept.
 */
#ifndef MLIMG_TOOLS_MKFS_COMPARE_H
#define MLIMG_TOOLS_MKFS_COMPARE_H

#include "tools/beneath.h"
#include "tools/ext4-data.h"
#include "tools/source.h"

/** A file with several names. */
struct mlimg_compare_group {
	uint32_t beneath;  /**< its group there; 0: none of its names was looked at */
	bool has_changed;  /**< in anything, its names included */
	bool is_reference; /**< mkfs-delta.c: decided about already */
};

/** A comparison. Fill in all but groups and path; free() the groups. */
struct mlimg_compare {
	struct mlimg_tree *tree; /**< finished */
	struct mlimg_node *top;  /**< the layer's own tree */
	const struct mlimg_beneath *beneath;
	const struct mlimg_manifest *old; /**< what shows there */
	struct mlimg_data *data;          /**< synced, so that digests are there */
	int64_t time_s;                   /**< of whiteouts */
	struct mlimg_err *err;
	struct mlimg_compare_group *groups; /**< by number */
	char path[MLIMG_PATH_MAX + 1];
};

/** @return what a source's contents need not be written for: those that show beneath */
struct mlimg_known mlimg_compare_known(const struct mlimg_beneath *beneath);

/** @return the same of layers that are not open yet */
struct mlimg_known mlimg_compare_known_later(struct mlimg_beneath_later *later);

/** @return whether both are regular files with the same contents */
bool mlimg_entry_has_same_contents(const struct mlimg_entry *a, const struct mlimg_entry *b);

/** @return the node's path, valid until the next call */
const char *mlimg_compare_path(struct mlimg_compare *c, const struct mlimg_node *node);

/**
 * Find out which files with several names have changed: before all that follows.
 *
 * @return 0, -ENOMEM
 */
int mlimg_compare_groups(struct mlimg_compare *c) MLIMG_MUST_CHECK;

/**
 * @return whether the node differs in anything from what is at its path beneath; of several names,
 * whether any of them does
 */
bool mlimg_compare_differs(const struct mlimg_compare *c, const struct mlimg_node *node,
	const struct mlimg_entry *old);

/** The node stays, and so do the directories above it. */
void mlimg_compare_keep(struct mlimg_node *node);

/**
 * Hide what is beneath.
 *
 * @param c    the comparison
 * @param old  at a path whose directory is in the tree, and in which the tree has no such name
 * @return     0, -EUCLEAN when there are too many entries, -ENOMEM
 */
int mlimg_compare_whiteout(struct mlimg_compare *c, const struct mlimg_entry *old) MLIMG_MUST_CHECK;

/** @return the entry behind the one at @p at and all that is in it */
size_t mlimg_compare_after(const struct mlimg_manifest *m, size_t at);

/**
 * Write contents that were left out after all.
 *
 * @param c     the comparison
 * @param file  without extents
 * @param from  a file beneath that has them
 * @return      0; -EUCLEAN when they are not what the manifest beneath says; other -errno
 */
int mlimg_compare_fetch(struct mlimg_compare *c, struct mlimg_file *file,
	const struct mlimg_entry *from) MLIMG_MUST_CHECK;

/**
 * What is not kept leaves the tree; what is in the nodes only until a tree is finished is taken
 * back: numbers of groups, and seals, which are among the xattrs now where they count. To be
 * finished again.
 */
void mlimg_compare_prune(struct mlimg_node *top);

#endif
