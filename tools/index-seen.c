/* SPDX-License-Identifier: MIT */
#include "tools/index-seen.h"

#include <errno.h>
#include <stdlib.h>

static size_t seen_slot(const struct mlimg_index_seen *seen, uint64_t key)
{
	/* Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4). */
	size_t slot = (size_t)((key * 11400714819323198485u) >> 32) & (seen->room - 1);

	while (seen->keys[slot] && seen->keys[slot] != key)
		slot = (slot + 1) & (seen->room - 1);
	return slot;
}

static int seen_grow(struct mlimg_index_seen *seen)
{
	struct mlimg_index_seen old = *seen;

	seen->room = old.room ? old.room * 2 : 1024;
	seen->keys = calloc(seen->room, sizeof(*seen->keys));
	seen->values = calloc(seen->room, sizeof(*seen->values));
	if (!seen->keys || !seen->values) {
		free(seen->keys);
		free(seen->values);
		*seen = old;
		return -ENOMEM;
	}
	for (size_t i = 0; i < old.room; i++) {
		size_t slot;

		if (!old.keys[i])
			continue;
		slot = seen_slot(seen, old.keys[i]);
		seen->keys[slot] = old.keys[i];
		seen->values[slot] = old.values[i];
	}
	free(old.keys);
	free(old.values);
	return 0;
}

static uint64_t seen_key(size_t layer, uint32_t ino)
{
	return (uint64_t)layer << 32 | ino;
}

bool mlimg_index_seen_find(
	const struct mlimg_index_seen *seen, size_t layer, uint32_t ino, uint32_t *ret_value)
{
	uint64_t key = seen_key(layer, ino);
	size_t slot;

	if (!seen->room)
		return false;
	slot = seen_slot(seen, key);
	*ret_value = seen->values[slot];
	return seen->keys[slot] == key;
}

int mlimg_index_seen_add(struct mlimg_index_seen *seen, size_t layer, uint32_t ino, uint32_t value)
{
	uint64_t key = seen_key(layer, ino);
	size_t slot;

	if (seen->n * 2 >= seen->room && seen_grow(seen) < 0)
		return -ENOMEM;
	slot = seen_slot(seen, key);
	seen->n += !seen->keys[slot];
	seen->keys[slot] = key;
	seen->values[slot] = value;
	return 0;
}

void mlimg_index_seen_done(struct mlimg_index_seen *seen)
{
	free(seen->keys);
	free(seen->values);
}
