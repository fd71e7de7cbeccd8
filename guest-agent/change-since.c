/* SPDX-License-Identifier: MIT */
#include "guest-agent/change-since.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/change-since-impl.h"
#include "guest-agent/file-flags.h"
#include "guest-agent/lowers.h"
#include "guest-agent/rebuild.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/reconcile-kept.h"
#include "libmlimg/upper-source.h"
#include "libmlimg/upper-view.h"
#include "libmlimg/whiteout.h"

int since_give_up(struct since *s, const char *path, const char *name, const struct mlimg_err *why)
{
	if (why->code == -ENOMEM ||
		mlimg_notes_add(s->c->call->notes, MLIMG_NOTE_BROKEN, path, name,
			MLIMG_NOTE_UNMERGED "%s", why->text) < 0)
		return since_no_memory(s);
	return 0;
}

/* --- steps --- */

int since_clear(struct since *s, const char *path)
{
	const struct mlimg_entry *e = mlimg_manifest_find(s->upper, path);
	struct mlimg_undo_record record = {.op = 'o', .path = path, .parts = MLIMG_UNDO_MAIN};
	size_t at;

	if (s->c->is_unionfs && e && mlimg_entry_is_whiteout(e))
		record.parts = MLIMG_UNDO_MARKER;
	if (mlimg_path_map_get(&s->first_done, path, &at))
		return 0;
	mlimg_change_extra_add(&s->first, &record);
	if (mlimg_path_map_set(&s->first_done, path, 0) < 0)
		return since_no_memory(s);
	return since_touch(s, path);
}

/* As it is there now, or else as the former stack has it. */
int since_dir_like(struct since *s, const char *path, struct mlimg_entry *ret)
{
	const struct mlimg_owner_moves *moves = &s->accounts.upper;
	const struct mlimg_manifest *upper = s->after ? s->after : s->upper;
	const struct mlimg_entry *e = mlimg_manifest_find(upper, path);
	struct mlimg_entry dir = {.type = MLIMG_DIR, .mode = 0755, .nlink = 1};
	struct mlimg_seen seen;

	if (!e || e->type != MLIMG_DIR) {
		mlimg_upper_see(upper, s->former.manifest, path, &seen);
		e = seen.has_lower ? mlimg_manifest_find(s->former.manifest, seen.lower) : NULL;
		moves = &s->accounts.lower;
	}
	if (e && e->type == MLIMG_DIR)
		dir = *e;
	dir.path = (char *)(uintptr_t)path;
	return since_map_owners(s, moves, &dir, s->arena, ret);
}

int since_make_way(struct since *s, const char *path)
{
	mlimg_autofree char *dir = strdup(path);
	int r = dir ? since_touch(s, path) : since_no_memory(s);

	for (char *slash = dir ? strchr(dir, '/') : NULL; slash && r == 0;
		slash = strchr(slash + 1, '/')) {
		struct mlimg_entry entry;
		size_t at;

		*slash = '\0';
		if (!mlimg_path_map_get(&s->dirs_done, dir, &at)) {
			r = since_dir_like(s, dir, &entry);
			if (r == 0)
				r = mlimg_change_extra_put(&s->then, &entry, NULL, 0, s->err);
			if (r == 0 && mlimg_path_map_set(&s->dirs_done, dir, 0) < 0)
				r = since_no_memory(s);
		}
		*slash = '/';
	}
	return r;
}

/*
 * Its attributes: as they were before, or are now, or of the former stack's. The time is that of
 * what is newest.
 */
