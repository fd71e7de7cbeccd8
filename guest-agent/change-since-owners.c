/* SPDX-License-Identifier: MIT */
/*
 * Whose things are on the way back: what is there now is in the numbers of the stack that goes,
 * what taking the steps back returns in those of the former one, like that stack's things.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guest-agent/change-since-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/walk.h"
#include "libmlimg/whiteout.h"

bool since_is_as_put(struct since *s, const struct mlimg_entry *e)
{
	struct mlimg_undo_record record;
	size_t n;

	if (!mlimg_path_map_get(&s->put, e->path, &n) ||
		mlimg_undo_log_get(s->log, n, &record, s->err) < 0)
		return false;
	if (e->type != MLIMG_DIR || record.entry.type != MLIMG_DIR)
		return mlimg_change_is_put_there(s->c, &record.entry) > 0;
	return mlimg_entry_has_same_attrs(e, &record.entry) && !mlimg_entry_is_opaque(e);
}

/* Of what is in it, all that the change has put goes before it does. */
static bool is_all_as_put(struct since *s, const struct mlimg_entry *dir)
{
	const struct mlimg_manifest *upper = s->upper;

	for (size_t i = (size_t)(dir - upper->entries) + 1;
		i < upper->n_entries && mlimg_path_is_below(upper->entries[i].path, dir->path); i++)
		if (!since_is_as_put(s, &upper->entries[i]))
			return false;
	return true;
}

/* --- several names of one file --- */

/* A file of the upper, by its number. @return whether there is one of several names */
static bool inode_of(int dirfd, const char *name, char ret_key[24])
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode) ||
		st.st_nlink < 2)
		return false;
	snprintf(ret_key, 24, "%ju", (uintmax_t)st.st_ino);
	return true;
}

int since_note_names(struct since *s)
{
	const struct mlimg_manifest *upper = s->upper;
	size_t n;

	s->set_names = calloc(upper->n_entries + 1, sizeof(*s->set_names));
	if (!s->set_names)
		return since_no_memory(s);
	for (size_t i = 0; i < upper->n_entries; i++) {
		const struct mlimg_entry *e = &upper->entries[i];
		struct mlimg_change_place at;
		char key[24];

		if (!e->hardlink || e->hardlink > upper->n_entries ||
			!mlimg_path_map_get(&s->set, e->path, &n))
			continue;
		s->set_names[e->hardlink] = n + 1;
		if (mlimg_change_find(s->c, e->path, &at) == 0 && inode_of(at.fd, at.name, key) &&
			mlimg_path_map_set(&s->set_inodes, key, n) < 0)
			return since_no_memory(s);
	}
	return 0;
}

/* @return whether a step has set attributes of @e, by whatever name, and which */
static bool find_set(const struct since *s, const struct mlimg_entry *e, size_t *ret_n)
{
	if (mlimg_path_map_get(&s->set, e->path, ret_n))
		return true;
	if (!e->hardlink || !s->set_names[e->hardlink])
		return false;
	*ret_n = s->set_names[e->hardlink] - 1;
	return true;
}

/* @e is of the upper */
bool since_is_set_back(struct since *s, const struct mlimg_entry *e)
{
	struct mlimg_undo_record record;
	struct mlimg_entry now = *e;
	size_t n;

	if (mlimg_path_map_get(&s->put, e->path, &n))
		return since_is_as_put(s, e) && (e->type != MLIMG_DIR || is_all_as_put(s, e));
	if (!find_set(s, e, &n) || mlimg_undo_log_get(s->log, n, &record, s->err) < 0)
		return false;
	now.size_bytes = record.fresh.size_bytes;
	return mlimg_entry_has_same_attrs(&now, &record.fresh);
}

int since_note_stays(struct since *s)
{
	int r = 0;

	for (size_t i = 0, n; i < s->upper->n_entries && r == 0; i++) {
		const struct mlimg_entry *e = &s->upper->entries[i];
		struct mlimg_undo_record set, stays = {.op = 's', .path = e->path};

		if (!mlimg_path_map_get(&s->set, e->path, &n))
			continue;
		r = mlimg_undo_log_get(s->log, n, &set, s->err);
		if (r < 0 || mlimg_change_is_set(e, &set.fresh, &set.entry))
			continue;
		stays.entry = stays.fresh = set.fresh;
		mlimg_change_extra_add(&s->stays, &stays);
	}
	return r;
}

