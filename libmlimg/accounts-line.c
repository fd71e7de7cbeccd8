/* SPDX-License-Identifier: MIT */
#include "libmlimg/accounts-parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUBIDS_FIRST 100000 /* SUB_UID_MIN of login.defs(5) */

/*
 * What a field is: [N]ame, [P]lain, the account's own [I]d, a [G]roup's id, a [D]ay, which people
 * are not told of, a [S]et. Lines of subuid and subgid are merged as a whole.
 */
static const struct {
	const char *fields;
	const char *names[MLIMG_ACCOUNT_FIELDS_MAX];
} forms[] = {
	[MLIMG_PASSWD] = {"NPIGPPP",
		{"name", "password", "id", "primary group", "comment", "home directory", "shell"}},
	[MLIMG_GROUP] = {"NPIS", {"name", "password", "id", "members"}},
	[MLIMG_SHADOW] = {"NPDPPPPPP",
		{"name", "password", "day of change", "minimum age", "maximum age",
			"warning period", "inactivity period", "day of expiration", "last field"}},
	[MLIMG_GSHADOW] = {"NPSS", {"name", "password", "administrators", "members"}},
};

static void put_span(struct mlimg_text *out, struct mlimg_span span)
{
	mlimg_text_put(out, span.at, span.size);
}

/* ---- fields ---- */

static int cmp_member(const void *a, const void *b)
{
	const struct mlimg_span *x = a, *y = b;
	int order = memcmp(x->at, y->at, x->size < y->size ? x->size : y->size);

	return order ? order : (x->size > y->size) - (x->size < y->size);
}

/* Members of a list in their order; as many as there are, also when @members is NULL. */
static size_t members_of(struct mlimg_span list, struct mlimg_span *members)
{
	const char *end = list.size ? list.at + list.size : list.at;
	size_t n = 0;

	while (list.at != end) {
		const char *comma = memchr(list.at, ',', (size_t)(end - list.at));
		struct mlimg_span one = {list.at, (size_t)((comma ? comma : end) - list.at)};

		if (one.size && members)
			members[n] = one;
		n += one.size != 0;
		list.at = comma ? comma + 1 : end;
	}
	return n;
}

/* The members of a side, in their order and sorted. */
struct members {
	struct mlimg_span *list, *sorted;
	size_t n;
};

static int members_init(struct members *m, struct mlimg_span text, struct mlimg_arena *arena)
{
	m->n = members_of(text, NULL);
	m->list = mlimg_arena_alloc(arena, (2 * m->n + 1) * sizeof(*m->list));
	if (!m->list)
		return -ENOMEM;
	m->sorted = m->list + m->n;
	members_of(text, m->list);
	members_of(text, m->sorted);
	qsort(m->sorted, m->n, sizeof(*m->sorted), cmp_member);
	return 0;
}

static bool has_member(const struct members *m, const struct mlimg_span *one)
{
	return m->n && bsearch(one, m->sorted, m->n, sizeof(*one), cmp_member);
}

/* In when either side added it, out when either side removed it. */
static int put_set(struct mlimg_accounts_merge *m, const struct mlimg_span v[MLIMG_N_MERGE_SIDES])
{
	struct members sides[MLIMG_N_MERGE_SIDES];
	bool is_first = true;

	for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++)
		if (members_init(&sides[side], v[side], m->job->arena) < 0)
			return -ENOMEM;
	for (int side = MLIMG_SIDE_MINE; side >= MLIMG_SIDE_NEXT; side--)
		for (size_t i = 0; i < sides[side].n; i++) {
			const struct mlimg_span *one = &sides[side].list[i];
			bool is_elsewhere =
				has_member(&sides[MLIMG_SIDE_NEXT + MLIMG_SIDE_MINE - side], one);

			if (side == MLIMG_SIDE_NEXT && is_elsewhere)
				continue;
			if (!is_elsewhere && has_member(&sides[MLIMG_SIDE_BASE], one))
				continue;
			if (!is_first)
				mlimg_text_put(&m->out, ",", 1);
			put_span(&m->out, *one);
			is_first = false;
		}
	return 0;
}

