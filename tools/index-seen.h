/* SPDX-License-Identifier: MIT */
/**
 * @file index-seen.h
 * Which inodes of layers are inodes of the index already: a hash table with open addressing. Not
 * for other modules than index-merge.c.
 */
#ifndef MLIMG_TOOLS_INDEX_SEEN_H
#define MLIMG_TOOLS_INDEX_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/err.h"

/** (layer, inode) -> inode of the image. Key 0 is free: no inode is 0. */
struct mlimg_index_seen {
	uint64_t *keys;
	uint32_t *values;
	size_t n, room;
};

/** @return whether inode @p ino of @p layer is there, and as what */
bool mlimg_index_seen_find(
	const struct mlimg_index_seen *seen, size_t layer, uint32_t ino, uint32_t *ret_value);

/** Add it, or change what it is there as. @return 0, -ENOMEM */
int mlimg_index_seen_add(
	struct mlimg_index_seen *seen, size_t layer, uint32_t ino, uint32_t value) MLIMG_MUST_CHECK;

/** Free what it owns. */
void mlimg_index_seen_done(struct mlimg_index_seen *seen);

#endif
