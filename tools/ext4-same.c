/* SPDX-License-Identifier: MIT */
#include "tools/ext4-same.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "tools/ext4-data.h"

#define SLOTS_MIN 256 /* a power of two */

struct pair {
	struct mlimg_file *file, *owner;
};

struct mlimg_same {
	struct mlimg_same_file *slots; /* free: no file. Open addressing, at most half full */
	size_t n_slots, n_used;
	struct pair *pairs;
	size_t n_pairs, pairs_room;
};

struct mlimg_same *mlimg_same_new(void)
{
	struct mlimg_same *s = calloc(1, sizeof(*s));

	if (s)
		s->slots = calloc(SLOTS_MIN, sizeof(*s->slots));
	if (!s || !s->slots) {
		free(s);
		return NULL;
	}
	s->n_slots = SLOTS_MIN;
	return s;
}

/* The tree has not freed what others needed still. */
static void release_dropped(struct mlimg_file *owner)
{
	if (!owner->is_dropped || !owner->n_extents)
		return;
	free(owner->extents);
	owner->extents = NULL;
	owner->n_extents = 0;
}

void mlimg_same_free(struct mlimg_same *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_pairs; i++)
		release_dropped(s->pairs[i].owner);
	free(s->pairs);
	free(s->slots);
	free(s);
}

uint64_t mlimg_same_key(uint64_t size_bytes, const uint8_t *head, size_t n)
{
	uint64_t h = size_bytes;

	if (n > MLIMG_BLOCK_SIZE)
		n = MLIMG_BLOCK_SIZE;
	for (size_t i = 0; i < n; i += 8) {
		uint64_t word = 0;

		memcpy(&word, head + i, n - i < 8 ? n - i : 8);
		h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return h;
}

/* A file that was dropped without being shared has no contents any more. */
static bool is_usable(const struct mlimg_same_file *f)
{
	return f->file->n_extents > 0;
}

size_t mlimg_same_find(const struct mlimg_same *s, uint64_t key,
	struct mlimg_same_file ret_files[MLIMG_SAME_CANDIDATES])
{
	size_t n = 0;

	for (size_t i = key & (s->n_slots - 1); s->slots[i].file; i = (i + 1) & (s->n_slots - 1))
		if (s->slots[i].key == key && is_usable(&s->slots[i]))
			ret_files[n++] = s->slots[i];
	return n;
}

static void insert(struct mlimg_same *s, const struct mlimg_same_file *file)
{
	size_t i = file->key & (s->n_slots - 1), n_same = 0;

	for (; s->slots[i].file; i = (i + 1) & (s->n_slots - 1)) {
		if (s->slots[i].key != file->key)
			continue;
		if (!is_usable(&s->slots[i]))
			break;
		if (++n_same == MLIMG_SAME_CANDIDATES)
			return;
	}
	s->n_used += !s->slots[i].file;
	s->slots[i] = *file;
}

int mlimg_same_add(struct mlimg_same *s, const struct mlimg_same_file *file)
{
	struct mlimg_same_file *old = s->slots;
	size_t n = s->n_slots;

	if (2 * (s->n_used + 1) > n) {
		s->slots = calloc(2 * n, sizeof(*s->slots));
		if (!s->slots) {
			s->slots = old;
			return -ENOMEM;
		}
		s->n_slots = 2 * n;
		s->n_used = 0;
		for (size_t i = 0; i < n; i++)
			if (old[i].file)
				insert(s, &old[i]);
		free(old);
	}
	insert(s, file);
	return 0;
}

int mlimg_same_share(struct mlimg_same *s, struct mlimg_file *file, struct mlimg_file *owner)
{
	if (mlimg_buffer_reserve(&s->pairs, &s->pairs_room, (s->n_pairs + 1) * sizeof(*s->pairs)) <
		0)
		return -ENOMEM;
	s->pairs[s->n_pairs++] = (struct pair){.file = file, .owner = owner};
	owner->is_shared = true;
	return 0;
}

static int copy_extents(struct mlimg_file *file, const struct mlimg_file *owner)
{
	file->one = owner->one;
	if (owner->n_extents > 1) {
		size_t size = owner->n_extents * sizeof(*file->extents);

		file->extents = malloc(size);
		if (!file->extents)
			return -ENOMEM;
		memcpy(file->extents, owner->extents, size);
	}
	file->n_extents = owner->n_extents;
	return 0;
}

int mlimg_same_end(struct mlimg_same *s, bool *ret_shares)
{
	for (size_t i = 0; i < s->n_pairs; i++) {
		const struct pair *p = &s->pairs[i];

		if (p->file->is_dropped)
			continue;
		if (copy_extents(p->file, p->owner) < 0)
			return -ENOMEM;
		*ret_shares = true;
	}
	for (size_t i = 0; i < s->n_pairs; i++)
		release_dropped(s->pairs[i].owner);
	s->n_pairs = 0;
	memset(s->slots, 0, s->n_slots * sizeof(*s->slots));
	s->n_used = 0;
	return 0;
}
