/* SPDX-License-Identifier: MIT */
/* The operations of a plan, each made ready as steps. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guest-agent/change-stage-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/path.h"

int stage_refuse(struct staging *s, const struct mlimg_plan_op *op, const char *why)
{
	return mlimg_err_refuse(
		s->err, "the plan does not fit: '%c' of '/%s', which %s", op->verb, op->path, why);
}

void stage_emit(struct staging *s, const struct mlimg_undo_record *record)
{
	mlimg_undo_log_put(record, mlimg_text_put, &s->log);
	mlimg_change_needs_add(&s->needs, record);
	s->n++;
}

/* --- what is there --- */

/* @return the parts that are at @path when the steps so far are done, or -errno */
static int parts_at(struct staging *s, const char *path)
{
	int r = mlimg_path_map_covers(&s->gone, path) ? 0 : mlimg_change_look(&s->c, path);

	if (r > 0 && mlimg_path_map_covers(&s->joined, path))
		r &= MLIMG_UNDO_MAIN;
	return r < 0 ? mlimg_err_set(s->err, r, "look at 'user/upper/%s'", path) : r;
}

/* @return 1, 0, -errno */
static int is_dir(struct staging *s, const char *path)
{
	int r = mlimg_change_is_dir(&s->c, path);

	return r < 0 ? mlimg_err_set(s->err, r, "look at 'user/upper/%s'", path) : r;
}

/*
 * A step will put something at the operation's path, if that can be: it has a directory, and no
 * step before has put something there. When the steps are carried out it is too late to find that
 * out. unionfs-fuse's marks need no directory.
 *
 * @return 0, -EUCLEAN, -errno
 */
static int claim(struct staging *s, const struct mlimg_plan_op *op, enum mlimg_type type)
{
	size_t size = mlimg_path_dir_size(op->path), was;
	mlimg_autofree char *dir = strndup(op->path, size);
	int r = 1;

	if (!dir)
		return stage_no_memory(s);
	if (mlimg_path_map_get(&s->made, op->path, &was))
		return stage_refuse(s, op, "an operation before has put");
	if (mlimg_path_map_get(&s->made, dir, &was))
		r = was == MLIMG_DIR;
	else if (size && !(s->c.is_unionfs && op->verb == MLIMG_PLAN_HIDE))
		r = mlimg_path_map_covers(&s->gone, dir) ? 0 : is_dir(s, dir);
	if (r <= 0)
		return r < 0 ? r : stage_refuse(s, op, "has no directory");
	return mlimg_path_map_set(&s->made, op->path, type) < 0 ? stage_no_memory(s) : 0;
}

/* --- times --- */

int stage_add_time(struct staging *s, const char *path, struct mlimg_undo_time old_time,
	struct mlimg_undo_time new_time)
{
	struct stage_time *time;
	size_t i;

	if (mlimg_path_map_get(&s->timed, path, &i)) {
		s->times[i].new_time = new_time;
		return 0;
	}
	if (mlimg_path_map_set(&s->timed, path, s->n_times) < 0 ||
		mlimg_buffer_reserve(&s->times, &s->times_room, (s->n_times + 1) * sizeof(*time)) <
			0)
		return stage_no_memory(s);
	time = &s->times[s->n_times];
	time->path = mlimg_arena_strndup(s->arena, path, strlen(path));
	if (!time->path)
		return stage_no_memory(s);
	time->old_time = old_time;
	time->new_time = new_time;
	s->n_times++;
	return 0;
}

