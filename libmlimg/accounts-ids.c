/* SPDX-License-Identifier: MIT */
#include "libmlimg/accounts-parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SYSTEM_FIRST 100 /* Debian's policy 9.2.2: 0 to 99 are the base system's own */
#define USERS_FIRST 1000
#define USERS_LAST 59999
#define SMALL_IDS 65536 /* those that free ones are looked for among are below */

/* Users or groups while their ids are decided. */
struct kind {
	struct mlimg_accounts_job *job;
	enum mlimg_accounts_file file, shadow;
	bool is_group;
	struct mlimg_account_names *names;
	struct mlimg_account_name **by_id; /* those that stay, sorted by what they have */
	size_t n_by_id;
	uint8_t taken[SMALL_IDS / 8];
};

static int no_memory(const struct kind *k)
{
	return mlimg_err_set(k->job->err, ENOMEM, "accounts");
}

/* ---- the names ---- */

static int name_cmp(const void *a, const void *b)
{
	const struct mlimg_account_name *x = a, *y = b;
	int order = strcmp(x->key, y->key);

	return order ? order : (x->nth > y->nth) - (x->nth < y->nth);
}

struct mlimg_account_name *mlimg_account_names_find(
	const struct mlimg_account_names *names, const char *key, uint32_t nth)
{
	const struct mlimg_account_name wanted = {.key = key, .nth = nth};

	return names->n ? bsearch(&wanted, names->names, names->n, sizeof(wanted), name_cmp) : NULL;
}

static uint32_t id_on(const struct kind *k, int side, const char *key, uint32_t nth)
{
	const struct mlimg_account_line *line =
		mlimg_account_list_find(&k->job->lists[side][k->file], key, nth);
	struct mlimg_span fields[MLIMG_ACCOUNT_FIELDS_MAX];

	if (!line)
		return MLIMG_ID_NONE;
	mlimg_account_split(line->text, fields);
	return mlimg_account_id(fields[2]);
}

/* Lines of next, and those of mine that next has not. */
static int list_names(struct kind *k)
{
	const struct mlimg_account_list *next = &k->job->lists[MLIMG_SIDE_NEXT][k->file],
					*mine = &k->job->lists[MLIMG_SIDE_MINE][k->file];
	struct mlimg_account_name *names = calloc(next->n + mine->n + 1, sizeof(*names));
	size_t n = 0;

	if (!names)
		return no_memory(k);
	for (size_t i = 0; i < next->n + mine->n; i++) {
		const struct mlimg_account_line *line =
			i < next->n ? &next->lines[i] : &mine->lines[i - next->n];

		if (!mlimg_account_line_is_account(line) ||
			(i >= next->n && mlimg_account_list_find(next, line->key, line->nth)))
			continue;
		names[n].key = line->key;
		names[n].nth = line->nth;
		for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++)
			names[n].id[side] = id_on(k, side, line->key, line->nth);
		n++;
	}
	qsort(names, n, sizeof(*names), name_cmp);
	*k->names = (struct mlimg_account_names){names, n};
	return 0;
}

/* ---- who stays ---- */

static bool is_changed_in(const struct mlimg_accounts_job *job, enum mlimg_accounts_file file,
	const char *key, uint32_t nth)
{
	const struct mlimg_account_line *was =
		mlimg_account_list_find(&job->lists[MLIMG_SIDE_BASE][file], key, nth);
	const struct mlimg_account_line *is =
		mlimg_account_list_find(&job->lists[MLIMG_SIDE_MINE][file], key, nth);

	return !was || !is ? was != is : !mlimg_span_is_same(was->text, is->text);
}

static bool is_primary(const struct kind *k, uint32_t gid)
{
	const struct mlimg_account_names *users = &k->job->users;
	struct mlimg_span fields[MLIMG_ACCOUNT_FIELDS_MAX];

	for (size_t i = 0; k->is_group && i < users->n; i++) {
		const struct mlimg_account_line *line =
			mlimg_account_list_find(&k->job->lists[MLIMG_SIDE_MINE][MLIMG_PASSWD],
				users->names[i].key, users->names[i].nth);

		if (!line || !users->names[i].stays)
			continue;
		mlimg_account_split(line->text, fields);
		if (mlimg_account_id(fields[3]) == gid)
			return true;
	}
	return false;
}

/* @return 1, 0; -1: it may be */
static int is_fixed(const struct kind *k, uint32_t id)
{
	const struct mlimg_accounts_used *used = k->job->used;

	return used && used->is_fixed ? used->is_fixed(used->ctx, k->is_group, id) : 0;
}

static bool is_used(const struct kind *k, uint32_t id)
{
	const struct mlimg_accounts_used *used = k->job->used;

	return !used || used->is_used(used->ctx, k->is_group, id) || is_fixed(k, id) ||
		is_primary(k, id);
}

