/* SPDX-License-Identifier: MIT */
#include "libmlimg/accounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/accounts-layers.h"
#include "libmlimg/accounts-parse.h"
#include "libmlimg/text.h"

#define NO_NODE UINT32_MAX

static struct mlimg_account_three three_of(
	const struct mlimg_accounts_merge *m, const struct mlimg_account_line *line)
{
	struct mlimg_account_three t = {.key = line->key, .nth = line->nth};

	for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++)
		t.side[side] = mlimg_account_list_find(&m->sides[side], line->key, line->nth);
	return t;
}

static bool is_same_line(const struct mlimg_account_line *a, const struct mlimg_account_line *b)
{
	return a && b ? mlimg_span_is_same(a->text, b->text) : a == b;
}

static bool is_shown(const struct mlimg_accounts_merge *m, const struct mlimg_account_three *t)
{
	const struct mlimg_account_line *base = t->side[MLIMG_SIDE_BASE],
					*next = t->side[MLIMG_SIDE_NEXT],
					*mine = t->side[MLIMG_SIDE_MINE];
	bool is_user = m->file == MLIMG_PASSWD || m->file == MLIMG_SHADOW,
	     is_group = m->file == MLIMG_GROUP || m->file == MLIMG_GSHADOW;
	const struct mlimg_account_name *name = NULL;

	if (t->key[0] == 'a' && (is_user || is_group)) {
		const struct mlimg_account_names *names =
			is_user ? &m->job->users : &m->job->groups;

		name = mlimg_account_names_find(names, t->key, t->nth);
		/* A second password of somebody who is there once. */
		if (!name)
			name = mlimg_account_names_find(names, t->key, 0);
	}
	if (name && (!name->stays || m->file == MLIMG_PASSWD || m->file == MLIMG_GROUP))
		return name->stays;
	if (next && mine)
		return true;
	if (next)
		return !base;
	return !base || !is_same_line(base, mine) ||
		(name && name->id[MLIMG_SIDE_NEXT] == MLIMG_ID_NONE);
}

static int put_line(struct mlimg_accounts_merge *m, const struct mlimg_account_line *line)
{
	struct mlimg_account_three t = three_of(m, line);
	const struct mlimg_account_line *mine = t.side[MLIMG_SIDE_MINE];
	int r = 0;

	if (!is_shown(m, &t))
		return 0;
	if (t.key[0] == 'a' && m->file < MLIMG_SUBUID)
		r = mlimg_accounts_put_account(m, &t);
	else if (t.key[0] == 'a' && !mine)
		r = mlimg_accounts_put_range(m, &t);
	else if (mine && !(t.side[MLIMG_SIDE_NEXT] && is_same_line(mine, t.side[MLIMG_SIDE_BASE])))
		mlimg_text_put(&m->out, mine->text.at, mine->text.size);
	else
		mlimg_text_put(&m->out, t.side[MLIMG_SIDE_NEXT]->text.at,
			t.side[MLIMG_SIDE_NEXT]->text.size);
	mlimg_text_put(&m->out, "\n", 1);
	return r;
}

/* Lines in the order of the merged file, as a list. */
struct order {
	struct node {
		const struct mlimg_account_line *line;
		uint32_t next;
	} * nodes;
	uint32_t n, first;
};

static void insert(struct order *o, const struct mlimg_account_line *line, uint32_t behind)
{
	uint32_t *link = behind == NO_NODE ? &o->first : &o->nodes[behind].next;

	o->nodes[o->n] = (struct node){line, *link};
	*link = o->n++;
}

/*
 * The lines of the side that leads, and between them those that the other one alone has, each
 * behind the one before it there.
 */
static int order_lines(
	const struct mlimg_accounts_merge *m, enum mlimg_merge_side leads, struct order *o)
{
	const struct mlimg_account_list
		*first = &m->sides[leads],
		*second = &m->sides[leads == MLIMG_SIDE_NEXT ? MLIMG_SIDE_MINE : MLIMG_SIDE_NEXT];
	uint32_t behind = NO_NODE;

	*o = (struct order){
		.nodes = calloc(first->n + second->n + 1, sizeof(*o->nodes)), .first = NO_NODE};
	if (!o->nodes)
		return mlimg_err_set(m->job->err, ENOMEM, "accounts");
	for (size_t i = 0; i < first->n; i++) {
		insert(o, &first->lines[i], i ? (uint32_t)i - 1 : NO_NODE);
		first->lines[i].node = (uint32_t)i;
	}
	for (size_t i = 0; i < second->n; i++) {
		const struct mlimg_account_line *line = &second->lines[i],
						*same = mlimg_account_list_find(
							first, line->key, line->nth);

		if (same) {
			behind = same->node;
			continue;
		}
		insert(o, line, behind);
		behind = o->n - 1;
	}
	return 0;
}