/* A step will change the time of the directory that holds @path; in the end it is what it was. */
static int touch(struct staging *s, const char *path)
{
	mlimg_autofree char *dir = strndup(path, mlimg_path_dir_size(path));
	struct mlimg_change_place at;
	struct mlimg_undo_time time;
	struct stat st;
	size_t i;
	int r;

	if (!dir)
		return stage_no_memory(s);
	if (mlimg_path_map_get(&s->timed, dir, &i))
		return 0;
	r = mlimg_change_find(&s->c, dir, &at);
	if (r == 0 && fstatat(at.fd, at.name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		r = -errno;
	if (mlimg_change_is_nowhere(r)) /* only unionfs-fuse's marks need no directory */
		return 0;
	if (r < 0)
		return mlimg_err_set(s->err, r, "look at 'user/upper/%s'", dir);
	time = (struct mlimg_undo_time){st.st_mtim.tv_sec, (uint32_t)st.st_mtim.tv_nsec};
	return stage_add_time(s, dir, time, time);
}

/* --- slots --- */

/* Puts @entry, whose path is that in the upper, into the slot of the next step. */
static int make_slot(
	struct staging *s, const struct mlimg_plan_op *op, const struct mlimg_entry *entry)
{
	struct mlimg_change_contents contents = {.lowers = s->lowers, .of = op->entry};
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	int r = mlimg_change_step(&s->c);

	if (r < 0)
		return mlimg_err_set(s->err, r, "stopped");
	if (op->verb == MLIMG_PLAN_PUT) {
		contents.of = NULL;
		contents.data = s->plan->blobs[op->blob].data;
		contents.size = s->plan->blobs[op->blob].size;
	}
	mlimg_change_slot(s->n, MLIMG_UNDO_MAIN, slot);
	r = mlimg_change_make_slot(&s->c, s->c.new_fd, slot, entry, &contents, s->err);
	return r < 0 || entry->type != MLIMG_FILE ? r : stage_keep_made(s, slot, entry->path);
}

/* --- operations --- */

static int take(struct staging *s, const char *path, char letter, int parts)
{
	struct mlimg_undo_record record = {.op = letter, .path = path, .parts = (unsigned)parts};

	stage_emit(s, &record);
	return mlimg_path_map_set(&s->gone, path, 0) < 0 ? stage_no_memory(s) : touch(s, path);
}

static int drop(struct staging *s, const struct mlimg_plan_op *op)
{
	int r = is_dir(s, op->path), parts;

	if (r)
		return r < 0 ? r : stage_refuse(s, op, "is a directory");
	parts = parts_at(s, op->path);
	return parts <= 0 ? parts : take(s, op->path, 'o', parts);
}

static int drop_dir(struct staging *s, const struct mlimg_plan_op *op)
{
	int parts = parts_at(s, op->path);
	struct mlimg_undo_record record = {.op = 'e', .path = op->path, .entry = *op->entry};

	if (parts < 0 || !(parts & MLIMG_UNDO_MAIN))
		return parts < 0 ? parts : 0;
	record.parts = (unsigned)parts & ~(unsigned)MLIMG_UNDO_MARKERS;
	record.entry.path = op->path;
	stage_emit(s, &record);
	return mlimg_path_map_set(&s->emptied, op->path, 0) < 0 ? stage_no_memory(s)
								: touch(s, op->path);
}

static int set_aside(struct staging *s, const struct mlimg_plan_op *op)
{
	int parts = parts_at(s, op->path), r = 0;

	if (parts <= 0)
		return parts;
	if (s->c.aside_fd < 0)
		r = mlimg_change_open_aside(&s->c, s->c.generation, true);
	if (r == 0)
		r = mlimg_change_make_way(s->c.aside_fd, op->path, 0755);
	if (r < 0)
		return mlimg_err_set(s->err, r, "make the way to 'aside' of '/%s'", op->path);
	return take(s, op->path, 'a', parts);
}

static int hide(struct staging *s, const struct mlimg_plan_op *op)
{
	struct mlimg_undo_record record = {.op = 'i',
		.path = op->path,
		.entry = {.path = op->path, .type = MLIMG_CHAR, .nlink = 1}};
	int parts = parts_at(s, op->path), r;

	if (parts < 0)
		return parts;
	if (parts & MLIMG_UNDO_MAIN)
		return stage_refuse(s, op, "is still there");
	if (parts & MLIMG_UNDO_MARKER)
		return 0;
	r = claim(s, op, record.entry.type);
	if (r == 0)
		r = make_slot(s, op, &record.entry);
	if (r < 0)
		return r;
	stage_emit(s, &record);
	return touch(s, op->path);
}

/*
 * unionfs-fuse's marks below an opaque directory say nothing; they would as soon as it is not, and
 * hide what the layers have there.
 */
static int join(struct staging *s, const struct mlimg_plan_op *op)
{
	struct mlimg_undo_record record = {.op = 'u', .path = op->path},
				 below = {.op = 'o', .path = op->path, .parts = MLIMG_UNDO_MARKERS};
	int r = is_dir(s, op->path), parts;

	if (r <= 0)
		return r < 0 ? r : stage_refuse(s, op, "is no directory");
	parts = parts_at(s, op->path);
	if (parts < 0)
		return parts;
	if (parts & MLIMG_UNDO_MARKERS)
		stage_emit(s, &below);
	stage_emit(s, &record);
	return mlimg_path_map_set(&s->joined, op->path, 0) < 0 ? stage_no_memory(s) : 0;
}

static int close_dir(struct staging *s, const struct mlimg_plan_op *op)
{
	struct mlimg_undo_record record = {.op = 'c', .path = op->path};
	const struct mlimg_entry marker = {.path = op->path, .type = MLIMG_CHAR, .nlink = 1};
	int parts = parts_at(s, op->path), r;

	if (parts < 0)
		return parts;
	r = parts & MLIMG_UNDO_MAIN ? is_dir(s, op->path) : 0;
	if (r <= 0)
		return r < 0 ? r : stage_refuse(s, op, "is no directory");
	if (parts & MLIMG_UNDO_MARKER)
		return 0;
	r = s->c.is_unionfs ? make_slot(s, op, &marker) : 0;
	if (r == 0)
		stage_emit(s, &record);
	return r;
}

/* What is there gives way, but not to what is only to lie beside something else. */
static int put(struct staging *s, const struct mlimg_plan_op *op)
{
	char *path = op->path; /* in the upper, which is not always the entry's */
	struct mlimg_undo_record record = {.op = 'i', .path = path, .entry = *op->entry};
	int parts = parts_at(s, path), r;

	if (parts < 0)
		return parts;
	if (parts & MLIMG_UNDO_MAIN && op->verb == MLIMG_PLAN_PUT_BESIDE)
		return stage_refuse(s, op, "is still there");
	parts &= ~MLIMG_UNDO_MARKERS;
	r = parts ? is_dir(s, path) : 0;
	if (r)
		return r < 0 ? r : stage_refuse(s, op, "is a directory");
	r = parts ? take(s, path, 'o', parts) : 0;
	if (r < 0)
		return r;
	record.entry.path = path;
	record.entry.nlink = 1;
	record.entry.hardlink = 0;
	if (op->verb == MLIMG_PLAN_PUT) {
		const struct mlimg_plan_blob *blob = &s->plan->blobs[op->blob];

		record.entry.size_bytes = blob->size;
		record.entry.has_digest = true;
		memcpy(record.entry.digest, blob->digest, sizeof(blob->digest));
	}
	r = claim(s, op, record.entry.type);
	if (r == 0)
		r = make_slot(s, op, &record.entry);
	if (r < 0)
		return r;
	stage_emit(s, &record);
	return touch(s, path);
}

static int make_dir(struct staging *s, const struct mlimg_plan_op *op)
{
	struct mlimg_undo_record record = {.op = 'i', .path = op->path, .entry = *op->entry};
	const struct mlimg_undo_time time = {op->entry->mtime_s, op->entry->mtime_ns};
	int parts = parts_at(s, op->path), r;
	size_t type;

	if (parts < 0)
		return parts;
	if (mlimg_path_map_get(&s->made, op->path, &type) && type == MLIMG_DIR)
		return 0;
	if (parts & MLIMG_UNDO_MAIN) {
		r = is_dir(s, op->path);
		if (r <= 0)
			return r < 0 ? r : stage_refuse(s, op, "is something else");
		/* Whether it is still there one sees when the steps are carried out. */
		if (!mlimg_path_map_get(&s->emptied, op->path, &type))
			return 0;
	}
	record.entry.path = op->path;
	r = claim(s, op, record.entry.type);
	if (r == 0)
		r = make_slot(s, op, &record.entry);
	if (r < 0)
		return r;
	stage_emit(s, &record);
	r = touch(s, op->path);
	return r < 0 ? r : stage_add_time(s, op->path, time, time);
}

int stage_op(struct staging *s, const struct mlimg_plan_op *op)
{
	switch (op->verb) {
	case MLIMG_PLAN_DROP: return drop(s, op);
	case MLIMG_PLAN_DROP_DIR: return drop_dir(s, op);
	case MLIMG_PLAN_SET_ASIDE: return set_aside(s, op);
	case MLIMG_PLAN_JOIN: return join(s, op);
	case MLIMG_PLAN_CLOSE: return close_dir(s, op);
	case MLIMG_PLAN_HIDE: return hide(s, op);
	case MLIMG_PLAN_SET_ATTRS: return stage_set_attributes(s, op);
	case MLIMG_PLAN_MAKE_DIR: return make_dir(s, op);
	default: return put(s, op);
	}
}
