/* SPDX-License-Identifier: MIT */
/**
 * @file remove-tree.h
 * Removing a directory with all that is in it.
 */
#ifndef MLIMG_REMOVE_TREE_H
#define MLIMG_REMOVE_TREE_H

/**
 * Remove it. Symbolic links are not followed, other file systems are not spared.
 *
 * @param dirfd  the directory that it is in
 * @param name   its name in there; may be no directory, or not there
 * @return       0, or -errno of the first thing that could not be removed; the others are gone
 */
int mlimg_remove_tree(int dirfd, const char *name);

#endif
