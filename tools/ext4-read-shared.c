/* SPDX-License-Identifier: MIT */
/*
 * Digests of contents that several files share (the feature shared_blocks), so that they are read
 * once: else a small image could keep its reader busy for years.
 */
#include <errno.h>
#include <stdlib.h>

#include "tools/ext4-read-impl.h"

#define SLOTS_MIN 256 /* a power of two */

struct shared {
	uint8_t places[MLIMG_SHA256_SIZE]; /* digest of the size, and of where the contents lie */
	uint8_t digest[MLIMG_SHA256_SIZE];
	bool is_used;
};

struct ext4_shared {
	struct shared *slots; /* open addressing, at most half full */
	size_t n_slots, n_used;
};

struct ext4_shared *ext4_shared_new(void)
{
	struct ext4_shared *s = calloc(1, sizeof(*s));

	if (s)
		s->slots = calloc(SLOTS_MIN, sizeof(*s->slots));
	if (!s || !s->slots) {
		free(s);
		return NULL;
	}
	s->n_slots = SLOTS_MIN;
	return s;
}

void ext4_shared_free(struct ext4_shared *s)
{
	if (!s)
		return;
	free(s->slots);
	free(s);
}

void ext4_shared_places(const struct mlimg_ext4_inode *inode,
	const struct mlimg_ext4_extent *extents, size_t n, uint8_t ret_places[MLIMG_SHA256_SIZE])
{
	struct mlimg_sha256 sha;

	mlimg_sha256_init(&sha);
	mlimg_sha256_add(&sha, &inode->size_bytes, sizeof(inode->size_bytes));
	for (size_t i = 0; i < n; i++) {
		const uint64_t place[] = {extents[i].logical, extents[i].physical,
			extents[i].n_blocks, extents[i].is_unwritten};

		mlimg_sha256_add(&sha, place, sizeof(place));
	}
	mlimg_sha256_end(&sha, ret_places);
}

static struct shared *find(struct shared *slots, size_t n_slots, const uint8_t *places)
{
	size_t i;

	memcpy(&i, places, sizeof(i));
	for (i &= n_slots - 1; slots[i].is_used; i = (i + 1) & (n_slots - 1))
		if (memcmp(slots[i].places, places, MLIMG_SHA256_SIZE) == 0)
			break;
	return &slots[i];
}

const uint8_t *ext4_shared_find(
	const struct ext4_shared *s, const uint8_t places[MLIMG_SHA256_SIZE])
{
	const struct shared *slot = find(s->slots, s->n_slots, places);

	return slot->is_used ? slot->digest : NULL;
}

static bool grow(struct ext4_shared *s)
{
	struct shared *bigger;

	if (2 * (s->n_used + 1) <= s->n_slots)
		return true;
	bigger = calloc(2 * s->n_slots, sizeof(*bigger));
	if (!bigger)
		return false;
	for (size_t i = 0; i < s->n_slots; i++)
		if (s->slots[i].is_used)
			*find(bigger, 2 * s->n_slots, s->slots[i].places) = s->slots[i];
	free(s->slots);
	s->slots = bigger;
	s->n_slots *= 2;
	return true;
}

int ext4_shared_add(struct ext4_shared *s, const uint8_t places[MLIMG_SHA256_SIZE],
	const uint8_t digest[MLIMG_SHA256_SIZE])
{
	struct shared *slot;

	if (!grow(s))
		return -ENOMEM;
	slot = find(s->slots, s->n_slots, places);
	memcpy(slot->places, places, sizeof(slot->places));
	memcpy(slot->digest, digest, sizeof(slot->digest));
	s->n_used += !slot->is_used;
	slot->is_used = true;
	return 0;
}
