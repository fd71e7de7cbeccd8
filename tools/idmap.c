/* SPDX-License-Identifier: MIT */
/* Open addressing with linear probing; at most half full. */
#include "tools/idmap.h"

#include <errno.h>
#include <stdlib.h>

/* Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4). */
static uint32_t *slot_of(const struct mlimg_idmap *map, uint32_t key)
{
	size_t at = (size_t)(((uint64_t)key * 11400714819323198485u) >> 32) & (map->room - 1);

	while (map->slots[2 * at] && map->slots[2 * at] != key)
		at = (at + 1) & (map->room - 1);
	return &map->slots[2 * at];
}

static int grow(struct mlimg_idmap *map)
{
	struct mlimg_idmap old = *map;

	map->room = old.room ? 2 * old.room : 64;
	map->slots = calloc(map->room, 2 * sizeof(*map->slots));
	if (!map->slots) {
		*map = old;
		return -ENOMEM;
	}
	for (size_t i = 0; i < old.room; i++) {
		uint32_t *slot, key = old.slots[2 * i];

		if (!key)
			continue;
		slot = slot_of(map, key);
		slot[0] = key;
		slot[1] = old.slots[2 * i + 1];
	}
	free(old.slots);
	return 0;
}

bool mlimg_idmap_find(const struct mlimg_idmap *map, uint32_t key, uint32_t *ret_value)
{
	const uint32_t *slot;

	if (!map->room)
		return false;
	slot = slot_of(map, key);
	if (!slot[0])
		return false;
	*ret_value = slot[1];
	return true;
}

int mlimg_idmap_set(struct mlimg_idmap *map, uint32_t key, uint32_t value)
{
	uint32_t *slot;

	if (2 * map->n >= map->room && grow(map) < 0)
		return -ENOMEM;
	slot = slot_of(map, key);
	map->n += !slot[0];
	slot[0] = key;
	slot[1] = value;
	return 0;
}

void mlimg_idmap_done(struct mlimg_idmap *map)
{
	free(map->slots);
	*map = (struct mlimg_idmap){0};
}
