/* SPDX-License-Identifier: MIT */
#include "tools/block-source.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A part of the disk, of MLIMG_BLOCK_CHUNK bytes but for the last one. */
struct chunk {
	uint64_t number;
	uint64_t used; /* when; 0: never */
	uint8_t *data;
};

struct cache {
	struct mlimg_block_source source;
	struct mlimg_block_source *beneath;
	struct chunk chunks[MLIMG_BLOCK_CHUNKS];
	size_t last; /* that was used; most reads follow each other */
	uint64_t now;
};

void mlimg_block_source_close(struct mlimg_block_source *source)
{
	if (source)
		source->close(source);
}

int mlimg_block_read(struct mlimg_block_source *source, uint64_t offset, void *data, size_t size,
	struct mlimg_err *err)
{
	if (offset > source->size_bytes || size > source->size_bytes - offset)
		return mlimg_err_refuse(err, "%zu bytes at %llu lie beyond the end of the disk",
			size, (unsigned long long)offset);
	return source->read(source, offset, data, size, err);
}

static void close_cache(struct mlimg_block_source *source)
{
	struct cache *cache = (struct cache *)source;

	for (size_t i = 0; i < MLIMG_BLOCK_CHUNKS; i++)
		free(cache->chunks[i].data);
	mlimg_block_source_close(cache->beneath);
	free(cache);
}

/* The one with that number, or the one that was used the longest ago. @return whether it is it */
static bool find(struct cache *cache, uint64_t number, struct chunk **ret_chunk)
{
	struct chunk *chunk = &cache->chunks[cache->last], *oldest = &cache->chunks[0];

	if (chunk->used && chunk->number == number) {
		*ret_chunk = chunk;
		return true;
	}
	for (size_t i = 0; i < MLIMG_BLOCK_CHUNKS; i++) {
		chunk = &cache->chunks[i];
		if (chunk->used && chunk->number == number) {
			*ret_chunk = chunk;
			return true;
		}
		if (chunk->used < oldest->used)
			oldest = chunk;
	}
	*ret_chunk = oldest;
	return false;
}

static int have(
	struct cache *cache, uint64_t number, struct chunk **ret_chunk, struct mlimg_err *err)
{
	uint64_t offset = number * MLIMG_BLOCK_CHUNK;
	uint64_t left = cache->source.size_bytes - offset;
	struct chunk *chunk;
	int ret = 0;

	if (!find(cache, number, &chunk)) {
		chunk->used = 0;
		if (!chunk->data && !(chunk->data = malloc(MLIMG_BLOCK_CHUNK)))
			return mlimg_err_set(err, ENOMEM, "read");
		ret = cache->beneath->read(cache->beneath, offset, chunk->data,
			left < MLIMG_BLOCK_CHUNK ? left : MLIMG_BLOCK_CHUNK, err);
	}
	if (ret < 0)
		return ret;
	chunk->number = number;
	chunk->used = ++cache->now;
	cache->last = (size_t)(chunk - cache->chunks);
	*ret_chunk = chunk;
	return 0;
}

static int read_cached(struct mlimg_block_source *source, uint64_t offset, void *data, size_t size,
	struct mlimg_err *err)
{
	struct cache *cache = (struct cache *)source;
	uint8_t *at = data;

	/* What is large is read once: it would only push out what is asked for again. */
	if (size >= MLIMG_BLOCK_CHUNK)
		return cache->beneath->read(cache->beneath, offset, data, size, err);
	while (size > 0) {
		size_t from = offset % MLIMG_BLOCK_CHUNK, n = MLIMG_BLOCK_CHUNK - from;
		struct chunk *chunk = NULL;
		int ret = have(cache, offset / MLIMG_BLOCK_CHUNK, &chunk, err);

		if (ret < 0)
			return ret;
		if (n > size)
			n = size;
		memcpy(at, chunk->data + from, n);
		at += n;
		offset += n;
		size -= n;
	}
	return 0;
}

int mlimg_block_cache(
	struct mlimg_block_source *source, struct mlimg_block_source **ret, struct mlimg_err *err)
{
	struct cache *cache = calloc(1, sizeof(*cache));

	if (!cache) {
		mlimg_block_source_close(source);
		return mlimg_err_set(err, ENOMEM, "read");
	}
	cache->source = (struct mlimg_block_source){source->size_bytes, read_cached, close_cache};
	cache->beneath = source;
	*ret = &cache->source;
	return 0;
}