static int database_like(struct since *s, const char *path, struct mlimg_entry *ret)
{
	static const struct mlimg_owner_moves none;
	const struct mlimg_entry *now = mlimg_manifest_find(s->upper, path), *e = now;
	const struct mlimg_owner_moves *moves = &s->accounts.lower;
	struct mlimg_entry like = {.mode = mlimg_records_is_secret(path) ? 0600 : 0644};
	struct mlimg_undo_record set;
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	size_t i;
	int r;

	if (mlimg_path_map_get(&s->taken, path, &i) && s->takens[i].op == 'o') {
		mlimg_change_slot(s->takens[i].n, MLIMG_UNDO_MAIN, slot);
		r = mlimg_entry_at_read(&s->c->reader, s->c->taken_fd, slot, path, false, &like);
		if (r < 0)
			return mlimg_err_set(s->err, r, "look at what was '/%s'", path);
	} else {
		if (e && e->type == MLIMG_FILE)
			moves = &s->accounts.upper;
		else
			e = mlimg_manifest_find(s->former.manifest, path);
		if (e && e->type == MLIMG_FILE)
			like = *e;
		r = now ? since_find_set_back(s, now, s->arena, &set, &like) : 0;
		if (r < 0)
			return r;
		moves = r ? &none : moves;
	}
	like.path = (char *)(uintptr_t)path;
	like.type = MLIMG_FILE;
	if (now && now->mtime_s > like.mtime_s) {
		like.mtime_s = now->mtime_s;
		like.mtime_ns = now->mtime_ns;
	}
	return since_map_owners(s, moves, &like, s->arena, ret);
}

static const char *name_of(const char *path)
{
	if (mlimg_packages_is_database(path))
		return "packages";
	return mlimg_accounts_file_of(path) == MLIMG_N_ACCOUNTS_FILES ? path : "accounts";
}

int since_put_database(struct since *s, const char *path, const struct mlimg_merged_text *text)
{
	const struct mlimg_entry *now = mlimg_manifest_find(s->upper, path);
	bool has_now = now && now->type == MLIMG_FILE, is_left_alone, stays, is_there, is_other;
	mlimg_autofree char *before = NULL;
	struct mlimg_entry like;
	size_t size = 0, at;
	int r, is_changed = since_is_changed(s, path);

	if (is_changed < 0)
		return mlimg_err_set(s->err, is_changed, "/%s", path);
	if ((now && !has_now) || !text->text || (now && mlimg_database_is_kept(s->classes, now)))
		return 0;
	r = since_has_ways(s, &path, 1, name_of(path));
	if (r <= 0)
		return r;
	is_left_alone = !mlimg_path_map_get(&s->put, path, &at) &&
		!mlimg_path_map_get(&s->taken, path, &at) && has_now;
	/* As a copy that he has made since for the sake of its mode: of the newer stack's text. */
	stays = is_left_alone && !is_changed && !mlimg_path_map_get(&s->first_done, path, &at);
	/* What the change had put, of which he has changed the mode alone: it is not its own to take away. */
	is_other = has_now && !is_changed && mlimg_path_map_get(&s->put, path, &at) &&
		!since_is_as_put(s, now);
	r = since_read(s, stays ? MLIMG_SIDE_MINE : MLIMG_SIDE_NEXT, path, &before, &size);
	if (r < 0 && r != -ENOENT)
		return mlimg_err_set(s->err, r, "/%s", path);
	is_there = before && size == text->size && memcmp(before, text->text, size) == 0;
	if (stays && is_there)
		return 0;
	r = has_now && (is_changed || stays || is_other) ? since_clear(s, path) : 0;
	/*
	 * Taking steps back, or the former stack, gives it these contents; but not what the change
	 * had left alone, and is gone now.
	 */
	if (r < 0 || (is_there && !is_other && !(is_left_alone && (is_changed || stays))))
		return r;
	r = since_make_way(s, path);
	if (r == 0)
		r = database_like(s, path, &like);
	if (r == 0 && mlimg_path_map_set(&s->adapted, path, 0) < 0)
		r = since_no_memory(s);
	return r < 0 ? r : mlimg_change_extra_put(&s->then, &like, text->text, text->size, s->err);
}

int since_put_of_stack(
	struct since *s, const struct mlimg_entry *wanted, const struct mlimg_entry *former)
{
	if (former->type != MLIMG_FILE)
		return mlimg_change_extra_put(&s->then, wanted, NULL, 0, s->err);
	if (s->c->call->lowers)
		return mlimg_change_extra_copy(&s->then, wanted, former, s->err);
	s->lacks_layers = true;
	return 0;
}

