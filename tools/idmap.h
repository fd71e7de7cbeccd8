/* SPDX-License-Identifier: MIT */
/**
 * @file idmap.h
 * From inode numbers to numbers: which files with several names have been seen, and what was noted
 * of them.
 */
#ifndef MLIMG_TOOLS_IDMAP_H
#define MLIMG_TOOLS_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/err.h"

/** A map. Zero it to begin with. Takes at most 32 bytes a key. */
struct mlimg_idmap {
	uint32_t *slots; /**< pairs of key and value; private */
	size_t n, room;
};

/** @return whether @p key (not 0) is there, and its value */
bool mlimg_idmap_find(const struct mlimg_idmap *map, uint32_t key, uint32_t *ret_value);

/** Set the value of @p key (not 0). @return 0, -ENOMEM */
int mlimg_idmap_set(struct mlimg_idmap *map, uint32_t key, uint32_t value) MLIMG_MUST_CHECK;

/** Free what it owns. */
void mlimg_idmap_done(struct mlimg_idmap *map);

#endif
