/* SPDX-License-Identifier: MIT */
/**
 * @file beneath-tree.h
 * Layers that make a stack, as the tree that they show together.
 */
#ifndef MLIMG_TOOLS_BENEATH_TREE_H
#define MLIMG_TOOLS_BENEATH_TREE_H

#include "tools/beneath.h"
#include "tools/itree.h"

/**
 * The merged tree. An inode is an entry of mlimg_beneath_manifest(), its number the place of its
 * first name there, from 1 on. Contents are read from the layer that has them, and
 * mlimg_itree_used() counts what they take in its image.
 *
 * @param b  the layers; must live as long
 * @return   the tree; its name is that of the topmost image
 */
struct mlimg_itree mlimg_beneath_tree(struct mlimg_beneath *b);

#endif