/* --- all of it --- */

static int note_steps(struct since *s)
{
	struct mlimg_undo_record record;
	int r = 0;

	for (size_t n = 0; n < s->log->n_records && r == 0; n++) {
		r = mlimg_undo_log_get(s->log, n, &record, s->err);
		if (r < 0)
			return r;
		if (record.op == 'i') {
			r = mlimg_path_map_set(&s->put, record.path, n);
		} else if (record.op == 's') {
			r = mlimg_path_map_set(&s->set, record.path, n);
		} else if (strchr("oa", record.op) && record.parts & MLIMG_UNDO_MAIN) {
			r = mlimg_buffer_reserve(&s->takens, &s->takens_room,
				(s->n_takens + 1) * sizeof(*s->takens));
			if (r < 0)
				break;
			s->takens[s->n_takens] = (struct since_taken){n, record.op};
			r = mlimg_path_map_set(&s->taken, record.path, s->n_takens++);
		}
	}
	return r < 0 ? since_no_memory(s) : 0;
}

static void pass_over(const char *path, int error, bool was_visited, void *ctx)
{
}

static int load_upper(struct since *s)
{
	size_t n;
	int r;

	mlimg_upper_dir_init(&s->files, s->c->upper_fd, s->c->is_unionfs);
	if (s->c->call->upper_memory_max)
		s->files.memory_max = s->c->call->upper_memory_max;
	r = s->files.source.load(&s->files.source, pass_over, NULL, &s->upper, s->err);
	return r < 0 ? r : mlimg_file_flags_lift(s->c->upper_fd, s->upper, &n, s->err);
}

static int open_dirs(struct since *s)
{
	s->made_fd = openat(
		s->c->undo_fd, MLIMG_CHANGE_MADE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->made_fd < 0 && errno != ENOENT)
		return mlimg_err_set(s->err, errno, "open '" MLIMG_CHANGE_MADE "'");
	s->aside_fd = mlimg_change_open_aside_of(s->c, s->c->generation);
	if (s->aside_fd < 0 && s->aside_fd != -ENOENT)
		return mlimg_err_set(s->err, s->aside_fd, "open '" MLIMG_CHANGE_ASIDE "'");
	return 0;
}

/* @return 0; 1 when one of the stacks is not known, which is told; -ENOMEM */
static int read_stacks(struct since *s, const struct mlimg_boot_state *state,
	const struct mlimg_boot_state *former)
{
	struct mlimg_mounted user = {.where = "user", .fd = s->c->call->user_fd};
	struct mlimg_err err = MLIMG_ERR_INIT;
	char dir[MLIMG_CHANGE_NAME_SIZE];
	int r = mlimg_base_read(&user, state, &s->now.manifest, &err);

	if (r == 0)
		r = mlimg_base_read_texts(&user, state, &s->now.texts, &err);
	snprintf(dir, sizeof(dir), "mlimg/" MLIMG_CHANGE_UNDO "/%" PRIu64, s->c->generation);
	if (r == 0)
		r = mlimg_base_read_taken(
			&user, dir, former, &s->former.manifest, &s->former.texts, &err);
	if (r == 0)
		return 0;
	r = since_give_up(s, "etc/passwd", "accounts and packages", &err);
	return r < 0 ? r : 1;
}

static int merge(struct since *s, const struct mlimg_boot_state *state,
	const struct mlimg_boot_state *former)
{
	int r = read_stacks(s, state, former);

	s->knows_stacks = r == 0;
	r = r < 0 ? r : since_read_classes(s);
	if (r == 0)
		r = since_caches(s);
	if (r < 0 || !s->knows_stacks)
		return r;
	r = since_packages(s);
	if (r == 0)
		r = since_copies(s);
	if (r == 0)
		r = since_give_way(s);
	if (r == 0)
		r = since_accounts(s);
	if (r == 0)
		r = since_put_packages(s);
	if (r == 0)
		r = since_adapt(s);
	if (r == 0)
		r = since_adapt_put(s);
	if (r == 0)
		r = since_move_owners(s);
	if (r == 0)
		r = since_lowers(s);
	if (r == 0 && s->lacks_layers)
		r = mlimg_err_set(s->err, 0,
			"the former stack's layers are needed for what was written since: mount "
			"them beneath one directory, and name it with --root");
	return r < 0 ? r : since_covers(s);
}

