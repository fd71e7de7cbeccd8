/* SPDX-License-Identifier: MIT */
/**
 * @file source-beneath.h
 * Copying from the layers beneath the new one (beneath.h) into its tree: what an upper only refers
 * to.
 */
#ifndef MLIMG_TOOLS_SOURCE_BENEATH_H
#define MLIMG_TOOLS_SOURCE_BENEATH_H

#include "tools/source-cursor.h"

/** What has been copied and is to be compared with its digest. Zero it, and set ->to. */
struct mlimg_copier {
	const struct mlimg_source_to *to;
	struct mlimg_links links; /**< files with several names that were copied */
	struct mlimg_copied *copied;
	size_t n_copied, room;
};

/**
 * Contents of a file.
 *
 * @param c     copies; its ->to has layers beneath
 * @param from  a regular file of theirs
 * @param file  the empty file that gets them
 */
int mlimg_copier_file(struct mlimg_copier *c, const struct mlimg_entry *from,
	struct mlimg_file *file, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * All that a directory of theirs has, as the tree's present level: it shows where no level above
 * has anything. A directory with is_moved set stands for another one, and is left alone.
 *
 * @param c     copies
 * @param from  a directory of theirs
 * @param into  where its entries go
 */
int mlimg_copier_dir(struct mlimg_copier *c, const struct mlimg_entry *from,
	struct mlimg_node *into, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Wait until all is hashed and refuse contents that are not what their manifest says. */
int mlimg_copier_check(struct mlimg_copier *c, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * When all sources have been read: directories that none of them has itself get the attributes
 * which they have beneath the new layer, unless they hide what is there. Otherwise such a directory
 * would change them. Begins a level.
 *
 * @param to  the tree; nothing is done when nobody knows what lies beneath
 */
int mlimg_source_complete(const struct mlimg_source_to *to, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it holds. */
void mlimg_copier_done(struct mlimg_copier *c);

#endif
