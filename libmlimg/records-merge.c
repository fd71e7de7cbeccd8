/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/records-parse.h"
#include "libmlimg/text.h"

/* A last line without newline is one all the same. */
static bool is_as(struct mlimg_records_text text, const char *merged, size_t size)
{
	if (!text.text || text.size > size ||
		(text.size && memcmp(merged, text.text, text.size) != 0))
		return false;
	return text.size == size ||
		(text.size && text.text[text.size - 1] != '\n' && text.size + 1 == size);
}

enum mlimg_merged_from mlimg_merged_text_from(
	struct mlimg_records_text next, struct mlimg_records_text mine, char *text, size_t *size)
{
	bool is_next = is_as(next, text, *size);

	if (!is_next && !is_as(mine, text, *size))
		return MLIMG_FROM_BOTH;
	*size = is_next ? next.size : mine.size;
	text[*size] = '\0';
	return is_next ? MLIMG_FROM_NEXT : MLIMG_FROM_MINE;
}

enum mlimg_merge_side mlimg_merge_order(const struct mlimg_records_text texts[MLIMG_N_MERGE_SIDES])
{
	const struct mlimg_records_text *base = &texts[MLIMG_SIDE_BASE],
					*mine = &texts[MLIMG_SIDE_MINE];

	if (!base->text || !mine->text || base->size != mine->size)
		return mine->text ? MLIMG_SIDE_MINE : MLIMG_SIDE_NEXT;
	return base->size == 0 || memcmp(base->text, mine->text, base->size) == 0 ? MLIMG_SIDE_NEXT
										  : MLIMG_SIDE_MINE;
}

struct merge {
	enum mlimg_records_form form;
	const char *path;
	struct mlimg_record_list lists[MLIMG_N_MERGE_SIDES];
	struct mlimg_text out;
	size_t n; /* records that are put */
	mlimg_records_follow_fn *follow;
	void *ctx;
	struct mlimg_notes *notes;
	struct mlimg_err *err;
};

static bool is_same(const struct mlimg_record *a, const struct mlimg_record *b)
{
	return a && b ? a->size == b->size && memcmp(a->text, b->text, a->size) == 0 : a == b;
}

/* Of a stanza its package, of all others the key. */
static int note(struct merge *m, const char *key)
{
	char name[256];
	size_t size = strcspn(key, "\n");

	if (size >= sizeof(name))
		size = sizeof(name) - 1;
	memcpy(name, key, size);
	name[size] = '\0';
	if (mlimg_notes_add(m->notes, MLIMG_NOTE_CONFLICT, m->path, name,
		    "changed here and by the system; it stays as it is here") < 0)
		return mlimg_err_set(m->err, ENOMEM, "%s", m->path);
	return 0;
}

static int put(struct merge *m, const char *key)
{
	const struct mlimg_record *base = mlimg_record_list_find(&m->lists[MLIMG_SIDE_BASE], key),
				  *next = mlimg_record_list_find(&m->lists[MLIMG_SIDE_NEXT], key),
				  *mine = mlimg_record_list_find(&m->lists[MLIMG_SIDE_MINE], key);
	const struct mlimg_record *any = mine ? mine : next;
	const struct mlimg_record *is = is_same(base, mine) ? next : mine;
	enum mlimg_merge_side side;
	int r = 0;

	if (m->follow && m->follow(m->ctx, any->text, any->size, &side))
		is = side == MLIMG_SIDE_MINE ? mine : next;
	else if (!is_same(base, mine) && !is_same(base, next) && !is_same(next, mine))
		r = note(m, key);
	if (!is)
		return r;
	mlimg_text_put(&m->out, is->text, is->size);
	if (mlimg_records_is_stanzas(m->form))
		mlimg_text_put(&m->out, "\n", 1);
	m->n++;
	return r;
}

static int merge(struct merge *m, const struct mlimg_records_text texts[MLIMG_N_MERGE_SIDES])
{
	static const char *const names[] = {"base", "next", "mine"};
	enum mlimg_merge_side leads = mlimg_merge_order(texts);
	const struct mlimg_record_list
		*first = &m->lists[leads],
		*second = &m->lists[leads == MLIMG_SIDE_NEXT ? MLIMG_SIDE_MINE : MLIMG_SIDE_NEXT];
	int r = 0;

	for (int side = 0; side < MLIMG_N_MERGE_SIDES && r == 0; side++) {
		r = mlimg_record_list_parse(m->form, texts[side], false, &m->lists[side], m->err);
		if (r < 0)
			r = mlimg_err_wrap(m->err, r, "%s: %s", names[side], m->path);
	}
	for (size_t i = 0; r == 0 && i < first->n; i++)
		r = put(m, first->records[i].key);
	for (size_t i = 0; r == 0 && i < second->n; i++)
		if (!mlimg_record_list_find(first, second->records[i].key))
			r = put(m, second->records[i].key);
	mlimg_text_put(&m->out, "", 0);
	if (r == 0 && m->out.has_failed)
		r = mlimg_err_set(m->err, ENOMEM, "%s", m->path);
	return r;
}

int mlimg_records_merge(enum mlimg_records_form form, const char *path,
	const struct mlimg_records_text texts[MLIMG_N_MERGE_SIDES], mlimg_records_follow_fn *follow,
	void *ctx, struct mlimg_merged_text *ret, struct mlimg_notes *notes, struct mlimg_err *err)
{
	const struct mlimg_records_text next = texts[MLIMG_SIDE_NEXT],
					mine = texts[MLIMG_SIDE_MINE];
	struct merge m = {.form = form,
		.path = path,
		.follow = follow,
		.ctx = ctx,
		.notes = notes,
		.err = err};
	int r = merge(&m, texts);

	for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++)
		mlimg_record_list_done(&m.lists[side]);
	if (r < 0 || (m.n == 0 && (!next.text || !mine.text))) {
		free(m.out.data);
		if (r == 0)
			*ret = (struct mlimg_merged_text){
				.from = next.text ? MLIMG_FROM_MINE : MLIMG_FROM_NEXT};
		return r;
	}
	ret->from = mlimg_merged_text_from(next, mine, m.out.data, &m.out.size);
	ret->text = m.out.data;
	ret->size = m.out.size;
	return 0;
}
