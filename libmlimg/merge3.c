/* SPDX-License-Identifier: MIT */
/* Base is compared with each side; then chunk by chunk. */
#include "libmlimg/merge3.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/text.h"

#define N_TEXTS 3
#define NONE (-1)

struct merge {
	struct mlimg_lines base, a, b;
	int32_t *in_a, *in_b; /* of each line of the base */
	struct mlimg_text out;
};

static bool is_same_range(const struct mlimg_lines *l, int32_t from, int32_t to,
	const struct mlimg_lines *other, int32_t other_from, int32_t other_to)
{
	return to - from == other_to - other_from &&
		(to == from ||
			memcmp(l->ids + from, other->ids + other_from,
				(size_t)(to - from) * sizeof(*l->ids)) == 0);
}

static void put(struct merge *m, const struct mlimg_lines *l, int32_t from, int32_t to)
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

/* @return 1, 0 on a conflict, -ENOMEM */
static int merge_lines(struct merge *m, const struct mlimg_merge3_text *texts)
{
	struct mlimg_lines *const lines[N_TEXTS] = {&m->base, &m->a, &m->b};
	int r;

	for (size_t i = 0; i < N_TEXTS; i++) {
		lines[i]->data = texts[i].data;
		lines[i]->size = texts[i].size;
	}
	r = mlimg_lines_split(lines, N_TEXTS);
	if (r == 0)
		r = mlimg_lines_compare(&m->base, &m->a, &m->in_a);
	if (r == 1)
		r = mlimg_lines_compare(&m->base, &m->b, &m->in_b);
	if (r == 1)
		r = put_all(m);
	/* An empty text is one, too. */
	mlimg_text_put(&m->out, "", 0);
	return m->out.has_failed ? -ENOMEM : r;
}

static void merge_done(struct merge *m)
{
	struct mlimg_lines *const lines[N_TEXTS] = {&m->base, &m->a, &m->b};

	for (size_t i = 0; i < N_TEXTS; i++)
		mlimg_lines_done(lines[i]);
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
		if (!mlimg_lines_is_text(texts[i].data, texts[i].size))
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
