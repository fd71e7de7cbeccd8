/* SPDX-License-Identifier: MIT */
/*
 * What the change has put, or has let show in the place of what it took, of which the user has
 * changed attributes alone since: on the former stack its contents would be the newer one's. What
 * was there before returns, or the former stack's does, and gets the attributes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "guest-agent/change-since-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/reconcile-plan.h"
#include "libmlimg/reconcile.h"

/*
 * Attributes of three sides: as the change has put it, as what comes back has them, as they are now;
 * each with the numbers that its owners have then.
 */
static int merge(struct since *s, const struct mlimg_entry *put, const struct mlimg_entry *former,
	const struct mlimg_entry *e, struct mlimg_arena *arena, struct mlimg_entry *ret)
{
	struct mlimg_entry base, next, mine;
	struct mlimg_merged_entry merged;
	int r = since_map_owners(s, &s->accounts.base, put, arena, &base);

	if (r == 0)
		r = since_map_owners(s, &s->accounts.lower, former, arena, &next);
	if (r == 0)
		r = since_map_owners(s, &s->accounts.upper, e, arena, &mine);
	if (r == 0 && mlimg_reconcile_merge(&base, &next, &mine, arena, &merged) < 0)
		r = since_no_memory(s);
	if (r < 0)
		return r;
	*ret = *former;
	ret->path = e->path;
	ret->mode = merged.entry.mode;
	ret->uid = merged.entry.uid;
	ret->gid = merged.entry.gid;
	ret->xattrs = merged.entry.xattrs;
	ret->n_xattrs = merged.entry.n_xattrs;
	ret->hardlink = 0;
	ret->nlink = 1;
	return 0;
}

/* @return 1: a file of one name, like which @ret is; 0: anything else, or nothing; -errno */
static int look_at(
	struct since *s, int dir_fd, const char *name, const char *path, struct mlimg_entry *ret)
{
	struct stat st;
	int r;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
		st.st_nlink != 1)
		return 0;
	r = mlimg_entry_at_read(&s->c->reader, dir_fd, name, path, false, ret);
	return r < 0 ? mlimg_err_set(s->err, r, "look at what was '/%s'", path) : 1;
}

/* Likewise: what the step has taken from there. */
static int look_at_taken(
	struct since *s, const struct since_taken *taken, const char *path, struct mlimg_entry *ret)
{
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	mlimg_autoclose int dir = -1;
	const char *name;

	if (taken->op == 'o') {
		mlimg_change_slot(taken->n, MLIMG_UNDO_MAIN, slot);
		return look_at(s, s->c->taken_fd, slot, path, ret);
	}
	dir = s->aside_fd < 0 ? -ENOENT
			      : mlimg_open_parent_strict(s->aside_fd, path, O_RDONLY, &name);
	return dir < 0 ? 0 : look_at(s, dir, name, path, ret);
}

/* It returns when what is there is gone, and has the attributes then. */
static int set_returned(struct since *s, const struct mlimg_entry *e,
	const struct mlimg_entry *taken, const struct mlimg_entry *wanted)
{
	struct mlimg_undo_record record = {
		.op = 's', .path = e->path, .entry = *taken, .fresh = *wanted};
	int r = since_clear(s, e->path);

	if (r == 0 && mlimg_path_map_set(&s->adapted, e->path, 0) < 0)
		r = since_no_memory(s);
	if (r == 0 && !mlimg_entry_has_same_attrs(taken, wanted))
		mlimg_change_extra_add(&s->then, &record);
	return r;
}

int since_return_taken(struct since *s, const struct mlimg_entry *e, const struct mlimg_entry *base,
	struct mlimg_arena *arena)
{
	struct mlimg_entry taken, wanted;
	size_t at;
	int r;

	if (e->type != MLIMG_FILE || since_is_removed(s, e->path) ||
		!mlimg_path_map_get(&s->taken, e->path, &at))
		return 0;
	r = look_at_taken(s, &s->takens[at], e->path, &taken);
	if (r <= 0)
		return r;
	r = merge(s, base, &taken, e, arena, &wanted);
	return r < 0 ? r : set_returned(s, e, &taken, &wanted);
}

static int put_former(
	struct since *s, const struct mlimg_entry *wanted, const struct mlimg_entry *former)
{
	int r = since_has_way(s, wanted->path);

	if (r <= 0)
		return r;
	r = since_clear(s, wanted->path);
	if (r == 0)
		r = since_make_way(s, wanted->path);
	if (r == 0 && mlimg_path_map_set(&s->adapted, wanted->path, 0) < 0)
		r = since_no_memory(s);
	return r < 0 ? r : since_put_of_stack(s, wanted, former);
}

static int replace(struct since *s, const struct mlimg_entry *e, const struct mlimg_entry *put,
	struct mlimg_arena *arena)
{
	char lower[MLIMG_PATH_MAX + 1];
	const struct mlimg_entry *former;
	struct mlimg_entry wanted;
	size_t at;
	int r;

	if (mlimg_path_map_get(&s->taken, e->path, &at))
		return since_return_taken(s, e, put, arena);
	former = since_lower_of(s, e->path, lower) ? mlimg_manifest_find(s->former.manifest, lower)
						   : NULL;
	if (!former || former->type != MLIMG_FILE)
		return 0;
	r = merge(s, put, former, e, arena, &wanted);
	return r < 0 ? r : put_former(s, &wanted, former);
}

/* @return whether it may be what the change has put, of other attributes since */
static bool may_be_put(struct since *s, const struct mlimg_entry *e)
{
	size_t at;

	return e->type == MLIMG_FILE && !e->hardlink && mlimg_path_map_get(&s->put, e->path, &at) &&
		!mlimg_path_map_get(&s->first_done, e->path, &at) &&
		!mlimg_path_map_get(&s->adapted, e->path, &at) &&
		!mlimg_reconcile_is_database(e->path) && !since_is_of_mine(s, e) &&
		mlimg_path_class_of(s->classes, e->path) != MLIMG_CLASS_KEEP &&
		!since_is_removed(s, e->path) && !since_is_as_put(s, e);
}

static int look(struct since *s, struct mlimg_entry *e, struct mlimg_arena *arena)
{
	struct mlimg_undo_record record;
	size_t n;
	int r;

	if (!may_be_put(s, e) || !mlimg_path_map_get(&s->put, e->path, &n))
		return 0;
	r = mlimg_undo_log_get(s->log, n, &record, s->err);
	if (r == 0)
		r = since_has_same_contents(s, e, &record.entry);
	return r > 0 ? replace(s, e, &record.entry, arena) : r;
}

int since_adapt_put(struct since *s)
{
	struct mlimg_arena *arena = mlimg_arena_new();
	int r = arena ? 0 : since_no_memory(s);

	for (size_t i = 0; i < s->upper->n_entries && r == 0; i++)
		r = look(s, &s->upper->entries[i], arena);
	mlimg_arena_free(arena);
	return r;
}
