/* SPDX-License-Identifier: MIT */
/*
 * Copies that the user has made since and has not changed, as a program does that opens a file for
 * writing, or sets a mode that it has, and dpkg where a diversion moves a file: on the former stack
 * they would show what the newer one has.
 * What he has changed of others are attributes alone (change-since-adapt.c).
 */
#include <stdlib.h>
#include <string.h>

#include "guest-agent/change-since-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/path.h"
#include "libmlimg/reconcile-plan.h"
#include "libmlimg/reconcile.h"
#include "libmlimg/upper-view.h"
#include "libmlimg/whiteout.h"

struct copies {
	struct since *s;
	const char *kept; /* what was looked at last and stays: the next one in the manifest */
};

bool since_was_left(const struct since *s, const char *path)
{
	size_t n;

	return s->has_had && !mlimg_path_map_get(&s->put, path, &n) &&
		mlimg_upper_list_has(&s->had, path) && !mlimg_path_map_covers(&s->gone, path);
}

/* @return whether the upper has it since the change */
static bool is_new(const struct since *s, const char *path)
{
	size_t n;

	return !mlimg_path_map_get(&s->put, path, &n) && !since_was_left(s, path);
}

bool since_lower_of(const struct since *s, const char *path, char ret_lower[MLIMG_PATH_MAX + 1])
{
	const char *name = mlimg_path_name(path);
	char dir[MLIMG_PATH_MAX + 1];
	struct mlimg_seen seen = {.has_lower = true};

	if (name > path) {
		snprintf(dir, sizeof(dir), "%.*s", (int)mlimg_path_dir_size(path), path);
		mlimg_upper_see(s->upper, s->now.manifest, dir, &seen);
	}
	if (!seen.has_lower || strlen(seen.lower) + 1 + strlen(name) > MLIMG_PATH_MAX)
		return false;
	mlimg_path_join(ret_lower, seen.lower, name, strlen(name));
	return true;
}

/* --- what goes --- */

static int take(struct since *s, const struct mlimg_entry *e)
{
	struct mlimg_undo_record record = {
		.op = 'e', .path = e->path, .entry = *e, .parts = MLIMG_UNDO_MAIN};

	if (e->type != MLIMG_DIR)
		return since_clear(s, e->path);
	mlimg_change_extra_add(&s->first, &record);
	if (mlimg_path_map_set(&s->first_done, e->path, 0) < 0)
		return since_no_memory(s);
	return since_touch(s, e->path);
}

/* A directory in which something stays does, too; and what makes it another than the stack's. */
static bool is_plain_dir(const struct copies *c, const struct mlimg_entry *e)
{
	return !mlimg_entry_is_opaque(e) && !mlimg_entry_xattr(e, MLIMG_XATTR_REDIRECT) &&
		!(c->kept && mlimg_path_is_below(c->kept, e->path));
}

bool since_is_of_mine(const struct since *s, const struct mlimg_entry *e)
{
	return s->has_packages && e->type != MLIMG_DIR && !mlimg_reconcile_is_database(e->path) &&
		mlimg_packages_verdict_of(&s->packages, e->path) == MLIMG_FILES_MINE;
}

/* A file of the newer stack's that dpkg has moved to another name since. @return where it is there */
static const char *diverted_from(const struct since *s, const char *path)
{
	const struct mlimg_packages_merged *m = &s->packages;

	for (size_t i = 0; i < m->n_diversions; i++)
		if (strcmp(m->diversions[i].to, path) == 0)
			return m->diversions[i].path;
	return NULL;
}

/* It has moved the newer stack's file back since, to where another one of the user's was. */
static bool is_moved_back(const struct since *s, const char *path)
{
	for (size_t i = 0; i < s->packages.n_undone; i++)
		if (strcmp(s->packages.undone[i].path, path) == 0)
			return true;
	return false;
}

/* @return 0, -ENOMEM */
static int judge_diverted(struct since *s, struct mlimg_entry *e, const char *from)
{
	int r = since_has_same_contents(s, e, mlimg_manifest_find(s->now.manifest, from));

	return r > 0 ? since_note_adaptable(s, e->path, from) : r;
}

/* @return 1 when what is new in the upper goes, 0 when it stays, -ENOMEM */
static int judge(struct copies *c, struct mlimg_entry *e)
{
	struct since *s = c->s;
	char lower[MLIMG_PATH_MAX + 1];
	const struct mlimg_entry *now;
	const char *from;
	size_t at;
	int r;

	if (!since_lower_of(s, e->path, lower) ||
		mlimg_path_class_of(s->classes, e->path) == MLIMG_CLASS_KEEP)
		return 0;
	/*
	 * Whether a database is to be there the merge decides. What the steps bring back he has
	 * removed, in the newer stack's form.
	 */
	if (mlimg_entry_is_whiteout(e))
		return !mlimg_reconcile_is_database(e->path) &&
			!mlimg_path_map_get(&s->taken, e->path, &at) &&
			!mlimg_manifest_find(s->former.manifest, lower);
	if (since_is_of_mine(s, e))
		return 0;
	now = mlimg_manifest_find(s->now.manifest, lower);
	from = now ? NULL : diverted_from(s, e->path);
	if (from)
		return judge_diverted(s, e, from);
	r = e->type == MLIMG_DIR ? now && now->type == MLIMG_DIR
				 : since_has_same_contents(s, e, now);
	if (r <= 0)
		return r;
	if (mlimg_entry_has_same_attrs(e, now) && (e->type != MLIMG_DIR || is_plain_dir(c, e)))
		return 1;
	return since_note_adaptable(s, e->path, lower);
}

/* From the end, so that a directory comes after all that is in it. What goes is no more in the manifest then. */
static int judge_all(struct copies *c)
{
	struct mlimg_manifest *upper = c->s->upper;
	mlimg_autofree bool *goes = calloc(upper->n_entries + 1, sizeof(*goes));
	size_t n = 0, at;
	int r = goes ? 0 : since_no_memory(c->s);

	for (size_t i = upper->n_entries; i-- > 0 && r == 0;) {
		struct mlimg_entry *e = &upper->entries[i];

		if (mlimg_path_map_get(&c->s->first_done, e->path, &at)) {
			goes[i] = true;
			continue;
		}
		r = *e->path && (is_new(c->s, e->path) || is_moved_back(c->s, e->path))
			? judge(c, e)
			: 0;
		if (r > 0) {
			goes[i] = true;
			r = take(c->s, e);
		} else {
			c->kept = e->path;
		}
	}
	if (r < 0)
		return r;
	for (size_t i = 0; i < upper->n_entries; i++)
		if (!goes[i])
			upper->entries[n++] = upper->entries[i];
	upper->n_entries = n;
	return 0;
}

int since_copies(struct since *s)
{
	struct copies c = {.s = s};

	s->has_had = s->knows_had;
	return s->has_had ? judge_all(&c) : 0;
}