static int decide_stays(const struct kind *k, struct mlimg_account_name *name)
{
	bool in_base = name->id[MLIMG_SIDE_BASE] != MLIMG_ID_NONE,
	     in_next = name->id[MLIMG_SIDE_NEXT] != MLIMG_ID_NONE,
	     in_mine = name->id[MLIMG_SIDE_MINE] != MLIMG_ID_NONE;
	bool is_changed;

	name->stays = in_mine ? in_next || !in_base : !in_base;
	if (name->stays || !in_mine)
		return 0;
	is_changed = is_changed_in(k->job, k->file, name->key, name->nth) ||
		is_changed_in(k->job, k->shadow, name->key, name->nth);
	name->stays = is_changed || is_used(k, name->id[MLIMG_SIDE_MINE]);
	if (!name->stays)
		return 0;
	return mlimg_accounts_note(k->job, is_changed ? MLIMG_NOTE_CONFLICT : MLIMG_NOTE_TOLD,
		k->file, name->key, "the system has this %s no more; it stays, since %s",
		k->is_group ? "group" : "user",
		is_changed ? "it was changed here" : "something may belong to it");
}

/* ---- which ids ---- */

static bool is_system_id(uint32_t id)
{
	return id < USERS_FIRST || id > USERS_LAST;
}

/* The base had it as it is here, and next has it no more. */
static bool is_left_over(const struct mlimg_account_name *name)
{
	return name->id[MLIMG_SIDE_NEXT] == MLIMG_ID_NONE &&
		name->id[MLIMG_SIDE_BASE] == name->id[MLIMG_SIDE_MINE];
}

/* Rules 1 and 2 of accounts.h, where mine and next differ. */
static uint32_t wanted_id(const struct mlimg_account_name *name)
{
	uint32_t base = name->id[MLIMG_SIDE_BASE], next = name->id[MLIMG_SIDE_NEXT],
		 mine = name->id[MLIMG_SIDE_MINE];

	return base != MLIMG_ID_NONE && mine == base ? next : mine;
}

static int tell_id(const struct kind *k, const struct mlimg_account_name *name, int fixed)
{
	uint32_t base = name->id[MLIMG_SIDE_BASE], next = name->id[MLIMG_SIDE_NEXT],
		 mine = name->id[MLIMG_SIDE_MINE];

	if (fixed && wanted_id(name) != mine)
		return mlimg_accounts_note(k->job, MLIMG_NOTE_TOLD, k->file, name->key,
			"the system has id %u for it; it stays %u, which files outside of the "
			"system %shave",
			next, mine, fixed < 0 ? "may " : "");
	if (base == MLIMG_ID_NONE)
		return mlimg_accounts_note(k->job, MLIMG_NOTE_TOLD, k->file, name->key,
			"the system has id %u for it; it stays %u", next, mine);
	if (base == next || base == mine)
		return 0;
	return mlimg_accounts_note(k->job, MLIMG_NOTE_CONFLICT, k->file, name->key,
		"id %u was changed to %u here and to %u by the system; it stays %u", base, mine,
		next, mine);
}

static int decide_id(const struct kind *k, struct mlimg_account_name *name)
{
	uint32_t next = name->id[MLIMG_SIDE_NEXT], mine = name->id[MLIMG_SIDE_MINE];
	bool differ = mine != MLIMG_ID_NONE && next != MLIMG_ID_NONE && mine != next;
	int fixed = 0;

	if (differ || (name->stays && is_left_over(name)))
		fixed = is_fixed(k, mine);
	name->is_fixed = fixed != 0;
	if (!differ)
		name->is = mine == MLIMG_ID_NONE ? next : mine;
	else
		name->is = fixed ? mine : wanted_id(name);
	name->arrives = name->is != mine;
	return differ ? tell_id(k, name, fixed) : 0;
}

/* It may have given way to an account that the user has deleted since (accounts.h). */
static void decide_covered(const struct kind *k, struct mlimg_account_name *name)
{
	const struct mlimg_accounts_used *used = k->job->used;
	uint32_t base = name->id[MLIMG_SIDE_BASE], mine = name->id[MLIMG_SIDE_MINE];

	if (!name->stays || base == MLIMG_ID_NONE || mine == MLIMG_ID_NONE || base == mine ||
		!used || !used->shows)
		return;
	for (size_t i = 0; i < k->names->n; i++)
		if (k->names->names[i].id[MLIMG_SIDE_MINE] == base)
			return;
	name->is_covered = !used->shows(used->ctx, k->is_group, base);
}

static void take(struct kind *k, uint32_t id)
{
	if (id < SMALL_IDS)
		k->taken[id / 8] |= (uint8_t)(1u << id % 8);
}

static bool is_taken(const struct kind *k, uint32_t id)
{
	const struct mlimg_accounts_used *used = k->job->used;

	return k->taken[id / 8] & 1u << id % 8 ||
		(used && used->is_used(used->ctx, k->is_group, id));
}

struct mlimg_id_range mlimg_id_range_of(uint32_t id)
{
	return is_system_id(id) ? (struct mlimg_id_range){USERS_FIRST - 1, SYSTEM_FIRST}
				: (struct mlimg_id_range){USERS_FIRST, USERS_LAST};
}

