/* SPDX-License-Identifier: MIT */
/**
 * @file path-map.h
 * Paths with a number each, to look up by the path.
 */
#ifndef MLIMG_PATH_MAP_H
#define MLIMG_PATH_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "libmlimg/arena.h"

struct mlimg_path_slot;

/** A map. Zero it to begin with. */
struct mlimg_path_map {
	struct mlimg_path_slot *slots; /**< private, as the next ones */
	size_t n_slots, n;
	struct mlimg_arena *arena;
};

/**
 * Give a path a number, in place of the one that it may have. @p path is copied.
 * @return 0, -ENOMEM
 */
int mlimg_path_map_set(
	struct mlimg_path_map *map, const char *path, size_t number) MLIMG_MUST_CHECK;

/** @return whether it is there, and its number */
bool mlimg_path_map_get(const struct mlimg_path_map *map, const char *path, size_t *ret_number);

/** @return whether the path, or a directory on the way to it, is there */
bool mlimg_path_map_covers(const struct mlimg_path_map *map, const char *path);

/** Free it; accepts a zeroed one. */
void mlimg_path_map_done(struct mlimg_path_map *map);

#endif
