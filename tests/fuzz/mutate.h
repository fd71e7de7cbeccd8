/* SPDX-License-Identifier: MIT */
/**
 * @file mutate.h
 * Random mutations of inputs for fuzz targets, as fuzzers make them that know nothing of a format:
 * bits, numbers at the edges of their range, pieces that are missing, twice, or another input's.
 */
#ifndef MLIMG_FUZZ_MUTATE_H
#define MLIMG_FUZZ_MUTATE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MUTATE_GROWTH 4096 /**< bytes more than the larger of both inputs, at most */

/** What a mutation is made of. */
struct mutation {
	uint64_t state; /**< of the random numbers: one state, one mutation */
	uint8_t *data;  /**< has room for room bytes */
	size_t size, room;
	const uint8_t *other; /**< another input, or the same */
	size_t other_size;
};

/* xorshift64*: Marsaglia, Vigna. */
static uint64_t mutate_random(struct mutation *m, uint64_t below)
{
	m->state ^= m->state >> 12;
	m->state ^= m->state << 25;
	m->state ^= m->state >> 27;
	return below ? (m->state * UINT64_C(2685821657736338717) >> 11) % below : 0;
}

/* Put @n bytes in the place of @gone bytes at @at, as many as there is room for. */
static void mutate_put(struct mutation *m, size_t at, size_t gone, const uint8_t *from, size_t n)
{
	uint8_t piece[256];

	if (n > sizeof(piece))
		n = sizeof(piece);
	if (m->size - gone + n > m->room)
		n = m->room - (m->size - gone);
	if (n) /* it may be a piece of the same */
		memcpy(piece, from, n);
	memmove(m->data + at + n, m->data + at + gone, m->size - at - gone);
	memcpy(m->data + at, piece, n);
	m->size += n - gone;
}

static void mutate_number(struct mutation *m, size_t at)
{
	static const uint64_t edges[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff,
		0x80000000, 0xffffffff, UINT64_MAX >> 1, UINT64_MAX};
	const uint64_t edge = edges[mutate_random(m, sizeof(edges) / sizeof(*edges))];
	size_t width = (size_t)1 << mutate_random(m, 4);

	for (size_t i = 0; i < width && at + i < m->size; i++)
		m->data[at + i] = (uint8_t)(edge >> 8 * i);
}

/* Numbers in decimal, and what separates fields and lines in the formats that are texts. */
static void mutate_word(struct mutation *m, size_t at)
{
	static const char *const words[] = {"0", "-1", "4294967295", "4294967296",
		"18446744073709551616", "\n", "\n\n", "\t", " ", ":", "::", "%%\n", "/", "../",
		"\"", "\\", "{", "]", ",", "=", "\x80", ""};
	const char *word = words[mutate_random(m, sizeof(words) / sizeof(*words))];
	size_t n = strlen(word) + !*word, gone = mutate_random(m, 3);

	mutate_put(m, at, gone < m->size - at ? gone : m->size - at, (const uint8_t *)word, n);
}

static void mutate_once(struct mutation *m)
{
	size_t at = mutate_random(m, m->size + 1), left = m->size - at,
	       n = 1 + mutate_random(m, mutate_random(m, 4) ? 12 : 200), from;

	switch (mutate_random(m, 8)) {
	case 0:
	case 1:
		if (left)
			m->data[at] ^= (uint8_t)(1 << mutate_random(m, 8));
		break;
	case 2: mutate_number(m, at); break;
	case 3:
	case 4: mutate_word(m, at); break;
	case 5: mutate_put(m, at, n < left ? n : left, NULL, 0); break;
	case 6:
		from = mutate_random(m, m->size + 1);
		mutate_put(m, at, 0, m->data + from, n < m->size - from ? n : m->size - from);
		break;
	default:
		from = mutate_random(m, m->other_size + 1);
		n = n < m->other_size - from ? n : m->other_size - from;
		mutate_put(m, at, n < left ? n : left, m->other + from, n);
	}
}

/** Mutate the data, once to eight times. */
__attribute__((unused)) static void mutate(struct mutation *m)
{
	for (uint64_t n = 1 + mutate_random(m, 8); n > 0; n--)
		mutate_once(m);
	if (mutate_random(m, 16) == 0)
		m->size = mutate_random(m, m->size + 1);
}

#endif
