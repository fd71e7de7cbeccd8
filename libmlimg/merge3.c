/* SPDX-License-Identifier: MIT */
/*
 * Texts become lists of numbers, one for each different line; base is compared with each side; then
 * chunk by chunk.
 */
#include "libmlimg/merge3.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/text.h"

#define N_TEXTS 3
#define NONE (-1)

struct lines {
	const char *data;
	uint32_t *starts; /* n + 1 of them */
	uint32_t *ids;    /* which line it is: equal lines have equal numbers */
	int32_t n;
};

/* Open addressing over lines of all texts. */
struct table {
	struct {
		const char *line;
		uint32_t size; /* 0: free */
	} * slots;
	size_t n_slots; /* a power of two, at least twice the lines */
};

static int32_t count_lines(struct mlimg_merge3_text text)
{
	int32_t n = 0;

	for (const char *at = text.data, *end = at + text.size; at < end; n++) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		at = newline ? newline + 1 : end;
	}
	return n;
}

static bool is_text(struct mlimg_merge3_text text)
{
	if (text.size > MLIMG_MERGE3_SIZE_MAX || (text.size && memchr(text.data, '\0', text.size)))
		return false;
	for (const char *at = text.data, *end = at + text.size; at < end;) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *next = newline ? newline + 1 : end;

		if (next - at > MLIMG_MERGE3_LINE_MAX)
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

static int split(struct mlimg_merge3_text text, struct table *table, struct lines *ret)
{
	uint32_t at = 0;

	ret->data = text.data;
	ret->n = count_lines(text);
	ret->starts = calloc((size_t)ret->n + 1, sizeof(*ret->starts));
	ret->ids = calloc((size_t)ret->n + 1, sizeof(*ret->ids));
	if (!ret->starts || !ret->ids)
		return -ENOMEM;
	for (int32_t i = 0; i < ret->n; i++) {
		const char *line = text.data + at;
		const char *newline = memchr(line, '\n', text.size - at);
		uint32_t size =
			newline ? (uint32_t)(newline + 1 - line) : (uint32_t)(text.size - at);

		ret->ids[i] = id_of(table, line, size);
		at += size;
		ret->starts[i + 1] = at;
	}
	return 0;
}

/* --- comparing (Myers) --- */

struct comparison {
	const uint32_t *a, *b;
	int32_t *match;              /* of each line of a, the line of b that it is, or NONE */
	int32_t *forward, *backward; /* by diagonal: how far along a its furthest path has come */
	int32_t n_vector, edits;     /* room of both; what is left of MLIMG_MERGE3_EDITS_MAX */
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

/* @return 1; 0 when there are more edits than the limit; -ENOMEM */
static int compare_all(const struct lines *a, const struct lines *b, int32_t **ret_match)
{
	size_t n_vector = (size_t)a->n + (size_t)b->n + 3;
	mlimg_autofree int32_t *vectors = calloc(2 * n_vector, sizeof(*vectors));
	int32_t *match = calloc((size_t)a->n + 1, sizeof(*match));
	struct comparison c = {.a = a->ids,
		.b = b->ids,
		.match = match,
		.forward = vectors,
		.backward = vectors ? vectors + n_vector : NULL,
		.edits = MLIMG_MERGE3_EDITS_MAX};

	*ret_match = match;
	if (!vectors || !match)
		return -ENOMEM;
	for (int32_t i = 0; i < a->n; i++)
		match[i] = NONE;
	return compare(&c, (struct part){0, a->n, 0, b->n});
}

/* --- merging (diff3) --- */

struct merge {
	struct lines base, a, b;
	int32_t *in_a, *in_b; /* of each line of the base */
	struct mlimg_text out;
};

static bool is_same_range(const struct lines *l, int32_t from, int32_t to,
	const struct lines *other, int32_t other_from, int32_t other_to)
{
	return to - from == other_to - other_from &&
		(to == from ||
			memcmp(l->ids + from, other->ids + other_from,
				(size_t)(to - from) * sizeof(*l->ids)) == 0);
}

static void put(struct merge *m, const struct lines *l, int32_t from, int32_t to)
{
	if (to > from)
		mlimg_text_put(&m->out, l->data + l->starts[from], l->starts[to] - l->starts[from]);
}

/* Where a chunk begins, in the three texts. */
struct at {
	int32_t base, a, b;
};

/* @return false when it is a conflict */
static bool put_chunk(struct merge *m, struct at from, struct at to)
{
	bool a_is_base = is_same_range(&m->a, from.a, to.a, &m->base, from.base, to.base);
	bool b_is_base = is_same_range(&m->b, from.b, to.b, &m->base, from.base, to.base);

	if (!a_is_base && !b_is_base && !is_same_range(&m->a, from.a, to.a, &m->b, from.b, to.b))
		return false;
	if (a_is_base)
		put(m, &m->b, from.b, to.b);
	else
		put(m, &m->a, from.a, to.a);
	return true;
}

static bool put_all(struct merge *m)
{
	struct at at = {0, 0, 0};

	while (at.base < m->base.n || at.a < m->a.n || at.b < m->b.n) {
		struct at to = at;

		/* Up to the next line that both have kept. */
		while (to.base < m->base.n &&
			(m->in_a[to.base] == NONE || m->in_b[to.base] == NONE))
			to.base++;
		to.a = to.base < m->base.n ? m->in_a[to.base] : m->a.n;
		to.b = to.base < m->base.n ? m->in_b[to.base] : m->b.n;
		if (!put_chunk(m, at, to))
			return false;
		at = to;
		while (at.base < m->base.n && m->in_a[at.base] == at.a &&
			m->in_b[at.base] == at.b) {
			put(m, &m->base, at.base, at.base + 1);
			at = (struct at){at.base + 1, at.a + 1, at.b + 1};
		}
	}
	return true;
}

static int split_all(struct merge *m, struct table *table, const struct mlimg_merge3_text *texts)
{
	struct lines *const lines[N_TEXTS] = {&m->base, &m->a, &m->b};
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < N_TEXTS; i++)
		n += (size_t)count_lines(texts[i]);
	for (table->n_slots = 64; table->n_slots < 2 * n; table->n_slots *= 2)
		;
	table->slots = calloc(table->n_slots, sizeof(*table->slots));
	if (!table->slots)
		return -ENOMEM;
	for (size_t i = 0; i < N_TEXTS && r == 0; i++)
		r = split(texts[i], table, lines[i]);
	return r;
}

/* @return 1, 0 on a conflict, -ENOMEM */
static int merge_lines(struct merge *m, const struct mlimg_merge3_text *texts)
{
	struct table table = {.slots = NULL};
	int r = split_all(m, &table, texts);

	free(table.slots);
	if (r == 0)
		r = compare_all(&m->base, &m->a, &m->in_a);
	if (r == 1)
		r = compare_all(&m->base, &m->b, &m->in_b);
	if (r == 1)
		r = put_all(m);
	/* An empty text is one, too. */
	mlimg_text_put(&m->out, "", 0);
	return m->out.has_failed ? -ENOMEM : r;
}

static void merge_done(struct merge *m)
{
	struct lines *const lines[N_TEXTS] = {&m->base, &m->a, &m->b};

	for (size_t i = 0; i < N_TEXTS; i++) {
		free(lines[i]->starts);
		free(lines[i]->ids);
	}
	free(m->in_a);
	free(m->in_b);
	free(m->out.data);
}

int mlimg_merge3(struct mlimg_merge3_text base, struct mlimg_merge3_text a,
	struct mlimg_merge3_text b, char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	const struct mlimg_merge3_text texts[N_TEXTS] = {base, a, b};
	struct merge m = {.in_a = NULL};
	int r;

	for (size_t i = 0; i < N_TEXTS; i++)
		if (!is_text(texts[i]))
			return MLIMG_MERGE3_NO_TEXT;
	r = merge_lines(&m, texts);
	if (r == 1) {
		*ret_text = mlimg_steal(&m.out.data);
		*ret_size = m.out.size;
	}
	merge_done(&m);
	if (r < 0)
		return mlimg_err_set(err, ENOMEM, "merge texts");
	return r ? MLIMG_MERGE3_MERGED : MLIMG_MERGE3_CONFLICT;
}