static void put_id(
	struct mlimg_accounts_merge *m, uint32_t id, const struct mlimg_span v[MLIMG_N_MERGE_SIDES])
{
	char text[16];

	/* As it is written there, "007". */
	for (int side = MLIMG_SIDE_MINE; side >= MLIMG_SIDE_NEXT; side--)
		if (v[side].at && mlimg_account_id(v[side]) == id) {
			put_span(&m->out, v[side]);
			return;
		}
	mlimg_text_put(&m->out, text, (size_t)snprintf(text, sizeof(text), "%u", id));
}

static uint32_t gid_here(const struct mlimg_accounts_merge *m, int side,
	const struct mlimg_span v[MLIMG_N_MERGE_SIDES])
{
	const struct mlimg_owner_moves *const all[] = {[MLIMG_SIDE_BASE] = &m->job->base,
		[MLIMG_SIDE_NEXT] = &m->job->lower,
		[MLIMG_SIDE_MINE] = &m->job->upper};
	const struct mlimg_owner_moves *moves = all[side];

	if (!v[side].at)
		return MLIMG_ID_NONE;
	return mlimg_moved_id_of(moves->gids, moves->n_gids, mlimg_account_id(v[side]));
}

/* @return the side whose value it is: next when mine is as base was, else mine */
static int choose(const struct mlimg_span v[MLIMG_N_MERGE_SIDES], bool *ret_both)
{
	*ret_both = false;
	if (!v[MLIMG_SIDE_MINE].at)
		return MLIMG_SIDE_NEXT;
	if (!v[MLIMG_SIDE_NEXT].at || mlimg_span_is_same(v[MLIMG_SIDE_MINE], v[MLIMG_SIDE_NEXT]))
		return MLIMG_SIDE_MINE;
	if (v[MLIMG_SIDE_BASE].at && mlimg_span_is_same(v[MLIMG_SIDE_MINE], v[MLIMG_SIDE_BASE]))
		return MLIMG_SIDE_NEXT;
	*ret_both = !v[MLIMG_SIDE_BASE].at ||
		!mlimg_span_is_same(v[MLIMG_SIDE_NEXT], v[MLIMG_SIDE_BASE]);
	return MLIMG_SIDE_MINE;
}

static int note_both(
	const struct mlimg_accounts_merge *m, const struct mlimg_account_three *t, const char *what)
{
	return mlimg_accounts_note(m->job, MLIMG_NOTE_CONFLICT, m->file, t->key,
		"%s: changed here and by the system; it stays as it is here", what);
}

static int put_gid(struct mlimg_accounts_merge *m, const struct mlimg_account_three *t,
	const struct mlimg_span v[MLIMG_N_MERGE_SIDES])
{
	uint32_t base = gid_here(m, MLIMG_SIDE_BASE, v), next = gid_here(m, MLIMG_SIDE_NEXT, v),
		 mine = gid_here(m, MLIMG_SIDE_MINE, v);

	if (mine == MLIMG_ID_NONE || next == MLIMG_ID_NONE)
		put_id(m, mine == MLIMG_ID_NONE ? next : mine, v);
	else
		put_id(m, mine == base ? next : mine, v);
	if (mine == MLIMG_ID_NONE || next == MLIMG_ID_NONE || mine == next || mine == base ||
		next == base)
		return 0;
	return note_both(m, t, forms[m->file].names[3]);
}

static uint32_t own_id(const struct mlimg_accounts_merge *m, const struct mlimg_account_three *t)
{
	return mlimg_account_names_find(
		m->file == MLIMG_PASSWD ? &m->job->users : &m->job->groups, t->key, t->nth)
		->is;
}

