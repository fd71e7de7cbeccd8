/* SPDX-License-Identifier: MIT */
/* Which owners of files follow when ids are decided (accounts.h). */
#include <errno.h>
#include <stdlib.h>

#include "libmlimg/accounts-parse.h"

bool mlimg_account_names_want(
	const struct mlimg_account_names *names, const struct mlimg_account_name *but, uint32_t id)
{
	for (size_t i = 0; i < names->n; i++) {
		const struct mlimg_account_name *other = &names->names[i];

		if (other != but && other->stays && other->is == id)
			return true;
	}
	return false;
}

static int move_cmp(const void *a, const void *b)
{
	const struct mlimg_moved_id *x = a, *y = b;

	return (x->from > y->from) - (x->from < y->from);
}

/* Whether a file of that side's with that owner is somebody's who keeps the id. */
static bool keeps(const struct mlimg_account_names *names, int side, uint32_t id)
{
	for (size_t i = 0; i < names->n; i++) {
		const struct mlimg_account_name *name = &names->names[i];

		if (name->stays && name->id[side] == id && name->is == id)
			return true;
	}
	return false;
}

/*
 * Whether base's files of that name are somebody else's in mine, or nobody's: it had to give way
 * when base came, and they showed as its own all the same.
 */
static bool gave_way(const struct mlimg_account_names *names, const struct mlimg_account_name *name)
{
	uint32_t id = name->id[MLIMG_SIDE_BASE], mine = name->id[MLIMG_SIDE_MINE];

	if (!name->stays || id == MLIMG_ID_NONE || mine == MLIMG_ID_NONE || id == mine)
		return false;
	for (size_t i = 0; i < names->n; i++)
		if (&names->names[i] != name && names->names[i].id[MLIMG_SIDE_MINE] == id)
			return true;
	return name->is_fixed || name->is_covered;
}

/*
 * Next's files: only of who gives way to somebody, or gave way before, of whom both sides moved or
 * made, and of whose id is fixed.
 */
static bool is_moved(
	const struct mlimg_account_names *names, const struct mlimg_account_name *name, int side)
{
	uint32_t id = name->id[side];

	if (!name->stays || id == MLIMG_ID_NONE || id == name->is)
		return false;
	return side == MLIMG_SIDE_MINE || name->is_fixed ||
		name->id[MLIMG_SIDE_MINE] == MLIMG_ID_NONE || name->id[MLIMG_SIDE_BASE] != id ||
		gave_way(names, name) || mlimg_account_names_want(names, name, id);
}

/*
 * Sorts them. Names that share an id and part: one map cannot say both. The lower new id it is.
 *
 * @return how many are left
 */
static size_t settle_moves(struct mlimg_moved_id *moves, size_t n)
{
	size_t kept = 0;

	qsort(moves, n, sizeof(*moves), move_cmp);
	for (size_t i = 0; i < n; i++) {
		if (kept && moves[kept - 1].from == moves[i].from) {
			if (moves[i].to < moves[kept - 1].to)
				moves[kept - 1].to = moves[i].to;
			continue;
		}
		moves[kept++] = moves[i];
	}
	return kept;
}

/* Told of a name. @return whether its files of the side become another's, and then which */
typedef bool move_fn(const struct mlimg_account_names *names, const struct mlimg_account_name *name,
	struct mlimg_moved_id *ret);

static bool move_of(const struct mlimg_account_names *names, const struct mlimg_account_name *name,
	int side, struct mlimg_moved_id *ret)
{
	*ret = (struct mlimg_moved_id){name->id[side], name->is};
	return is_moved(names, name, side) && !keeps(names, side, name->id[side]);
}

static bool move_of_mine(const struct mlimg_account_names *names,
	const struct mlimg_account_name *name, struct mlimg_moved_id *ret)
{
	return move_of(names, name, MLIMG_SIDE_MINE, ret);
}

static bool move_of_next(const struct mlimg_account_names *names,
	const struct mlimg_account_name *name, struct mlimg_moved_id *ret)
{
	return move_of(names, name, MLIMG_SIDE_NEXT, ret);
}

static bool move_of_base(const struct mlimg_account_names *names,
	const struct mlimg_account_name *name, struct mlimg_moved_id *ret)
{
	if (gave_way(names, name)) {
		*ret = (struct mlimg_moved_id){name->id[MLIMG_SIDE_BASE], name->is};
		/* As next's: of names that shared an id and parted, that who keeps it counts. */
		return ret->from != ret->to && !keeps(names, MLIMG_SIDE_BASE, ret->from);
	}
	if (!move_of_mine(names, name, ret))
		return false;
	for (size_t i = 0; i < names->n; i++)
		if (names->names[i].id[MLIMG_SIDE_BASE] == ret->from &&
			gave_way(names, &names->names[i]))
			return false;
	return true;
}

/* Nobody had it in mine, or somebody else. */
static bool has_come(const struct mlimg_account_names *names, const struct mlimg_account_name *name,
	struct mlimg_moved_id *ret)
{
	*ret = (struct mlimg_moved_id){name->is, MLIMG_ID_NONE};
	return name->stays && name->is != MLIMG_ID_NONE && name->id[MLIMG_SIDE_MINE] != name->is &&
		!keeps(names, MLIMG_SIDE_MINE, name->is);
}

static int list(const struct mlimg_accounts_job *job, const struct mlimg_account_names *names,
	move_fn *fn, const struct mlimg_moved_id **ret_moves, size_t *ret_n)
{
	struct mlimg_moved_id *moves = calloc(names->n + 1, sizeof(*moves));
	size_t n = 0;

	if (!moves)
		return mlimg_err_set(job->err, ENOMEM, "accounts");
	/* Root's files are root's, whatever the user calls him. */
	for (size_t i = 0; i < names->n; i++)
		n += fn(names, &names->names[i], &moves[n]) && moves[n].from && moves[n].to;
	*ret_n = settle_moves(moves, n);
	*ret_moves = moves;
	return 0;
}

int mlimg_accounts_list_moves(struct mlimg_accounts_job *job)
{
	const struct {
		move_fn *fn;
		struct mlimg_owner_moves *moves;
	} all[] = {{move_of_mine, &job->upper}, {move_of_next, &job->lower},
		{move_of_base, &job->base}, {has_come, &job->came}};
	int r = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all) && r == 0; i++) {
		struct mlimg_owner_moves *moves = all[i].moves;

		r = list(job, &job->users, all[i].fn, &moves->uids, &moves->n_uids);
		if (r == 0)
			r = list(job, &job->groups, all[i].fn, &moves->gids, &moves->n_gids);
	}
	return r;
}
