/* SPDX-License-Identifier: MIT */
#include "libmlimg/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"

#define NONE (-1)

/* Open addressing over lines of all texts. */
struct table {
	struct {
		const char *line;
		uint32_t size; /* 0: free */
	} * slots;
	size_t n_slots; /* a power of two, at least twice the lines */
};

static int32_t count_lines(const struct mlimg_lines *text)
{
	int32_t n = 0;

	for (const char *at = text->data, *end = at + text->size; at < end; n++) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		at = newline ? newline + 1 : end;
	}
	return n;
}

bool mlimg_lines_is_text(const char *data, size_t size)
{
	if (size > MLIMG_LINES_SIZE_MAX || (size && memchr(data, '\0', size)))
		return false;
	for (const char *at = data, *end = at + size; at < end;) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *next = newline ? newline + 1 : end;

		if (next - at > MLIMG_LINES_LINE_MAX)
			return false;
		at = next;
	}
	return true;
}

/* FNV-1a (Fowler, Noll, Vo): lines are short. */
static uint32_t id_of(struct table *t, const char *line, uint32_t size)
{
	uint64_t hash = 14695981039346656037u;
	size_t slot;

	for (uint32_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)line[i]) * 1099511628211u;
	for (slot = (size_t)(hash ^ hash >> 32) & (t->n_slots - 1); t->slots[slot].size;
		slot = (slot + 1) & (t->n_slots - 1))
		if (t->slots[slot].size == size && memcmp(t->slots[slot].line, line, size) == 0)
			return (uint32_t)slot;
	t->slots[slot].line = line;
	t->slots[slot].size = size;
	return (uint32_t)slot;
}

static int split(struct mlimg_lines *l, struct table *table)
{
	uint32_t at = 0;

	l->n = count_lines(l);
	l->starts = calloc((size_t)l->n + 1, sizeof(*l->starts));
	l->ids = calloc((size_t)l->n + 1, sizeof(*l->ids));
	if (!l->starts || !l->ids)
		return -ENOMEM;
	for (int32_t i = 0; i < l->n; i++) {
		const char *line = l->data + at;
		const char *newline = memchr(line, '\n', l->size - at);
		uint32_t size = newline ? (uint32_t)(newline + 1 - line) : (uint32_t)(l->size - at);

		l->ids[i] = id_of(table, line, size);
		at += size;
		l->starts[i + 1] = at;
	}
	return 0;
}

int mlimg_lines_split(struct mlimg_lines *const lines[], size_t n)
{
	struct table table = {.n_slots = 64};
	size_t n_lines = 0;
	int r = 0;

	for (size_t i = 0; i < n; i++)
		n_lines += (size_t)count_lines(lines[i]);
	while (table.n_slots < 2 * n_lines)
		table.n_slots *= 2;
	table.slots = calloc(table.n_slots, sizeof(*table.slots));
	if (!table.slots)
		return -ENOMEM;
	for (size_t i = 0; i < n && r == 0; i++)
		r = split(lines[i], &table);
	free(table.slots);
	return r;
}

void mlimg_lines_done(struct mlimg_lines *lines)
{
	free(lines->starts);
	free(lines->ids);
	lines->starts = lines->ids = NULL;
}

/* --- comparing (Myers) --- */

struct comparison {
	const uint32_t *a, *b;
	int32_t *match;              /* of each line of a, the line of b that it is, or NONE */
	int32_t *forward, *backward; /* by diagonal: how far along a its furthest path has come */
	int32_t n_vector, edits;     /* room of both; what is left of MLIMG_LINES_EDITS_MAX */
};

/* A part of a and of b. */
struct part {
	int32_t a, n, b, m; /* from line a on n lines, from b on m */
};

static bool is_equal(
	const struct comparison *c, const struct part *p, int32_t x, int32_t y, bool is_backward)
{
	return is_backward ? c->a[p->a + p->n - 1 - x] == c->b[p->b + p->m - 1 - y]
			   : c->a[p->a + x] == c->b[p->b + y];
}

