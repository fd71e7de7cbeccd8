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
 * Next's files: only of who gave way to somebody, of who came from both sides, and of whose id is
 * fixed.
 */
static bool is_moved(
	const struct mlimg_account_names *names, const struct mlimg_account_name *name, int side)
{
	uint32_t id = name->id[side];

	if (!name->stays || id == MLIMG_ID_NONE || id == name->is)
		return false;
	return side == MLIMG_SIDE_MINE || name->is_fixed ||
		name->id[MLIMG_SIDE_MINE] == MLIMG_ID_NONE ||
		name->id[MLIMG_SIDE_BASE] == MLIMG_ID_NONE ||
		mlimg_account_names_want(names, name, id);
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

int mlimg_account_names_list_moves(const struct mlimg_accounts_job *job,
	const struct mlimg_account_names *names, enum mlimg_merge_side side,
	const struct mlimg_moved_id **ret_moves, size_t *ret_n)
{
	struct mlimg_moved_id *moves = calloc(names->n + 1, sizeof(*moves));
	size_t n = 0;

	if (!moves)
		return mlimg_err_set(job->err, ENOMEM, "accounts");
	for (size_t i = 0; i < names->n; i++) {
		const struct mlimg_account_name *name = &names->names[i];

		if (is_moved(names, name, side) && !keeps(names, side, name->id[side]))
			moves[n++] = (struct mlimg_moved_id){name->id[side], name->is};
	}
	*ret_n = settle_moves(moves, n);
	*ret_moves = moves;
	return 0;
}

int mlimg_account_names_list_came(const struct mlimg_accounts_job *job,
	const struct mlimg_account_names *names, const struct mlimg_moved_id **ret_moves,
	size_t *ret_n)
{
	struct mlimg_moved_id *moves = calloc(names->n + 1, sizeof(*moves));
	size_t n = 0;

	if (!moves)
		return mlimg_err_set(job->err, ENOMEM, "accounts");
	for (size_t i = 0; i < names->n; i++) {
		const struct mlimg_account_name *name = &names->names[i];

		if (name->stays && name->is != MLIMG_ID_NONE &&
			name->id[MLIMG_SIDE_MINE] != name->is &&
			!keeps(names, MLIMG_SIDE_MINE, name->is))
			moves[n++] = (struct mlimg_moved_id){name->is, MLIMG_ID_NONE};
	}
	*ret_n = settle_moves(moves, n);
	*ret_moves = moves;
	return 0;
}
