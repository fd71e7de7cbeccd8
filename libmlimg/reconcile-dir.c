/* SPDX-License-Identifier: MIT */
/* The directories of an upper, and the walk over what is in them. */
#include "libmlimg/reconcile-plan.h"

#include <string.h>

#include "libmlimg/path.h"
#include "libmlimg/reconcile-impl.h"
#include "libmlimg/upper-view.h"
#include "libmlimg/whiteout.h"

/* @dir / @name, where @dir may be "" */
static char *join(struct planning *p, const char *dir, const char *name, size_t name_size)
{
	char *path = mlimg_arena_alloc(p->arena, strlen(dir) + 1 + name_size + 1);

	if (path)
		mlimg_path_join(path, dir, name, name_size);
	return path;
}

int plan_lower_of(
	struct planning *p, const struct place *place, const char *path, const char **ret_lower)
{
	size_t size = strlen(place->path);
	const char *rest = path + size + (size > 0);

	*ret_lower = place->lower;
	if (!place->lower)
		return 0;
	*ret_lower = place->lower == place->path ? path : join(p, place->lower, rest, strlen(rest));
	return *ret_lower ? 0 : no_memory(p, path);
}

/*
 * What a redirect names, as a path in the layers. Apart, since the walk is recursive and a path is
 * long.
 *
 * @param own        where the directory itself lies beneath; NULL: nothing does
 * @param ret_lower  NULL where it names nothing
 */
static __attribute__((noinline)) int follow(
	struct planning *p, const struct mlimg_xattr *x, const char *own, const char **ret_lower)
{
	char path[MLIMG_PATH_MAX + 1];

	*ret_lower = NULL;
	if (!mlimg_redirect_follow(x, own, path))
		return 0;
	*ret_lower = mlimg_arena_strndup(p->arena, path, strlen(path));
	return *ret_lower ? 0 : no_memory(p, own ? own : "");
}

static bool is_dir(const struct mlimg_entry *e)
{
	return e && e->type == MLIMG_DIR;
}

void plan_skip_below(const struct planning *p, size_t *at, const char *path)
{
	while (*at < p->upper->n_entries && mlimg_path_is_below(p->upper->entries[*at].path, path))
		++*at;
}

/*
 * The old stack's things that a directory has elsewhere, or the new stack's things that it hides,
 * in ways that its attributes do not tell.
 */
static const char *renamed_why(struct planning *p, const struct dir *d)
{
	struct mlimg_entry base_buf, next_buf;
	const struct mlimg_entry *next = d->own ? plan_next_at(p, d->own, &next_buf) : NULL;

	if (is_dir(d->m.base) && !is_dir(d->m.next))
		return "the directory that it was renamed from is gone";
	if (next && d->m.lower && strcmp(d->own, d->m.lower) != 0 &&
		!mlimg_reconcile_is_same(plan_base_at(p, d->own, &base_buf), next))
		return "hides what the new stack has in the place to which it was renamed";
	return NULL;
}

static int merge_dir(struct planning *p, struct dir *d)
{
	struct mlimg_merged_entry merged = {.entry = d->m.mapped};

	if (d->m.class != MLIMG_CLASS_KEEP && is_dir(d->m.next) &&
		mlimg_reconcile_merge(d->m.base, d->m.next, &d->m.mapped, p->arena, &merged) < 0)
		return no_memory(p, d->m.entry->path);
	d->merged = merged.entry;
	return 0;
}

int plan_dir_find(
	struct planning *p, size_t at, const struct place *place, const char *own, struct dir *ret)
{
	const struct mlimg_entry *e = &p->upper->entries[at];
	const struct mlimg_xattr *redirect = mlimg_entry_xattr(e, MLIMG_XATTR_REDIRECT);
	const char *lower = own;
	int r = 0;

	*ret = (struct dir){.own = own};
	if (redirect && !mlimg_entry_is_opaque(e)) {
		ret->is_renamed = true;
		r = follow(p, redirect, own, &lower);
	}
	if (r == 0)
		r = plan_mine_find(p, at, lower, &ret->m);
	if (r < 0)
		return r;
	plan_opacity_find(p, place, redirect, ret);
	if (ret->is_renamed)
		ret->why = renamed_why(p, ret);
	return p->has_failed ? no_memory(p, e->path) : merge_dir(p, ret);
}

/* @return whether only what is in it could keep the directory in the upper */
static bool is_droppable(const struct planning *p, const struct dir *d)
{
	const struct mine *m = &d->m;

	if (d->is_opaque || d->is_closed || d->is_renamed || m->class == MLIMG_CLASS_KEEP ||
		p->fates[m->at] & FATE_NEEDED)
		return false;
	return (m->next && mlimg_reconcile_is_same(&d->merged, m->next)) ||
		(m->base && mlimg_reconcile_is_same(&m->mapped, m->base));
}