static int put_field(struct mlimg_accounts_merge *m, const struct mlimg_account_three *t, size_t i,
	const struct mlimg_span v[MLIMG_N_MERGE_SIDES])
{
	char type = forms[m->file].fields[i];
	bool is_both;
	int side = choose(v, &is_both);

	if (type == 'I') {
		put_id(m, own_id(m, t), v);
		return 0;
	}
	if (type == 'G')
		return put_gid(m, t, v);
	if (type == 'S' && is_both)
		return put_set(m, v);
	put_span(&m->out, v[side]);
	return type == 'P' && is_both ? note_both(m, t, forms[m->file].names[i]) : 0;
}

int mlimg_accounts_put_account(struct mlimg_accounts_merge *m, const struct mlimg_account_three *t)
{
	struct mlimg_span fields[MLIMG_N_MERGE_SIDES][MLIMG_ACCOUNT_FIELDS_MAX];
	int r = 0;

	for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++)
		if (t->side[side])
			mlimg_account_split(t->side[side]->text, fields[side]);
	for (size_t i = 0; forms[m->file].fields[i] && r == 0; i++) {
		struct mlimg_span v[MLIMG_N_MERGE_SIDES] = {{NULL, 0}};

		for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++)
			if (t->side[side])
				v[side] = fields[side][i];
		if (i)
			mlimg_text_put(&m->out, ":", 1);
		r = put_field(m, t, i, v);
	}
	return r < 0 ? mlimg_err_set(m->job->err, r, "accounts") : 0;
}

/* ---- ranges ---- */

struct range {
	uint64_t start, end;
};

static struct range range_of(const struct mlimg_account_line *line)
{
	struct mlimg_span fields[MLIMG_ACCOUNT_FIELDS_MAX];
	uint64_t start;

	mlimg_account_split(line->text, fields);
	start = mlimg_account_id(fields[1]);
	return (struct range){start, start + mlimg_account_id(fields[2])};
}

/* Whether a range of next overlaps one of mine, and what lies behind all ranges. */
static bool overlaps(const struct mlimg_accounts_merge *m, struct range range, uint64_t *ret_behind)
{
	bool is_so = false;

	*ret_behind = SUBIDS_FIRST;
	for (int side = MLIMG_SIDE_NEXT; side <= MLIMG_SIDE_MINE; side++) {
		const struct mlimg_account_list *list = &m->sides[side];

		for (size_t i = 0; i < list->n; i++) {
			struct range other;

			if (!mlimg_account_line_is_account(&list->lines[i]))
				continue;
			other = range_of(&list->lines[i]);
			if (other.end > *ret_behind)
				*ret_behind = other.end;
			is_so |= side == MLIMG_SIDE_MINE && range.start < other.end &&
				other.start < range.end;
		}
	}
	return is_so;
}

int mlimg_accounts_put_range(struct mlimg_accounts_merge *m, const struct mlimg_account_three *t)
{
	const struct mlimg_account_line *line = t->side[MLIMG_SIDE_NEXT];
	struct range range = range_of(line);
	uint64_t behind;
	char text[64];

	if (!overlaps(m, range, &behind)) {
		put_span(&m->out, line->text);
		return 0;
	}
	behind += m->moved;
	m->moved += range.end - range.start;
	if (behind + (range.end - range.start) > UINT32_MAX) {
		put_span(&m->out, line->text);
		return mlimg_accounts_note(m->job, MLIMG_NOTE_CONFLICT, m->file, t->key,
			"the system's range from %" PRIu64
			" on overlaps another's, and no other is free",
			range.start);
	}
	snprintf(text, sizeof(text), ":%" PRIu64 ":%" PRIu64, behind, range.end - range.start);
	mlimg_text_put(&m->out, t->key + 1, strlen(t->key + 1));
	mlimg_text_put(&m->out, text, strlen(text));
	return mlimg_accounts_note(m->job, MLIMG_NOTE_TOLD, m->file, t->key,
		"the system's range from %" PRIu64 " on is another's here; it begins at %" PRIu64
		" instead",
		range.start, behind);
}
