/* SPDX-License-Identifier: MIT */
#include "libmlimg/reconcile.h"

#include <string.h>

#include "libmlimg/whiteout.h"

const char *mlimg_verdict_name(enum mlimg_verdict verdict)
{
	static const char *const names[MLIMG_N_VERDICTS] = {
		[MLIMG_KEEP] = "keep",
		[MLIMG_STALE] = "stale",
		[MLIMG_SAME] = "same",
		[MLIMG_CONFLICT] = "conflict",
		[MLIMG_TYPE_CHANGE] = "type-change",
		[MLIMG_WHITEOUT_GONE] = "whiteout-gone",
		[MLIMG_WHITEOUT_CHANGED] = "whiteout-changed",
	};

	return names[verdict];
}

/*
 * Contents that are not known are different: to keep too much harms less than to drop what is the
 * user's.
 */
static bool has_same_contents(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	if (a->type != MLIMG_FILE || a->size_bytes == 0)
		return true;
	return a->has_digest && b->has_digest &&
		memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

/* Equal as the rules mean it; absent equals absent. */
static bool is_same(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	if (!a || !b)
		return !a && !b;
	return mlimg_entry_has_same_attrs(a, b) && has_same_contents(a, b);
}

static enum mlimg_verdict decide_whiteout(
	const struct mlimg_entry *base, const struct mlimg_entry *next)
{
	if (!next)
		return MLIMG_WHITEOUT_GONE;
	return is_same(base, next) ? MLIMG_KEEP : MLIMG_WHITEOUT_CHANGED;
}

/* A whiteout and a directory of the user's own in one. */
static enum mlimg_verdict decide_opaque(
	const struct mlimg_entry *base, const struct mlimg_entry *next)
{
	if (!next || is_same(base, next))
		return MLIMG_KEEP;
	return next->type == MLIMG_DIR ? MLIMG_CONFLICT : MLIMG_TYPE_CHANGE;
}

enum mlimg_verdict mlimg_reconcile_decide(const struct mlimg_entry *base,
	const struct mlimg_entry *next, const struct mlimg_entry *mine)
{
	if (mlimg_entry_is_whiteout(mine))
		return decide_whiteout(base, next);
	if (mlimg_entry_is_opaque(mine))
		return decide_opaque(base, next);
	if (is_same(mine, next))
		return mine->type == MLIMG_DIR ? MLIMG_KEEP : MLIMG_SAME;
	if (is_same(base, next))
		return MLIMG_KEEP;
	if (is_same(mine, base) && !(mine->type == MLIMG_DIR && next && next->type != MLIMG_DIR))
		return MLIMG_STALE;
	if (!next)
		return MLIMG_CONFLICT;
	return mine->type == next->type ? MLIMG_CONFLICT : MLIMG_TYPE_CHANGE;
}