static int merge_lines(struct mlimg_accounts_merge *m, enum mlimg_merge_side leads)
{
	struct order order;
	int r = order_lines(m, leads, &order);

	for (uint32_t i = r == 0 ? order.first : NO_NODE; i != NO_NODE && r == 0;
		i = order.nodes[i].next)
		r = put_line(m, order.nodes[i].line);
	free(order.nodes);
	mlimg_text_put(&m->out, "", 0);
	if (r == 0 && m->out.has_failed)
		r = mlimg_err_set(m->job->err, ENOMEM, "accounts");
	return r;
}

static int merge_file(struct mlimg_accounts_job *job, enum mlimg_accounts_file file,
	const struct mlimg_accounts *const sides[MLIMG_N_MERGE_SIDES],
	struct mlimg_merged_text *ret)
{
	struct mlimg_records_text texts[MLIMG_N_MERGE_SIDES];
	struct mlimg_account_list lists[MLIMG_N_MERGE_SIDES];
	struct mlimg_accounts_merge m = {.job = job, .file = file, .sides = lists};
	int r;

	for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++) {
		lists[side] = job->lists[side][file];
		texts[side] = sides[side]->files[file];
	}
	if (!texts[MLIMG_SIDE_MINE].text &&
		(!texts[MLIMG_SIDE_NEXT].text || texts[MLIMG_SIDE_BASE].text)) {
		*ret = (struct mlimg_merged_text){
			.from = texts[MLIMG_SIDE_NEXT].text ? MLIMG_FROM_MINE : MLIMG_FROM_NEXT};
		return 0;
	}
	r = merge_lines(&m, mlimg_merge_order(texts));
	if (r < 0) {
		free(m.out.data);
		return r;
	}
	ret->from = mlimg_merged_text_from(
		texts[MLIMG_SIDE_NEXT], texts[MLIMG_SIDE_MINE], m.out.data, &m.out.size);
	ret->text = m.out.data;
	ret->size = m.out.size;
	return 0;
}

static int merge_all(struct mlimg_accounts_job *job,
	const struct mlimg_accounts *const sides[MLIMG_N_MERGE_SIDES],
	struct mlimg_accounts_merged *merged)
{
	int r = 0;

	job->arena = mlimg_arena_new();
	if (!job->arena)
		return mlimg_err_set(job->err, ENOMEM, "accounts");
	for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++)
		for (enum mlimg_accounts_file f = 0; f < MLIMG_N_ACCOUNTS_FILES && r == 0; f++)
			r = mlimg_account_list_parse(f, sides[side]->files[f], job->arena,
				&job->lists[side][f], job->err);
	if (r == 0)
		r = mlimg_accounts_check_whole(job);
	if (r == 0)
		r = mlimg_accounts_decide(job);
	for (enum mlimg_accounts_file f = 0; f < MLIMG_N_ACCOUNTS_FILES && r == 0; f++)
		r = merge_file(job, f, sides, &merged->files[f]);
	return r;
}

int mlimg_accounts_merge(const struct mlimg_accounts *base, const struct mlimg_accounts *next,
	const struct mlimg_accounts *mine, const struct mlimg_accounts_used *used,
	struct mlimg_accounts_merged *ret, struct mlimg_notes *notes, struct mlimg_err *err)
{
	const struct mlimg_accounts *const sides[] = {
		[MLIMG_SIDE_BASE] = base, [MLIMG_SIDE_NEXT] = next, [MLIMG_SIDE_MINE] = mine};
	struct mlimg_accounts_merged merged = {.files = {{NULL, 0, 0}}};
	struct mlimg_accounts_job job = {.used = used, .notes = notes, .err = err};
	int r = merge_all(&job, sides, &merged);

	for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++)
		for (enum mlimg_accounts_file f = 0; f < MLIMG_N_ACCOUNTS_FILES; f++)
			mlimg_account_list_done(&job.lists[side][f]);
	free(job.users.names);
	free(job.groups.names);
	mlimg_arena_free(job.arena);
	merged.upper = job.upper;
	merged.lower = job.lower;
	merged.base = job.base;
	merged.came = job.came;
	if (r < 0) {
		mlimg_accounts_merged_done(&merged);
		return r;
	}
	*ret = merged;
	return 0;
}

void mlimg_accounts_merged_done(struct mlimg_accounts_merged *merged)
{
	for (enum mlimg_accounts_file f = 0; f < MLIMG_N_ACCOUNTS_FILES; f++)
		free(merged->files[f].text);
	mlimg_accounts_moves_done(&merged->upper);
	mlimg_accounts_moves_done(&merged->lower);
	mlimg_accounts_moves_done(&merged->base);
	mlimg_accounts_moves_done(&merged->came);
	*merged = (struct mlimg_accounts_merged){.files = {{NULL, 0, 0}}};
}