/*
 * One more edit: on diagonal @k (x - y) the further one of what the diagonals beside it reach with
 * one line of a or of b passed over, and from there on all that is equal. Where neither leads
 * anywhere within the part, what the diagonal had stays.
 */
static void extend(
	const struct comparison *c, const struct part *p, int32_t *v, int32_t k, bool is_backward)
{
	int32_t right = v[k - 1] == NONE || v[k - 1] == p->n ? NONE : v[k - 1] + 1;
	int32_t down = v[k + 1] == NONE || v[k + 1] - k > p->m ? NONE : v[k + 1];
	int32_t x = right > down ? right : down;

	if (x < v[k])
		x = v[k];
	if (x == NONE)
		return;
	while (x < p->n && x - k < p->m && is_equal(c, p, x, x - k, is_backward))
		x++;
	v[k] = x;
}

/*
 * The point in the middle of a shortest way from the beginning of a part to its end: where the
 * furthest ways from both ends meet.
 *
 * @return whether there is one within the limit of edits
 */
static bool find_middle(struct comparison *c, const struct part *p, int32_t *ret_x, int32_t *ret_y)
{
	int32_t delta = p->n - p->m, most = (p->n + p->m + 1) / 2;
	int32_t *forward = c->forward + p->m + 1, *backward = c->backward + p->m + 1;

	for (int32_t k = -p->m - 1; k <= p->n + 1; k++)
		forward[k] = backward[k] = NONE;
	/* From a step to the beginning: the first edit leads there. */
	for (int32_t d = 0; d <= most && 2 * d - 1 <= c->edits; d++) {
		for (int side = 0; side < 2; side++) {
			int32_t *v = side ? backward : forward, *other = side ? forward : backward;
			int32_t low = d <= p->m ? -d : d - 2 * p->m;
			int32_t high = d <= p->n ? d : 2 * p->n - d;

			for (int32_t k = low; k <= high; k += 2) {
				int32_t x;

				if (d == 0)
					v[0] = 0;
				extend(c, p, v, k, side);
				x = v[k];
				if (x == NONE || other[delta - k] == NONE ||
					x + other[delta - k] < p->n)
					continue;
				*ret_x = side ? p->n - x : x;
				*ret_y = side ? p->m - (x - k) : x - k;
				return true;
			}
		}
	}
	return false;
}

/* @return false when there are more edits than the limit */
static bool compare(struct comparison *c, struct part p)
{
	int32_t x, y;

	while (p.n && p.m && is_equal(c, &p, 0, 0, false)) {
		c->match[p.a] = p.b;
		p = (struct part){p.a + 1, p.n - 1, p.b + 1, p.m - 1};
	}
	while (p.n && p.m && is_equal(c, &p, 0, 0, true)) {
		p.n--, p.m--;
		c->match[p.a + p.n] = p.b + p.m;
	}
	if (!p.n || !p.m)
		return true;
	if (!find_middle(c, &p, &x, &y))
		return false;
	return compare(c, (struct part){p.a, x, p.b, y}) &&
		compare(c, (struct part){p.a + x, p.n - x, p.b + y, p.m - y});
}

int mlimg_lines_compare(
	const struct mlimg_lines *a, const struct mlimg_lines *b, int32_t **ret_match)
{
	size_t n_vector = (size_t)a->n + (size_t)b->n + 3;
	mlimg_autofree int32_t *vectors = calloc(2 * n_vector, sizeof(*vectors));
	int32_t *match = calloc((size_t)a->n + 1, sizeof(*match));
	struct comparison c = {.a = a->ids,
		.b = b->ids,
		.match = match,
		.forward = vectors,
		.backward = vectors ? vectors + n_vector : NULL,
		.edits = MLIMG_LINES_EDITS_MAX};

	*ret_match = match;
	if (!vectors || !match)
		return -ENOMEM;
	for (int32_t i = 0; i < a->n; i++)
		match[i] = NONE;
	return compare(&c, (struct part){0, a->n, 0, b->n});
}
