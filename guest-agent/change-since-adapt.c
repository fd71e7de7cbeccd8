/* SPDX-License-Identifier: MIT */
/*
 * What the former stack's things are to be like, where the user has changed no more than attributes
 * of the newer one's since, or has copied a directory of it for the sake of what is in it; and where
 * their owners have to give way to accounts of his.
 */
#include <stdlib.h>
#include <string.h>

#include "guest-agent/change-since-impl.h"
#include "libmlimg/path.h"
#include "libmlimg/reconcile-plan.h"
#include "libmlimg/reconcile.h"
#include "libmlimg/renamed.h"
#include "libmlimg/upper-view.h"
#include "libmlimg/whiteout.h"

int since_note_adaptable(struct since *s, const char *path, const char *lower)
{
	struct since_adaptable *a;

	if (mlimg_buffer_reserve(
		    &s->adaptables, &s->adaptables_room, (s->n_adaptables + 1) * sizeof(*a)) < 0)
		return since_no_memory(s);
	a = &s->adaptables[s->n_adaptables];
	a->path = path;
	a->lower = mlimg_arena_strndup(s->arena, lower, strlen(lower));
	if (!a->lower)
		return since_no_memory(s);
	s->n_adaptables++;
	return 0;
}

/* With the former stack's contents, in the place of the copy. */
static int renew(struct since *s, const struct since_adaptable *a, const struct mlimg_entry *wanted,
	const struct mlimg_entry *former)
{
	int r = since_clear(s, a->path);

	if (r == 0)
		r = since_make_way(s, a->path);
	return r < 0 ? r : since_put_of_stack(s, wanted, former);
}

static int set(struct since *s, const struct mlimg_entry *e, const struct mlimg_entry *wanted)
{
	struct mlimg_undo_record record = {
		.op = 's', .path = e->path, .entry = *e, .fresh = *wanted};

	if (mlimg_entry_has_same_attrs(e, wanted))
		return 0;
	record.fresh.mtime_s = e->mtime_s;
	record.fresh.mtime_ns = e->mtime_ns;
	mlimg_change_extra_add(&s->then, &record);
	return 0;
}

/* The three sides, each with the numbers that its owners have then. */
static int merge(struct since *s, const struct mlimg_entry *now, const struct mlimg_entry *former,
	const struct mlimg_entry *e, struct mlimg_arena *arena, struct mlimg_merged_entry *ret)
{
	struct mlimg_entry base, next, mine;
	int r = since_map_owners(s, &s->accounts.base, now, arena, &base);

	if (r == 0)
		r = since_map_owners(s, &s->accounts.lower, former, arena, &next);
	if (r == 0)
		r = since_map_owners(s, &s->accounts.upper, e, arena, &mine);
	if (r == 0 && mlimg_reconcile_merge(&base, &next, &mine, arena, ret) < 0)
		r = since_no_memory(s);
	return r;
}

static int adapt(struct since *s, const struct since_adaptable *a, struct mlimg_arena *arena)
{
	const struct mlimg_entry *e = mlimg_manifest_find(s->upper, a->path),
				 *now = mlimg_manifest_find(s->now.manifest, a->lower),
				 *former = mlimg_manifest_find(s->former.manifest, a->lower);
	struct mlimg_merged_entry merged;
	size_t at;
	int r;

	/*
	 * Names share attributes; a file of a package that gives way has gone by then; and what a
	 * step has taken from there, of another type, is told as what has no place.
	 */
	if (!e || e->hardlink || mlimg_path_map_get(&s->first_done, a->path, &at) ||
		mlimg_reconcile_is_database(a->path))
		return 0;
	if (mlimg_path_map_get(&s->taken, a->path, &at))
		return since_return_taken(s, e, now, arena);
	if (!former || former->type != e->type)
		return 0;
	r = merge(s, now, former, e, arena, &merged);
	if (r < 0)
		return r;
	if (mlimg_path_map_set(&s->adapted, a->path, 0) < 0)
		return since_no_memory(s);
	return merged.is_contents_next ? renew(s, a, &merged.entry, former)
				       : set(s, e, &merged.entry);
}