static int drop_dir(struct planning *p, const struct dir *d, enum mlimg_verdict verdict)
{
	const struct mine *m = &d->m;
	int r = plan_put_op(p, MLIMG_PLAN_DROP_DIR, m->entry->path, m->entry, 0);

	if (mlimg_reconcile_is_same(&m->mapped, m->next))
		verdict = MLIMG_SAME;
	else if (verdict != MLIMG_MERGED)
		verdict = MLIMG_STALE;
	if (r == 0)
		plan_tell(p, m, verdict, MLIMG_DONE_DROPPED, NULL);
	return r;
}

/* A directory that stays. */
static int keep_dir(struct planning *p, const struct dir *d, enum mlimg_verdict verdict)
{
	const struct mine *m = &d->m;
	int r = 0;

	if ((mlimg_entry_is_opaque(m->entry) && !d->is_joined && !d->is_compared) || d->is_closed ||
		d->is_renamed)
		p->fates[m->at] |= FATE_CLOSED;
	if (m->is_protected)
		verdict = plan_protected_verdict(verdict);
	else if (m->class == MLIMG_CLASS_KEEP)
		verdict = MLIMG_KEEP;
	else if (d->why)
		verdict = MLIMG_CONFLICT;
	if (!d->is_joined && !d->is_closed)
		return plan_set_attrs(p, m, &d->merged, verdict, d->why);
	if (!mlimg_entry_has_same_attrs(m->entry, &d->merged))
		r = plan_put_op(p, MLIMG_PLAN_SET_ATTRS, m->entry->path, &d->merged, 0);
	else
		r = plan_note_owner(p, m);
	if (r == 0)
		plan_tell(p, m, verdict, d->is_joined ? MLIMG_DONE_JOINED : MLIMG_DONE_CLOSED,
			d->why);
	return r;
}

struct place plan_place_of(const struct dir *d)
{
	struct place place = {d->m.entry->path, d->m.lower, d->is_apart};

	if (d->is_opaque || d->is_closed)
		place.lower = NULL;
	else if (place.lower && strcmp(place.lower, place.path) == 0)
		place.lower = place.path;
	return place;
}

bool plan_is_type_change(const struct dir *d)
{
	return !d->is_renamed && d->m.class != MLIMG_CLASS_KEEP &&
		mlimg_reconcile_decide(d->m.base, d->m.next, &d->m.mapped) == MLIMG_TYPE_CHANGE;
}

enum mlimg_verdict plan_dir_verdict(const struct dir *d)
{
	if (d->is_opaque && is_dir(d->m.base) && !d->m.next)
		return MLIMG_KEEP;
	return mlimg_reconcile_decide(d->m.base, d->m.next, &d->m.mapped);
}

static int plan_dir(
	struct planning *p, size_t *at, const struct place *in, const char *own, bool *ret_stays)
{
	bool holds = false;
	enum mlimg_verdict verdict;
	struct place place;
	struct dir d;
	int r = plan_dir_find(p, *at, in, own, &d);

	if (r < 0)
		return r;
	++*at;
	verdict = plan_dir_verdict(&d);
	if (plan_is_type_change(&d) && plan_covers_renamed(p, d.m.entry->path, own)) {
		d.why = PLAN_COVERS_WHY;
	} else if (plan_is_type_change(&d)) {
		plan_tell(p, &d.m, verdict, MLIMG_DONE_ASIDE, NULL);
		r = plan_put_op(p, MLIMG_PLAN_SET_ASIDE, d.m.entry->path, NULL, 0);
		return r < 0 ? r : plan_tell_renamed_aside(p, &d, at);
	}
	if (d.is_joined || d.is_closed)
		r = plan_put_op(p, d.is_joined ? MLIMG_PLAN_JOIN : MLIMG_PLAN_CLOSE,
			d.m.entry->path, NULL, 0);
	place = plan_place_of(&d);
	if (r == 0)
		r = plan_within(p, at, &place, &holds);
	if (r == 0 && d.is_compared)
		r = plan_lacked(p, &d, &holds);
	if (r == 0 && !holds && is_droppable(p, &d))
		return drop_dir(p, &d, verdict);
	*ret_stays = true;
	if (d.m.is_protected && plan_protected_verdict(verdict) != MLIMG_KEEP)
		d.m.why = PLAN_PROTECTED_WHY;
	return r < 0 ? r : keep_dir(p, &d, verdict);
}

static int plan_one(struct planning *p, size_t *at, const struct place *place, bool *ret_stays)
{
	const struct mlimg_entry *e = &p->upper->entries[*at];
	const char *lower;
	struct mine m;
	int r = plan_lower_of(p, place, e->path, &lower);

	if (r < 0)
		return r;
	if (e->type == MLIMG_DIR)
		return plan_dir(p, at, place, lower, ret_stays);
	/* Made way for what is put beside another file. */
	if (p->fates[*at] & FATE_GONE) {
		++*at;
		return 0;
	}
	r = plan_mine_find(p, (*at)++, lower, &m);
	return r < 0 ? r : plan_other(p, &m, ret_stays);
}

int plan_within(struct planning *p, size_t *at, const struct place *place, bool *ret_stays)
{
	int r = 0;

	while (r == 0 && *at < p->upper->n_entries &&
		mlimg_path_is_below(p->upper->entries[*at].path, place->path))
		r = plan_one(p, at, place, ret_stays);
	return r;
}
