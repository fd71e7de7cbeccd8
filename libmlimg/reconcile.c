/* SPDX-License-Identifier: MIT */
#include "libmlimg/reconcile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/acl.h"
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
		[MLIMG_MERGED] = "merged",
	};

	return names[verdict];
}

/*
 * Contents that are not known are different: to keep too much harms less than to drop what is the
 * user's.
 */
bool mlimg_reconcile_has_same_contents(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	if (a->type != b->type || a->size_bytes != b->size_bytes || a->dev_major != b->dev_major ||
		a->dev_minor != b->dev_minor)
		return false;
	if (a->type == MLIMG_LINK)
		return strcmp(a->link, b->link) == 0;
	if (a->type != MLIMG_FILE || a->size_bytes == 0)
		return true;
	return a->has_digest && b->has_digest &&
		memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

bool mlimg_reconcile_is_same(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	if (!a || !b)
		return !a && !b;
	return mlimg_entry_has_same_attrs(a, b) && mlimg_reconcile_has_same_contents(a, b);
}

/* --- by component --- */

/* One xattr name in base, next and mine; NULL where it is not there. */
struct three {
	const struct mlimg_xattr *base, *next, *mine;
};

/* The lists are sorted by name, so that the least name of three cursors is next. */
struct xattr_walk {
	const struct mlimg_entry *entries[3];
	uint32_t at[3];
};

static const struct mlimg_xattr *at_cursor(struct xattr_walk *w, size_t i)
{
	const struct mlimg_entry *e = w->entries[i];

	while (e && w->at[i] < e->n_xattrs && mlimg_xattr_is_overlay(e->xattrs[w->at[i]].name))
		w->at[i]++;
	return e && w->at[i] < e->n_xattrs ? &e->xattrs[w->at[i]] : NULL;
}

/* @return whether there is another name */
static bool next_three(struct xattr_walk *w, struct three *ret)
{
	const struct mlimg_xattr *found[3], *least = NULL;

	for (size_t i = 0; i < 3; i++) {
		found[i] = at_cursor(w, i);
		if (found[i] && (!least || strcmp(found[i]->name, least->name) < 0))
			least = found[i];
	}
	for (size_t i = 0; least && i < 3; i++) {
		if (found[i] && strcmp(found[i]->name, least->name) == 0)
			w->at[i]++;
		else
			found[i] = NULL;
	}
	*ret = (struct three){found[0], found[1], found[2]};
	return least != NULL;
}

static bool is_same_value(const struct mlimg_xattr *a, const struct mlimg_xattr *b)
{
	if (!a || !b)
		return !a && !b;
	return a->size == b->size && (a->size == 0 || memcmp(a->value, b->value, a->size) == 0);
}

/* Of an ACL the mode's digits are the mode's. */
static bool is_same_xattr(const struct mlimg_xattr *a, const struct mlimg_xattr *b)
{
	return a && strcmp(a->name, MLIMG_ACL_ACCESS) == 0 ? mlimg_acl_is_same(a, b)
							   : is_same_value(a, b);
}

/* @return whose xattr it is; sets *@conflicts where both changed it */
static const struct mlimg_xattr *merge_xattr(
	const struct three *t, bool has_base, unsigned *conflicts)
{
	if (is_same_xattr(t->mine, t->next))
		return t->mine;
	if (has_base && is_same_xattr(t->mine, t->base))
		return t->next;
	if (!has_base || !is_same_xattr(t->next, t->base))
		*conflicts |= MLIMG_XATTRS;
	return t->mine;
}

/* @return the merged number; sets *@conflicts where both changed it */
static uint32_t merge_number(uint32_t base, uint32_t next, uint32_t mine, bool has_base,
	enum mlimg_component component, unsigned *conflicts)
{
	if (mine == next || !has_base) {
		*conflicts |= mine == next ? 0 : component;
		return mine;
	}
	if (mine == base)
		return next;
	if (next != base)
		*conflicts |= component;
	return mine;
}

/*
 * @return whether the merged contents are next's, and not mine; sets *@conflicts where both changed
 *         them
 */
static bool merge_contents(const struct mlimg_entry *base, const struct mlimg_entry *next,
	const struct mlimg_entry *mine, unsigned *conflicts)
{
	if (mlimg_reconcile_has_same_contents(mine, next))
		return false;
	if (base && mlimg_reconcile_has_same_contents(mine, base))
		return true;
	if (!base || !mlimg_reconcile_has_same_contents(next, base))
		*conflicts |= MLIMG_CONTENTS;
	return false;
}

/* All but the xattrs. */
static void merge_plain(const struct mlimg_entry *base, const struct mlimg_entry *next,
	const struct mlimg_entry *mine, struct mlimg_merged_entry *ret)
{
	static const struct mlimg_entry none;
	const struct mlimg_entry *b = base ? base : &none;
	struct mlimg_entry *e = &ret->entry;

	*ret = (struct mlimg_merged_entry){.entry = *mine};
	ret->is_contents_next = merge_contents(base, next, mine, &ret->conflicts);
	e->mode = (uint16_t)merge_number(
		b->mode, next->mode, mine->mode, base, MLIMG_MODE, &ret->conflicts);
	e->uid = merge_number(b->uid, next->uid, mine->uid, base, MLIMG_UID, &ret->conflicts);
	e->gid = merge_number(b->gid, next->gid, mine->gid, base, MLIMG_GID, &ret->conflicts);
	if (!ret->is_contents_next)
		return;
	e->link = next->link;
	e->size_bytes = next->size_bytes;
	e->mtime_s = next->mtime_s;
	e->mtime_ns = next->mtime_ns;
	e->dev_major = next->dev_major;
	e->dev_minor = next->dev_minor;
	e->has_digest = next->has_digest;
	memcpy(e->digest, next->digest, sizeof(e->digest));
}

static const struct mlimg_entry *usable_base(
	const struct mlimg_entry *base, const struct mlimg_entry *mine)
{
	return base && base->type == mine->type ? base : NULL;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct mlimg_xattr *)a)->name, ((const struct mlimg_xattr *)b)->name);
}

