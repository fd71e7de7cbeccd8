/* SPDX-License-Identifier: MIT */
/**
 * @file ext4-same.h
 * Files of one image with the same contents, found while they are written: part of ext4-data.h.
 *
 * Most files are alone with their size and first block. So these two are compared first, and only
 * where they agree a digest is waited for. Whoever makes many files that begin alike gets no more
 * than CANDIDATES of them compared.
 */
#ifndef MLIMG_TOOLS_EXT4_SAME_H
#define MLIMG_TOOLS_EXT4_SAME_H

#include "tools/source.h"

#define MLIMG_SAME_CANDIDATES 8 /**< files that a file is compared with */

/** The files that were written. */
struct mlimg_same;

/** A file that another one may be the same as. */
struct mlimg_same_file {
	uint64_t key;
	struct mlimg_file *file;
	uint64_t buffer; /**< its digest is there when so many buffers are hashed */
};

/** @return a new table, or NULL when there is no memory */
struct mlimg_same *mlimg_same_new(void);

/** Free it; accepts NULL. Before the tree. */
void mlimg_same_free(struct mlimg_same *same);

/**
 * @return a key for a file of @p size_bytes that begins with the @p n bytes at @p head, of which
 * the first block counts
 */
uint64_t mlimg_same_key(uint64_t size_bytes, const uint8_t *head, size_t n);

/**
 * Find files with that key.
 *
 * @param same       the table
 * @param key        mlimg_same_key()
 * @param ret_files  those there are
 * @return           their number
 */
size_t mlimg_same_find(const struct mlimg_same *same, uint64_t key,
	struct mlimg_same_file ret_files[MLIMG_SAME_CANDIDATES]);

/** Put a file into the table, unless there are enough of that key. @return 0, -ENOMEM */
int mlimg_same_add(struct mlimg_same *same, const struct mlimg_same_file *file) MLIMG_MUST_CHECK;

/** @p file will get the extents of @p owner. @return 0, -ENOMEM */
int mlimg_same_share(struct mlimg_same *same, struct mlimg_file *file,
	struct mlimg_file *owner) MLIMG_MUST_CHECK;

/**
 * Give all those files their extents.
 *
 * @param same  the table, which is empty afterwards
 * @param ret_shares  set to true if there are any that are still in the tree
 * @return      0, -ENOMEM
 */
int mlimg_same_end(struct mlimg_same *same, bool *ret_shares) MLIMG_MUST_CHECK;

#endif