static void since_done(struct since *s)
{
	mlimg_manifest_free(s->upper);
	mlimg_manifest_free(s->after);
	mlimg_manifest_free(s->ways);
	mlimg_manifest_free(s->now.manifest);
	mlimg_manifest_free(s->former.manifest);
	mlimg_base_texts_done(&s->now.texts);
	mlimg_base_texts_done(&s->former.texts);
	mlimg_path_map_done(&s->taken);
	mlimg_path_map_done(&s->put);
	mlimg_path_map_done(&s->set);
	mlimg_path_map_done(&s->set_inodes);
	mlimg_path_map_done(&s->first_done);
	mlimg_path_map_done(&s->dirs_done);
	mlimg_path_map_done(&s->timed);
	mlimg_path_map_done(&s->adapted);
	mlimg_path_map_done(&s->gone);
	mlimg_path_map_done(&s->renewed);
	mlimg_upper_list_done(&s->had);
	mlimg_accounts_merged_done(&s->accounts);
	mlimg_packages_merged_done(&s->packages);
	mlimg_path_classes_free(s->classes);
	free(s->package_paths);
	mlimg_arena_free(s->arena);
	free(s->touched);
	mlimg_cleanup_close(&s->made_fd);
	mlimg_cleanup_close(&s->aside_fd);
	mlimg_change_extra_done(&s->first);
	mlimg_change_extra_done(&s->then);
	mlimg_change_extra_done(&s->stays);
	free(s->rebuild.data);
	free(s->takens);
	free(s->adaptables);
	free(s->set_names);
	mlimg_carve_owners_done(&s->carved);
	free(s);
}

int mlimg_change_since(struct mlimg_change *c, struct mlimg_undo_log *log,
	const struct mlimg_boot_state *state, const struct mlimg_boot_state *former,
	struct mlimg_change_needs *needs, struct mlimg_err *err)
{
	struct since *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return mlimg_err_set(err, ENOMEM, "roll back");
	s->c = c;
	s->log = log;
	s->err = err;
	s->carved.user_fd = c->call->user_fd;
	s->made_fd = s->aside_fd = -1;
	mlimg_change_extra_init(c, MLIMG_CHANGE_FIRST, &s->first);
	mlimg_change_extra_init(c, MLIMG_CHANGE_THEN, &s->then);
	mlimg_change_extra_init(c, MLIMG_CHANGE_STAYS, &s->stays);
	s->arena = mlimg_arena_new();
	r = s->arena ? open_dirs(s) : since_no_memory(s);
	if (r == 0)
		r = note_steps(s);
	if (r == 0)
		r = load_upper(s);
	if (r == 0)
		r = since_note_names(s);
	if (r == 0)
		r = since_note_stays(s);
	if (r == 0)
		r = since_note_renewed(s);
	if (r == 0)
		r = merge(s, state, former);
	if (r == 0)
		r = since_note_removed(s);
	if (r == 0)
		r = since_times(s);
	if (r == 0)
		r = mlimg_change_extra_write(&s->first, err);
	if (r == 0)
		r = mlimg_change_extra_write(&s->then, err);
	if (r == 0)
		r = mlimg_change_extra_write(&s->stays, err);
	if (r == 0)
		r = mlimg_rebuild_stage(c->own_fd, c->new_fd, &s->rebuild, err);
	needs->names_size += s->first.needs.names_size + s->then.needs.names_size;
	needs->n_blocks += s->first.needs.n_blocks + s->then.needs.n_blocks;
	since_done(s);
	return r;
}
