/* SPDX-License-Identifier: MIT */
/**
 * @file arena.h
 * Memory that is freed all at once: for the many small strings of a manifest, of which each
 * malloc() would waste as much as it holds. Nothing can be given back singly. And one function for
 * buffers that grow.
 */
#ifndef MLIMG_ARENA_H
#define MLIMG_ARENA_H

#include <stddef.h>

#include "libmlimg/err.h"

struct mlimg_arena;

/** @return a new arena, or NULL when there is no memory */
struct mlimg_arena *mlimg_arena_new(void);

/** @return @p size bytes, aligned for anything; NULL when there is no memory */
void *mlimg_arena_alloc(struct mlimg_arena *arena, size_t size);

/**
 * @return a copy of @p size bytes and a NUL after them, not aligned; NULL when there is no memory
 */
char *mlimg_arena_strndup(struct mlimg_arena *arena, const char *text, size_t size);

/** @return the bytes of memory that it takes */
size_t mlimg_arena_size(const struct mlimg_arena *arena);

/** Free it and all that was taken from it; accepts NULL. */
void mlimg_arena_free(struct mlimg_arena *arena);

/**
 * Make room in a buffer that grows by doubling.
 *
 * @param buffer  address of the pointer; changed when the buffer moves
 * @param room    bytes it has
 * @param size    bytes it must have
 * @return        0, -ENOMEM
 */
int mlimg_buffer_reserve(void *buffer, size_t *room, size_t size) MLIMG_MUST_CHECK;

#endif