int mlimg_reconcile_merge(const struct mlimg_entry *base, const struct mlimg_entry *next,
	const struct mlimg_entry *mine, struct mlimg_arena *arena,
	struct mlimg_merged_entry *ret_merged)
{
	struct xattr_walk w = {.entries = {usable_base(base, mine), next, mine}};
	struct mlimg_merged_entry merged;
	struct mlimg_xattr *xattrs;
	struct three t;
	uint32_t n = 0;

	base = w.entries[0];
	merge_plain(base, next, mine, &merged);
	xattrs = mlimg_arena_alloc(arena, (mine->n_xattrs + next->n_xattrs + 1) * sizeof(*xattrs));
	if (!xattrs)
		return -ENOMEM;
	while (next_three(&w, &t)) {
		const struct mlimg_xattr *x = merge_xattr(&t, base, &merged.conflicts);

		if (!x)
			continue;
		xattrs[n] = *x;
		if (strcmp(x->name, MLIMG_ACL_ACCESS) == 0 &&
			mlimg_acl_fit(&xattrs[n], merged.entry.mode, arena) < 0)
			return -ENOMEM;
		n++;
	}
	for (uint32_t i = 0; i < mine->n_xattrs; i++)
		if (mlimg_xattr_is_overlay(mine->xattrs[i].name))
			xattrs[n++] = mine->xattrs[i];
	if (n > 1)
		qsort(xattrs, n, sizeof(*xattrs), by_name);
	merged.entry.xattrs = xattrs;
	merged.entry.n_xattrs = n;
	*ret_merged = merged;
	return 0;
}

/* mlimg_reconcile_merge() without the result. */
static unsigned conflicts_of(const struct mlimg_entry *base, const struct mlimg_entry *next,
	const struct mlimg_entry *mine)
{
	struct xattr_walk w = {.entries = {usable_base(base, mine), next, mine}};
	struct mlimg_merged_entry merged;
	struct three t;

	merge_plain(w.entries[0], next, mine, &merged);
	while (next_three(&w, &t))
		merge_xattr(&t, w.entries[0], &merged.conflicts);
	return merged.conflicts;
}

/* --- the rules --- */

static enum mlimg_verdict decide_whiteout(
	const struct mlimg_entry *base, const struct mlimg_entry *next)
{
	if (!next)
		return MLIMG_WHITEOUT_GONE;
	return mlimg_reconcile_is_same(base, next) ? MLIMG_KEEP : MLIMG_WHITEOUT_CHANGED;
}

static bool is_dir(const struct mlimg_entry *e)
{
	return e && e->type == MLIMG_DIR;
}

/* Rules 8 and 9. */
static enum mlimg_verdict decide_without_next(
	const struct mlimg_entry *base, const struct mlimg_entry *mine)
{
	return is_dir(mine) && !is_dir(base) ? MLIMG_KEEP : MLIMG_CONFLICT;
}

/* Rules 10 and 11. */
static enum mlimg_verdict decide_type(
	const struct mlimg_entry *base, const struct mlimg_entry *next)
{
	return base && mlimg_reconcile_has_same_contents(base, next) ? MLIMG_KEEP
								     : MLIMG_TYPE_CHANGE;
}

enum mlimg_verdict mlimg_reconcile_decide(const struct mlimg_entry *base,
	const struct mlimg_entry *next, const struct mlimg_entry *mine)
{
	if (mlimg_entry_is_whiteout(mine))
		return decide_whiteout(base, next);
	if (mlimg_reconcile_is_same(mine, next))
		return is_dir(mine) ? MLIMG_KEEP : MLIMG_SAME;
	if (mlimg_reconcile_is_same(base, next))
		return MLIMG_KEEP;
	if (mlimg_reconcile_is_same(mine, base))
		return is_dir(mine) && next && !is_dir(next) ? MLIMG_TYPE_CHANGE : MLIMG_STALE;
	if (!next)
		return decide_without_next(base, mine);
	if (mine->type != next->type)
		return decide_type(base, next);
	return conflicts_of(base, next, mine) ? MLIMG_CONFLICT : MLIMG_MERGED;
}