int since_map_owners(struct since *s, const struct mlimg_owner_moves *moves,
	const struct mlimg_entry *e, struct mlimg_arena *arena, struct mlimg_entry *ret)
{
	return mlimg_owner_moves_apply(moves, e, arena, ret) < 0 ? since_no_memory(s) : 0;
}

/* Give what is like @e then the owners that it is to have. */
static int move_owner(struct since *s, const struct mlimg_owner_moves *moves,
	const struct mlimg_entry *e, struct mlimg_arena *arena)
{
	struct mlimg_undo_record record = {.op = 's', .path = e->path, .entry = *e};
	int moved = mlimg_owner_moves_apply(moves, e, arena, &record.fresh);

	if (moved <= 0)
		return moved < 0 ? since_no_memory(s) : 0;
	record.entry.hardlink = record.fresh.hardlink = 0;
	record.entry.nlink = record.fresh.nlink = 1;
	mlimg_change_extra_add(&s->then, &record);
	return 0;
}

/* --- what is there now --- */

int since_find_set_back(struct since *s, const struct mlimg_entry *e, struct mlimg_arena *arena,
	struct mlimg_undo_record *ret_set, struct mlimg_entry *ret_wanted)
{
	const struct mlimg_owner_moves *upper = &s->accounts.upper;
	size_t n;
	int r;

	if (mlimg_path_map_get(&s->put, e->path, &n) || !find_set(s, e, &n))
		return 0;
	r = mlimg_undo_log_get(s->log, n, ret_set, s->err);
	if (r < 0 || !mlimg_change_is_set(e, &ret_set->fresh, &ret_set->entry))
		return r < 0 ? r : 0;
	r = since_map_owners(s, &s->accounts.lower, &ret_set->entry, arena, ret_wanted);
	if (r < 0)
		return r;
	if (e->uid != ret_set->fresh.uid)
		ret_wanted->uid = mlimg_moved_id_of(upper->uids, upper->n_uids, e->uid);
	if (e->gid != ret_set->fresh.gid)
		ret_wanted->gid = mlimg_moved_id_of(upper->gids, upper->n_gids, e->gid);
	return 1;
}

/* What undoing a step gives the attributes of before, in numbers of then. */
static int move_set_back(struct since *s, const struct mlimg_entry *e,
	const struct mlimg_undo_record *set, struct mlimg_entry *wanted)
{
	struct mlimg_undo_record record = {.op = 's', .path = e->path, .entry = set->entry};

	if (mlimg_entry_has_same_attrs(wanted, &set->entry))
		return 0;
	if (e->mtime_s != set->fresh.mtime_s || e->mtime_ns != set->fresh.mtime_ns) {
		wanted->mtime_s = e->mtime_s;
		wanted->mtime_ns = e->mtime_ns;
	}
	record.fresh = *wanted;
	record.entry.hardlink = record.fresh.hardlink = 0;
	record.entry.nlink = record.fresh.nlink = 1;
	mlimg_change_extra_add(&s->then, &record);
	return 0;
}

static int move_present(struct since *s, struct mlimg_arena *arena)
{
	int r = 0;

	for (size_t i = 1, n; i < s->upper->n_entries && r == 0; i++) {
		const struct mlimg_entry *e = &s->upper->entries[i];
		struct mlimg_undo_record set;
		struct mlimg_entry wanted;

		if (mlimg_entry_is_whiteout(e) || mlimg_path_map_get(&s->adapted, e->path, &n) ||
			mlimg_path_map_get(&s->first_done, e->path, &n))
			continue;
		r = since_find_set_back(s, e, arena, &set, &wanted);
		if (r > 0)
			r = move_set_back(s, e, &set, &wanted);
		else if (r == 0 && !since_is_set_back(s, e))
			r = move_owner(s, &s->accounts.upper, e, arena);
	}
	return r;
}

/* --- what returns --- */

/* Something that was set aside, with all below. */
struct returning {
	struct since *s;
	struct mlimg_arena *arena;
	const char *path;
};

