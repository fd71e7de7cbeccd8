/* SPDX-License-Identifier: MIT */
#include "libmlimg/arena.h"

#include <errno.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * Large enough that the last chunk's unused half does not matter, small enough for a tiny manifest.
 */
#define CHUNK_SIZE 32768

struct chunk {
	struct chunk *next;
	max_align_t data[];
};

struct mlimg_arena {
	struct chunk *chunks;
	char *at; /* free part of the first chunk */
	size_t room;
	size_t size;
};

struct mlimg_arena *mlimg_arena_new(void)
{
	return calloc(1, sizeof(struct mlimg_arena));
}

/* A large piece gets a chunk of its own, put second, so that the first one's rest is not lost. */
static void *alloc_apart(struct mlimg_arena *arena, size_t size)
{
	struct chunk *c;

	if (size > SIZE_MAX - sizeof(*c))
		return NULL;
	c = malloc(sizeof(*c) + size);
	if (!c)
		return NULL;
	arena->size += sizeof(*c) + size;
	if (arena->chunks) {
		c->next = arena->chunks->next;
		arena->chunks->next = c;
	} else {
		c->next = NULL;
		arena->chunks = c;
	}
	return c->data;
}

static char *take(struct mlimg_arena *arena, size_t size, size_t padding)
{
	struct chunk *c;

	if (padding < arena->room && size <= arena->room - padding) {
		char *p = arena->at + padding;

		arena->at = p + size;
		arena->room -= padding + size;
		return p;
	}
	if (size > CHUNK_SIZE / 8)
		return alloc_apart(arena, size);
	c = malloc(sizeof(*c) + CHUNK_SIZE);
	if (!c)
		return NULL;
	arena->size += sizeof(*c) + CHUNK_SIZE;
	c->next = arena->chunks;
	arena->chunks = c;
	arena->at = (char *)c->data + size;
	arena->room = CHUNK_SIZE - size;
	return (char *)c->data;
}

void *mlimg_arena_alloc(struct mlimg_arena *arena, size_t size)
{
	return take(arena, size, -(uintptr_t)arena->at & (alignof(max_align_t) - 1));
}

char *mlimg_arena_strndup(struct mlimg_arena *arena, const char *text, size_t size)
{
	char *p = size < SIZE_MAX ? take(arena, size + 1, 0) : NULL;

	if (!p)
		return NULL;
	memcpy(p, text, size);
	p[size] = '\0';
	return p;
}

size_t mlimg_arena_size(const struct mlimg_arena *arena)
{
	return arena->size;
}

void mlimg_arena_free(struct mlimg_arena *arena)
{
	struct chunk *next;

	if (!arena)
		return;
	for (struct chunk *c = arena->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	free(arena);
}

int mlimg_buffer_reserve(void *buffer, size_t *room, size_t size)
{
	void **p = buffer, *bigger;
	size_t wanted = *room ? *room : 256;

	if (size <= *room)
		return 0;
	while (wanted < size) {
		if (wanted > SIZE_MAX / 2)
			return -ENOMEM;
		wanted *= 2;
	}
	bigger = realloc(*p, wanted);
	if (!bigger)
		return -ENOMEM;
	*p = bigger;
	*room = wanted;
	return 0;
}