/* @return MLIMG_ID_NONE when there is none */
static uint32_t find_free(struct kind *k, uint32_t instead_of)
{
	struct mlimg_id_range range = mlimg_id_range_of(instead_of);

	for (uint32_t id = range.first;; id = range.first > range.last ? id - 1 : id + 1) {
		if (!is_taken(k, id)) {
			take(k, id);
			return id;
		}
		if (id == range.last)
			return MLIMG_ID_NONE;
	}
}

static int by_id_cmp(const void *a, const void *b)
{
	const struct mlimg_account_name *x = *(struct mlimg_account_name *const *)a,
					*y = *(struct mlimg_account_name *const *)b;

	if (x->is != y->is)
		return x->is < y->is ? -1 : 1;
	return name_cmp(x, y);
}

/* It moves for who is new; but not where files keep its number. */
static bool is_to_go(const struct mlimg_account_name *name)
{
	return is_left_over(name) && !name->is_fixed;
}

/* Somebody else who has the id in mine, and with whom next does not share it on purpose. */
static const struct mlimg_account_name *resident(
	struct mlimg_account_name *const *same, size_t n, bool want_left_over)
{
	for (size_t i = 0; i < n; i++)
		if (!same[i]->arrives && same[i]->id[MLIMG_SIDE_NEXT] != same[i]->is &&
			is_to_go(same[i]) == want_left_over)
			return same[i];
	return NULL;
}

static uint32_t other_id(struct kind *k, const struct mlimg_account_name *name)
{
	uint32_t mine = name->id[MLIMG_SIDE_MINE];

	if (mine != MLIMG_ID_NONE && name->arrives &&
		!mlimg_account_names_want(k->names, name, mine))
		return mine;
	return find_free(k, name->is);
}

/* All of those with one id that arrive with it, or those that are left over, get another one. */
static int move(struct kind *k, struct mlimg_account_name *const *same, size_t n, bool left_over,
	const struct mlimg_account_name *because)
{
	uint32_t was = same[0]->is, to = MLIMG_ID_NONE;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		struct mlimg_account_name *name = same[i];

		if (left_over ? name->arrives || !is_to_go(name) : !name->arrives)
			continue;
		if (to == MLIMG_ID_NONE)
			to = other_id(k, name);
		if (to == MLIMG_ID_NONE)
			return mlimg_accounts_note(k->job, MLIMG_NOTE_CONFLICT, k->file, name->key,
				"id %u is also that of '%.64s', and no other one is free", was,
				because->key + 1);
		name->is = to;
		r = mlimg_accounts_note(k->job, MLIMG_NOTE_TOLD, k->file, name->key,
			"id %u is that of '%.64s' here; it has %u instead", was, because->key + 1,
			to);
	}
	return r;
}

static int solve(struct kind *k, struct mlimg_account_name *const *same, size_t n)
{
	const struct mlimg_account_name *arriving = NULL, *here = resident(same, n, false);

	for (size_t i = 0; i < n && !arriving; i++)
		if (same[i]->arrives)
			arriving = same[i];
	if (!arriving)
		return 0;
	if (here)
		return move(k, same, n, false, here);
	return resident(same, n, true) ? move(k, same, n, true, arriving) : 0;
}

static int sort_by_id(struct kind *k)
{
	k->by_id = malloc((k->names->n + 1) * sizeof(struct mlimg_account_name *));
	if (!k->by_id)
		return no_memory(k);
	for (size_t i = 0; i < k->names->n; i++) {
		struct mlimg_account_name *name = &k->names->names[i];

		for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++)
			take(k, name->id[side]);
		if (name->stays)
			k->by_id[k->n_by_id++] = name;
	}
	qsort(k->by_id, k->n_by_id, sizeof(struct mlimg_account_name *), by_id_cmp);
	return 0;
}

static int solve_all(struct kind *k)
{
	int r = sort_by_id(k);

	for (size_t i = 0, n; i < k->n_by_id && r == 0; i += n) {
		uint32_t id = k->by_id[i]->is;

		for (n = 1; i + n < k->n_by_id && k->by_id[i + n]->is == id;)
			n++;
		if (n > 1)
			r = solve(k, k->by_id + i, n);
	}
	return r;
}

static int decide(struct kind *k)
{
	int r = list_names(k);

	for (size_t i = 0; r == 0 && i < k->names->n; i++) {
		r = decide_stays(k, &k->names->names[i]);
		if (r == 0)
			r = decide_id(k, &k->names->names[i]);
		if (r == 0)
			decide_covered(k, &k->names->names[i]);
	}
	if (r == 0)
		r = solve_all(k);
	free(k->by_id);
	return r;
}

int mlimg_accounts_decide(struct mlimg_accounts_job *job)
{
	struct kind users = {
		.job = job, .file = MLIMG_PASSWD, .shadow = MLIMG_SHADOW, .names = &job->users};
	struct kind groups = {.job = job,
		.file = MLIMG_GROUP,
		.shadow = MLIMG_GSHADOW,
		.is_group = true,
		.names = &job->groups};
	int r = decide(&users);

	if (r == 0)
		r = decide(&groups);
	if (r == 0)
		r = mlimg_accounts_list_moves(job);
	return r;
}