int since_adapt(struct since *s)
{
	struct mlimg_arena *arena = mlimg_arena_new();
	int r = arena ? 0 : since_no_memory(s);

	for (size_t i = 0; i < s->n_adaptables && r == 0; i++)
		r = adapt(s, &s->adaptables[i], arena);
	mlimg_arena_free(arena);
	return r;
}

/* --- owners in the former stack --- */

/* The former stack's things whose owners have other numbers here, wherever they show in the end. */
struct moving {
	struct since *s;
	struct mlimg_arena *arena;
	struct mlimg_renamed *renamed; /* directories that show the stack's from other places */
	size_t n_renamed, room;
	size_t left; /* bytes of places (renamed.h) */
	const struct mlimg_entry *former;
	struct mlimg_entry wanted; /* what it is to be like */
};

/* @return whether the stack's @lower shows at @path in the end */
static bool shows(const struct since *s, const char *path, const char *lower)
{
	struct mlimg_seen seen;
	size_t at;

	if (mlimg_path_map_get(&s->adapted, path, &at))
		return false;
	mlimg_upper_see(s->after, s->former.manifest, path, &seen);
	return seen.kind == MLIMG_SEEN_STACK && seen.has_lower && strcmp(seen.lower, lower) == 0;
}

static int move_to(const char *path, size_t renamed, void *ctx)
{
	struct moving *m = ctx;
	struct since *s = m->s;
	int r;

	if (!shows(s, path, m->former->path))
		return 0;
	r = since_has_way(s, path);
	if (r <= 0)
		return r;
	m->wanted.path = mlimg_arena_strndup(s->arena, path, strlen(path));
	if (!m->wanted.path)
		return since_no_memory(s);
	r = since_make_way(s, m->wanted.path);
	if (r == 0 && m->former->type == MLIMG_DIR &&
		mlimg_path_map_set(&s->dirs_done, m->wanted.path, 0) < 0)
		r = since_no_memory(s);
	return r < 0 ? r : since_put_of_stack(s, &m->wanted, m->former);
}

static int find_renamed(struct moving *m)
{
	struct since *s = m->s;

	for (size_t i = 0; i < s->after->n_entries; i++) {
		const struct mlimg_entry *e = &s->after->entries[i];
		struct mlimg_seen seen;
		char *from;

		if (e->type != MLIMG_DIR || !mlimg_entry_xattr(e, MLIMG_XATTR_REDIRECT))
			continue;
		mlimg_upper_see(s->after, s->former.manifest, e->path, &seen);
		if (!seen.has_lower || !*seen.lower)
			continue;
		from = mlimg_arena_strndup(s->arena, seen.lower, strlen(seen.lower));
		if (!from ||
			mlimg_buffer_reserve(&m->renamed, &m->room,
				(m->n_renamed + 1) * sizeof(*m->renamed)) < 0)
			return since_no_memory(s);
		m->renamed[m->n_renamed++] = (struct mlimg_renamed){from, e->path};
	}
	if (m->n_renamed > 1)
		qsort(m->renamed, m->n_renamed, sizeof(*m->renamed), mlimg_renamed_cmp);
	return 0;
}

/* At its own path, and wherever a renamed directory shows it. */
static int move_one(struct moving *m, const struct mlimg_entry *e)
{
	int r, moved = mlimg_owner_moves_apply(&m->s->accounts.lower, e, m->arena, &m->wanted);

	if (moved < 0)
		return since_no_memory(m->s);
	if (!moved || mlimg_reconcile_is_database(e->path))
		return 0;
	m->former = e;
	r = move_to(e->path, 0, m);
	return r < 0 ? r
		     : mlimg_renamed_places(
			       m->renamed, m->n_renamed, e->path, &m->left, move_to, m, m->s->err);
}

int since_lowers(struct since *s)
{
	struct moving m = {.s = s, .left = MLIMG_RENAMED_PLACES_MAX};
	int r;

	if (mlimg_owner_moves_is_empty(&s->accounts.lower))
		return 0;
	m.arena = mlimg_arena_new();
	r = m.arena ? since_after(s, &s->after) : since_no_memory(s);
	if (r == 0)
		r = find_renamed(&m);
	for (size_t i = 1; i < s->former.manifest->n_entries && r == 0; i++)
		r = move_one(&m, &s->former.manifest->entries[i]);
	free(m.renamed);
	mlimg_arena_free(m.arena);
	return r;
}