int since_has_place(struct since *s, const char *path)
{
	struct mlimg_undo_record record;
	size_t n;
	int r;

	if (mlimg_path_map_get(&s->first_done, path, &n))
		return 1;
	if (since_is_removed(s, path))
		return 0;
	if (!mlimg_path_map_get(&s->put, path, &n))
		return !mlimg_manifest_find(s->upper, path);
	r = mlimg_undo_log_get(s->log, n, &record, s->err);
	if (r < 0)
		return r;
	r = mlimg_change_is_put_there(s->c, &record.entry);
	return r < 0 ? mlimg_err_set(s->err, r, "look at 'user/upper/%s'", path) : r;
}

static int move_returned(struct returning *ret, const struct mlimg_entry *e)
{
	return mlimg_entry_is_whiteout(e)
		? 0
		: move_owner(ret->s, &ret->s->accounts.lower, e, ret->arena);
}

static int move_below(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	struct returning *ret = ctx;
	char path[MLIMG_PATH_MAX + 1];
	struct mlimg_entry e = *entry;

	if (strlen(ret->path) + 1 + strlen(entry->path) > MLIMG_PATH_MAX)
		return 0;
	e.path = (char *)(uintptr_t)ret->path;
	if (*entry->path) {
		mlimg_path_join(path, ret->path, entry->path, strlen(entry->path));
		e.path = path;
	}
	return move_returned(ret, &e);
}

static void pass_over(const char *path, int error, bool was_visited, void *ctx)
{
}

/* One thing in @dirfd. @return 0, also when it is not there */
static int move_at(struct returning *ret, int dirfd, const char *name)
{
	struct mlimg_entry e;
	char key[24];
	size_t n;
	int r;

	/* With the name of it that has stayed, by which its attributes are set back. */
	if (inode_of(dirfd, name, key) && mlimg_path_map_get(&ret->s->set_inodes, key, &n))
		return 0;
	r = mlimg_entry_at_read(&ret->s->c->reader, dirfd, name, ret->path, false, &e);
	if (r < 0)
		return r == -ENOENT
			? 0
			: mlimg_err_set(ret->s->err, r, "look at what was '/%s'", ret->path);
	return move_returned(ret, &e);
}

static int move_aside(struct returning *ret)
{
	struct since *s = ret->s;
	const char *name;
	mlimg_autoclose int dir = mlimg_open_parent_strict(s->aside_fd, ret->path, O_RDONLY, &name),
			    fd = dir < 0
		? dir
		: openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (mlimg_change_is_nowhere(dir))
		return 0; /* somebody has removed it */
	return fd < 0 ? move_at(ret, dir, name)
		      : mlimg_walk_lenient(fd, 0, move_below, pass_over, ret, s->err);
}

/* The thing itself, of step @n: what returns where the user has written since goes aside. */
static int move_taken(struct since *s, size_t n, struct mlimg_arena *arena)
{
	char path[MLIMG_PATH_MAX + 1], slot[MLIMG_CHANGE_SLOT_SIZE];
	struct returning ret = {s, arena, path};
	struct mlimg_undo_record record;
	size_t at;
	bool is_aside;
	int r = mlimg_undo_log_get(s->log, n, &record, s->err);

	if (r < 0 || !strchr("oae", record.op) || !(record.parts & MLIMG_UNDO_MAIN) ||
		mlimg_path_map_get(&s->adapted, record.path, &at))
		return r;
	is_aside = record.op == 'a';
	snprintf(path, sizeof(path), "%s", record.path); /* which the next record takes away */
	r = since_has_place(s, path);
	if (r <= 0)
		return r;
	mlimg_change_slot(n, MLIMG_UNDO_MAIN, slot);
	return is_aside ? move_aside(&ret) : move_at(&ret, s->c->taken_fd, slot);
}

int since_move_owners(struct since *s)
{
	bool has_lower = !mlimg_owner_moves_is_empty(&s->accounts.lower),
	     has_moves = has_lower || !mlimg_owner_moves_is_empty(&s->accounts.upper);
	struct mlimg_arena *arena = mlimg_arena_new();
	int r = arena ? 0 : since_no_memory(s);

	if (r == 0 && has_moves)
		r = move_present(s, arena);
	for (size_t n = 0; n < s->log->n_records && r == 0 && has_lower; n++)
		r = move_taken(s, n, arena);
	mlimg_arena_free(arena);
	return r;
}
