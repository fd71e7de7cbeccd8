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
#define MARK_SIZE 7 /* as diff3's */

/* Where a chunk begins, in the three texts. */
struct at {
	int32_t base, a, b;
};

struct merge;
typedef void put_conflict_fn(struct merge *m, struct at from, struct at to);

struct merge {
	struct mlimg_lines base, a, b;
	int32_t *in_a, *in_b; /* of each line of the base */
	struct mlimg_text out;
	const struct mlimg_merge3_marking *marking; /* NULL: a conflict ends it */
	put_conflict_fn *put_conflict; /* a pointer, so that who marks none links none */
	size_t n_conflicts;
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

static void put_mark(struct merge *m, char c, const char *name)
{
	char mark[MARK_SIZE + 1];

	if (m->out.size && m->out.data[m->out.size - 1] != '\n')
		mlimg_text_put(&m->out, "\n", 1);
	memset(mark, c, MARK_SIZE);
	mark[MARK_SIZE] = ' ';
	mlimg_text_put(&m->out, mark, name ? sizeof(mark) : MARK_SIZE);
	if (name)
		mlimg_text_put(&m->out, name, strlen(name));
	mlimg_text_put(&m->out, "\n", 1);
}

static void put_conflict(struct merge *m, struct at from, struct at to)
{
	m->n_conflicts++;
	put_mark(m, '<', m->marking->a_name);
	put(m, &m->a, from.a, to.a);
	put_mark(m, '=', NULL);
	put(m, &m->b, from.b, to.b);
	put_mark(m, '>', m->marking->b_name);
}

/* @return false when it is a conflict that is not marked */
static bool put_chunk(struct merge *m, struct at from, struct at to)
{
	/* Without a base nobody knows which of two has changed. */
	bool has_base = !m->marking || m->marking->has_base;
	bool a_is_base =
		has_base && is_same_range(&m->a, from.a, to.a, &m->base, from.base, to.base);
	bool b_is_base =
		has_base && is_same_range(&m->b, from.b, to.b, &m->base, from.base, to.base);

	if (!a_is_base && !b_is_base && !is_same_range(&m->a, from.a, to.a, &m->b, from.b, to.b)) {
		if (m->marking)
			m->put_conflict(m, from, to);
		return m->marking != NULL;
	}
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

/* @return enum mlimg_merge3_result, -ENOMEM */
static int merge_texts(struct merge *m, const struct mlimg_merge3_text texts[N_TEXTS],
	char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	int r;

	for (size_t i = 0; i < N_TEXTS; i++)
		if (!mlimg_lines_is_text(texts[i].data, texts[i].size))
			return MLIMG_MERGE3_NO_TEXT;
	r = merge_lines(m, texts);
	if (r == 1) {
		*ret_text = mlimg_steal(&m->out.data);
		*ret_size = m->out.size;
	}
	merge_done(m);
	if (r < 0)
		return mlimg_err_set(err, ENOMEM, "merge texts");
	return r ? MLIMG_MERGE3_MERGED : MLIMG_MERGE3_CONFLICT;
}

int mlimg_merge3(struct mlimg_merge3_text base, struct mlimg_merge3_text a,
	struct mlimg_merge3_text b, char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	const struct mlimg_merge3_text texts[N_TEXTS] = {base, a, b};
	struct merge m = {.in_a = NULL};

	return merge_texts(&m, texts, ret_text, ret_size, err);
}

/* What both have in common takes the place of a base. @return as merge_lines() */
static int put_common(
	struct mlimg_merge3_text a, struct mlimg_merge3_text b, struct mlimg_text *ret)
{
	struct mlimg_lines in_a = {.data = a.data, .size = a.size},
			   in_b = {.data = b.data, .size = b.size};
	struct mlimg_lines *const both[] = {&in_a, &in_b};
	mlimg_autofree int32_t *match = NULL;
	int r = mlimg_lines_split(both, 2);

	if (r == 0)
		r = mlimg_lines_compare(&in_a, &in_b, &match);
	for (int32_t i = 0; r == 1 && i < in_a.n; i++)
		if (match[i] != NONE)
			mlimg_text_put(ret, in_a.data + in_a.starts[i],
				in_a.starts[i + 1] - in_a.starts[i]);
	mlimg_lines_done(&in_a);
	mlimg_lines_done(&in_b);
	return ret->has_failed ? -ENOMEM : r;
}

int mlimg_merge3_marked(const struct mlimg_merge3_marking *in, char **ret_text, size_t *ret_size,
	size_t *ret_n_conflicts, struct mlimg_err *err)
{
	struct mlimg_merge3_text texts[N_TEXTS] = {in->base, in->a, in->b};
	struct merge m = {.marking = in, .put_conflict = put_conflict};
	struct mlimg_text common = {.data = NULL};
	int r = 1;

	if (!in->has_base) {
		if (!mlimg_lines_is_text(in->a.data, in->a.size) ||
			!mlimg_lines_is_text(in->b.data, in->b.size))
			return MLIMG_MERGE3_NO_TEXT;
		r = put_common(in->a, in->b, &common);
		texts[0] = (struct mlimg_merge3_text){common.data, common.size};
	}
	if (r < 0)
		r = mlimg_err_set(err, ENOMEM, "merge texts");
	else
		r = r ? merge_texts(&m, texts, ret_text, ret_size, err) : MLIMG_MERGE3_CONFLICT;
	free(common.data);
	*ret_n_conflicts = m.n_conflicts;
	return r;
}

size_t mlimg_merge3_find_mark(const char *text, size_t size)
{
	size_t number = 0;

	for (const char *line = text, *end; line < text + size; line = end + 1) {
		size_t left = (size_t)(text + size - line);

		number++;
		end = memchr(line, '\n', left);
		end = end ? end : text + size;
		if ((size_t)(end - line) > MARK_SIZE &&
			(memcmp(line, "<<<<<<< ", MARK_SIZE + 1) == 0 ||
				memcmp(line, ">>>>>>> ", MARK_SIZE + 1) == 0))
			return number;
	}
	return 0;
}
