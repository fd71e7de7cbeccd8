/* SPDX-License-Identifier: MIT */
/*
 * Open addressing: at most half of the slots are taken, and what does not lie in its own lies in
 * the next free one.
 */
#include "libmlimg/path-map.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct mlimg_path_slot {
	const char *path; /* NULL: free */
	size_t size, number;
};

/* FNV-1a (draft-eastlake-fnv). Whoever makes names to collide makes his own guest slow. */
static uint64_t hash(const char *path, size_t size)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < size; i++)
		h = (h ^ (uint8_t)path[i]) * UINT64_C(0x100000001b3);
	return h;
}

static struct mlimg_path_slot *find(const struct mlimg_path_map *map, const char *path, size_t size)
{
	size_t i = hash(path, size) & (map->n_slots - 1);

	while (map->slots[i].path &&
		(map->slots[i].size != size || memcmp(map->slots[i].path, path, size) != 0))
		i = (i + 1) & (map->n_slots - 1);
	return &map->slots[i];
}

static int grow(struct mlimg_path_map *map)
{
	struct mlimg_path_map bigger = {.n_slots = map->n_slots ? map->n_slots * 2 : 64};

	bigger.slots = calloc(bigger.n_slots, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < map->n_slots; i++)
		if (map->slots[i].path)
			*find(&bigger, map->slots[i].path, map->slots[i].size) = map->slots[i];
	free(map->slots);
	map->slots = bigger.slots;
	map->n_slots = bigger.n_slots;
	return 0;
}

int mlimg_path_map_set(struct mlimg_path_map *map, const char *path, size_t number)
{
	struct mlimg_path_slot *slot;
	size_t size = strlen(path);

	if (!map->arena)
		map->arena = mlimg_arena_new();
	if (!map->arena || (map->n * 2 >= map->n_slots && grow(map) < 0))
		return -ENOMEM;
	slot = find(map, path, size);
	if (!slot->path) {
		slot->path = mlimg_arena_strndup(map->arena, path, size);
		if (!slot->path)
			return -ENOMEM;
		slot->size = size;
		map->n++;
	}
	slot->number = number;
	return 0;
}

bool mlimg_path_map_get(const struct mlimg_path_map *map, const char *path, size_t *ret_number)
{
	const struct mlimg_path_slot *slot = map->n ? find(map, path, strlen(path)) : NULL;

	if (!slot || !slot->path)
		return false;
	*ret_number = slot->number;
	return true;
}

bool mlimg_path_map_covers(const struct mlimg_path_map *map, const char *path)
{
	if (!map->n)
		return false;
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
		if (find(map, path, (size_t)(slash - path))->path)
			return true;
	return find(map, path, strlen(path))->path != NULL;
}

void mlimg_path_map_done(struct mlimg_path_map *map)
{
	free(map->slots);
	mlimg_arena_free(map->arena);
	memset(map, 0, sizeof(*map));
}
