/* SPDX-License-Identifier: MIT */
/* Under which name the new stack's file is put beside the user's, and what makes way for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/path.h"
#include "libmlimg/reconcile-impl.h"
#include "libmlimg/whiteout.h"

/** What is at a name that a new file might get. */
enum beside {
	BESIDE_TAKEN, /**< something that stays */
	BESIDE_FREE,  /**< nothing, when the operations so far are done */
	BESIDE_THERE, /**< the new file, from a change before */
};

/*
 * @return @path with the suffix of that number: NAME.mlimg-new, NAME.mlimg-new.1, or these and
 *         .dpkg-dist; NULL where it would be too long, or without memory, which is noted
 */
static const char *name_of(
	struct planning *p, const char *path, enum mlimg_path_beside where, unsigned number)
{
	char suffix[sizeof(MLIMG_PLAN_NEW_SUFFIX MLIMG_PLAN_DIST_SUFFIX) + 12];
	char *name;
	size_t size;

	snprintf(suffix, sizeof(suffix),
		number ? MLIMG_PLAN_NEW_SUFFIX ".%u" : MLIMG_PLAN_NEW_SUFFIX, number);
	if (where == MLIMG_BESIDE_DPKG_DIST)
		strcat(suffix, MLIMG_PLAN_DIST_SUFFIX);
	size = strlen(suffix) + 1;
	if (strlen(mlimg_path_name(path)) + size - 1 > MLIMG_NAME_MAX ||
		strlen(path) + size - 1 > MLIMG_PATH_MAX)
		return NULL;
	name = mlimg_arena_alloc(p->arena, strlen(path) + size);
	if (!name) {
		p->has_failed = true;
		return NULL;
	}
	memcpy(stpcpy(name, path), suffix, size);
	return name;
}

static bool is_unread(const struct planning *p, const char *path)
{
	for (size_t i = 0; i < p->n_unread; i++)
		if (strcmp(p->unread[i], path) == 0)
			return true;
	return false;
}

static bool has_contents_of(const struct mine *at, const struct mlimg_entry *e)
{
	return e && mlimg_reconcile_has_same_contents(&at->mapped, e);
}

/*
 * What a change before has put is the old stack's file, byte for byte; whoever wrote anything else
 * there finds it set aside.
 */
static int make_way(
	struct planning *p, const struct mine *m, struct mine *at, enum beside *ret_beside)
{
	bool is_file = at->entry->type == MLIMG_FILE;

	*ret_beside = BESIDE_TAKEN;
	if (is_file && at->entry->size_bytes &&
		p->in->upper->digest(p->in->upper, at->entry->path, at->mapped.digest, NULL) == 0)
		at->mapped.has_digest = true;
	if (is_file && has_contents_of(at, m->next)) {
		*ret_beside = BESIDE_THERE;
		return 0;
	}
	if (at->class == MLIMG_CLASS_KEEP || plan_covers_renamed(p, at->entry->path, at->lower))
		return 0;
	*ret_beside = BESIDE_FREE;
	if (mlimg_entry_is_whiteout(at->entry))
		return plan_drop(p, at, MLIMG_WHITEOUT_GONE);
	if (is_file && has_contents_of(at, m->base))
		return plan_drop(p, at, MLIMG_STALE);
	at->why = "the new stack's file takes this name";
	return plan_set_aside(p, at, MLIMG_CONFLICT);
}

static int look_at(
	struct planning *p, const struct mine *m, const char *name, enum beside *ret_beside)
{
	const char *suffix = name + strlen(m->entry->path);
	const struct mlimg_entry *e = mlimg_manifest_find(p->upper, name);
	char *lower = mlimg_arena_alloc(p->arena, strlen(m->lower) + strlen(suffix) + 1);
	struct mine at;
	int r;

	if (!lower)
		return no_memory(p, name);
	strcpy(stpcpy(lower, m->lower), suffix);
	*ret_beside = BESIDE_TAKEN;
	if (mlimg_manifest_find(p->in->next, lower) || plan_find_text(p, name) ||
		plan_find_link(p, name) || is_unread(p, name) || (e && e->type == MLIMG_DIR))
		return 0;
	*ret_beside = BESIDE_FREE;
	if (!e)
		return 0;
	r = plan_mine_find(p, (size_t)(e - p->upper->entries), lower, &at);
	return r < 0 ? r : make_way(p, m, &at, ret_beside);
}

/* Taken when the user says so the next time, it would be in place of both. */
static int set_marked_aside(struct planning *p, const struct mine *m, enum mlimg_path_beside where)
{
	const char *suffix = where == MLIMG_BESIDE_DPKG_DIST
		? MLIMG_PLAN_MERGED_SUFFIX MLIMG_PLAN_DIST_SUFFIX
		: MLIMG_PLAN_MERGED_SUFFIX;
	size_t size = strlen(m->entry->path) + strlen(suffix) + 1;
	char *name = mlimg_arena_alloc(p->arena, size);
	const struct mlimg_entry *e;
	struct mine at;
	int r;

	if (!name)
		return no_memory(p, m->entry->path);
	strcpy(stpcpy(name, m->entry->path), suffix);
	e = mlimg_manifest_find(p->upper, name);
	if (!e || e->type != MLIMG_FILE)
		return 0;
	r = plan_mine_find(p, (size_t)(e - p->upper->entries), NULL, &at);
	if (r < 0 || at.class == MLIMG_CLASS_KEEP)
		return r;
	at.why = "it was merged with the former system's file";
	return plan_set_aside(p, &at, MLIMG_CONFLICT);
}

int plan_put_beside(struct planning *p, const struct mine *m, const char **ret_name)
{
	struct mlimg_entry e = *m->next;
	enum beside beside = BESIDE_TAKEN;
	enum mlimg_path_beside where = mlimg_path_class_beside(p->in->classes, m->entry->path);
	const char *name = NULL;
	int r = 0;

	*ret_name = NULL;
	e.path = (char *)(uintptr_t)m->lower;
	if (e.type != MLIMG_FILE || (e.size_bytes && !e.has_digest) ||
		where == MLIMG_BESIDE_NOWHERE)
		return 0;
	for (unsigned number = 0; beside == BESIDE_TAKEN; number++) {
		name = number < PLAN_BESIDE_MAX ? name_of(p, m->entry->path, where, number) : NULL;
		if (!name)
			return p->has_failed ? no_memory(p, m->entry->path) : 0;
		r = look_at(p, m, name, &beside);
		if (r < 0)
			return r;
	}
	*ret_name = name;
	if (beside == BESIDE_THERE)
		return 0;
	r = set_marked_aside(p, m, where);
	return r < 0 ? r : plan_put_op(p, MLIMG_PLAN_PUT_BESIDE, name, &e, 0);
}
