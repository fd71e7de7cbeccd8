/* SPDX-License-Identifier: MIT */
#include "guest-agent/change-stage.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "guest-agent/change-place.h"
#include "guest-agent/path-map.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/text.h"
#include "libmlimg/whiteout.h"

#define BLOCKS_MIN \
	16 /* for what each change writes besides: directories of its own that grow, xattrs of the log's file */

/* A directory whose time the steps change. */
struct dir_time {
	const char *path;
	struct mlimg_undo_time old_time, new_time;
};

struct staging {
	struct mlimg_change c;
	const struct mlimg_plan *plan;
	const struct mlimg_lowers *lowers;
	struct mlimg_text log;
	size_t n;                    /* number of the next step */
	struct mlimg_path_map gone;  /* what a step before has taken away */
	struct mlimg_path_map timed; /* directories: their place in times */
	struct dir_time *times;
	size_t n_times, times_room;
	struct mlimg_arena *arena;
	uint64_t names_size; /* bytes that moves add to directories */
	uint64_t n_sets;     /* steps that may need a block for xattrs */
	struct mlimg_err *err;
};

static int no_memory(struct staging *s)
{
	return mlimg_err_set(s->err, ENOMEM, "make the change ready");
}

static int refuse(struct staging *s, const struct mlimg_plan_op *op, const char *why)
{
	return mlimg_err_refuse(
		s->err, "the plan does not fit: '%c' of '/%s', which %s", op->verb, op->path, why);
}

static void emit(struct staging *s, const struct mlimg_undo_record *record)
{
	mlimg_undo_log_put(record, mlimg_text_put, &s->log);
	s->names_size += strlen(mlimg_path_name(record->path)) + 32;
	s->n++;
}

/* --- what is there --- */

/* @return the parts that are at @path when the steps so far are done, or -errno */
static int parts_at(struct staging *s, const char *path)
{
	int r = mlimg_path_map_covers(&s->gone, path) ? 0 : mlimg_change_look(&s->c, path);

	return r < 0 ? mlimg_err_set(s->err, r, "look at 'user/upper/%s'", path) : r;
}

/* @return 1, 0, -errno */
static int is_dir(struct staging *s, const char *path)
{
	struct mlimg_change_place at;
	struct stat st;
	int r = mlimg_change_find(&s->c, path, &at);

	if (r == 0 && fstatat(at.fd, at.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r < 0)
		return mlimg_change_is_nowhere(r)
			? 0
			: mlimg_err_set(s->err, r, "look at 'user/upper/%s'", path);
	return S_ISDIR(st.st_mode);
}

/* --- times --- */

static int add_time(struct staging *s, const char *path, struct mlimg_undo_time old_time,
	struct mlimg_undo_time new_time)
{
	struct dir_time *time;
	size_t i;

	if (mlimg_path_map_get(&s->timed, path, &i)) {
		s->times[i].new_time = new_time;
		return 0;
	}
	if (mlimg_path_map_set(&s->timed, path, s->n_times) < 0 ||
		mlimg_buffer_reserve(&s->times, &s->times_room, (s->n_times + 1) * sizeof(*time)) <
			0)
		return no_memory(s);
	time = &s->times[s->n_times];
	time->path = mlimg_arena_strndup(s->arena, path, strlen(path));
	if (!time->path)
		return no_memory(s);
	time->old_time = old_time;
	time->new_time = new_time;
	s->n_times++;
	return 0;
}

/* A step will change the time of the directory that holds @path; in the end it is what it was. */
static int touch(struct staging *s, const char *path)
{
	mlimg_autofree char *dir = strndup(path, (size_t)(mlimg_path_name(path) - path));
	struct mlimg_change_place at;
	struct mlimg_undo_time time;
	struct stat st;
	size_t i;
	int r;

	if (!dir)
		return no_memory(s);
	if (*dir)
		dir[strlen(dir) - 1] = '\0';
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
	return add_time(s, dir, time, time);
}

/* --- slots --- */

static int make_file(struct staging *s, const char *slot, const struct mlimg_plan_op *op)
{
	mlimg_autoclose int fd =
		openat(s->c.new_fd, slot, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return mlimg_err_set(s->err, errno, "make '/%s'", op->path);
	if (op->verb != MLIMG_PLAN_PUT)
		return mlimg_lowers_copy(s->lowers, op->entry, fd, s->err);
	r = mlimg_write_all(fd, s->plan->blobs[op->blob].data, s->plan->blobs[op->blob].size);
	return r < 0 ? mlimg_err_set(s->err, r, "make '/%s'", op->path) : 0;
}

static int make_other(int fd, const char *slot, const struct mlimg_entry *entry)
{
	int r;

	switch (entry->type) {
	case MLIMG_DIR: r = mkdirat(fd, slot, 0700); break;
	case MLIMG_LINK: r = symlinkat(entry->link, fd, slot); break;
	default:
		r = mknodat(fd, slot, mlimg_type_mode(entry->type) | 0600,
			makedev(entry->dev_major, entry->dev_minor));
	}
	return r < 0 ? -errno : 0;
}

/* Puts @entry, whose path is that in the upper, into the slot of the next step. */
static int make_slot(
	struct staging *s, const struct mlimg_plan_op *op, const struct mlimg_entry *entry)
{
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	struct mlimg_change *c = &s->c;
	int r = mlimg_change_step(c);

	if (r < 0)
		return mlimg_err_set(s->err, r, "stopped");
	mlimg_change_slot(s->n, MLIMG_UNDO_MAIN, slot);
	if (entry->type == MLIMG_FILE)
		r = make_file(s, slot, op);
	else if (c->is_unionfs && mlimg_entry_is_whiteout(entry))
		r = mknodat(c->new_fd, slot, S_IFREG | 0600, 0) < 0
			? mlimg_err_set(s->err, errno, "make '/%s'", entry->path)
			: 0;
	else
		r = make_other(c->new_fd, slot, entry);
	if (r < 0 && entry->type != MLIMG_FILE)
		return mlimg_err_set(s->err, r, "make '/%s'", entry->path);
	if (r < 0 || mlimg_entry_is_whiteout(entry))
		return r;
	r = mlimg_entry_at_set(&c->reader, c->new_fd, slot, entry);
	return r < 0 ? mlimg_err_set(s->err, r, "make '/%s'", entry->path) : 0;
}

/* --- operations --- */

static int take(struct staging *s, const char *path, char letter, int parts)
{
	struct mlimg_undo_record record = {.op = letter, .path = path, .parts = (unsigned)parts};

	emit(s, &record);
	return mlimg_path_map_set(&s->gone, path, 0) < 0 ? no_memory(s) : touch(s, path);
}

static int drop(struct staging *s, const struct mlimg_plan_op *op)
{
	int r = is_dir(s, op->path), parts;

	if (r)
		return r < 0 ? r : refuse(s, op, "is a directory");
	parts = parts_at(s, op->path);
	return parts <= 0 ? parts : take(s, op->path, 'o', parts);
}

static int drop_dir(struct staging *s, const struct mlimg_plan_op *op)
{
	int parts = parts_at(s, op->path) & ~MLIMG_UNDO_MARKERS;
	struct mlimg_undo_record record = {.op = 'e', .path = op->path, .entry = *op->entry};

	if (parts < 0 || !(parts & MLIMG_UNDO_MAIN))
		return parts < 0 ? parts : 0;
	record.parts = (unsigned)parts;
	record.entry.path = op->path;
	emit(s, &record);
	return touch(s, op->path);
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
		return refuse(s, op, "is still there");
	if (parts & MLIMG_UNDO_MARKER)
		return 0;
	r = make_slot(s, op, &record.entry);
	if (r < 0)
		return r;
	emit(s, &record);
	return touch(s, op->path);
}

/* What @entry has of attributes, and @old of the rest. */
static struct mlimg_entry with_attributes(
	const struct mlimg_entry *old, const struct mlimg_entry *entry)
{
	struct mlimg_entry fresh = *old;

	fresh.mode = entry->mode;
	fresh.uid = entry->uid;
	fresh.gid = entry->gid;
	fresh.mtime_s = entry->mtime_s;
	fresh.mtime_ns = entry->mtime_ns;
	fresh.xattrs = entry->xattrs;
	fresh.n_xattrs = entry->n_xattrs;
	return fresh;
}

static int set_attributes(struct staging *s, const struct mlimg_plan_op *op)
{
	const struct mlimg_entry *e = op->entry;
	struct mlimg_undo_record record = {.op = 's', .path = op->path};
	struct mlimg_change_place at;
	int r = mlimg_path_map_covers(&s->gone, op->path) ? -ENOENT
							  : mlimg_change_find(&s->c, op->path, &at);

	if (r == 0)
		r = mlimg_entry_at_read(
			&s->c.reader, at.fd, at.name, op->path, false, &record.entry);
	if (mlimg_change_is_nowhere(r) || (r == 0 && record.entry.type != e->type))
		return refuse(s, op, "is not there");
	if (r < 0)
		return mlimg_err_set(s->err, r, "look at 'user/upper/%s'", op->path);
	record.fresh = with_attributes(&record.entry, e);
	emit(s, &record);
	s->n_sets++;
	if (e->type != MLIMG_DIR)
		return 0;
	return add_time(s, op->path,
		(struct mlimg_undo_time){record.entry.mtime_s, record.entry.mtime_ns},
		(struct mlimg_undo_time){e->mtime_s, e->mtime_ns});
}

static int join(struct staging *s, const struct mlimg_plan_op *op)
{
	struct mlimg_undo_record record = {.op = 'u', .path = op->path};
	int r = is_dir(s, op->path);

	if (r <= 0)
		return r < 0 ? r : refuse(s, op, "is no directory");
	emit(s, &record);
	return 0;
}

/* @path: in the upper, which is not always the entry's */
static int put(struct staging *s, const struct mlimg_plan_op *op, char *path)
{
	struct mlimg_undo_record record = {.op = 'i', .path = path, .entry = *op->entry};
	int parts = parts_at(s, path) & ~MLIMG_UNDO_MARKERS, r;

	if (parts < 0)
		return parts;
	r = parts ? is_dir(s, path) : 0;
	if (r)
		return r < 0 ? r : refuse(s, op, "is a directory");
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
	r = make_slot(s, op, &record.entry);
	if (r < 0)
		return r;
	emit(s, &record);
	return touch(s, path);
}

/* A name that would be too long has no place for another one beside it; the report has the conflict. */
static int put_beside(struct staging *s, const struct mlimg_plan_op *op)
{
	mlimg_autofree char *path = NULL;

	if (strlen(mlimg_path_name(op->path)) + strlen(MLIMG_PLAN_NEW_SUFFIX) > MLIMG_NAME_MAX ||
		strlen(op->path) + strlen(MLIMG_PLAN_NEW_SUFFIX) > MLIMG_PATH_MAX)
		return 0;
	if (asprintf(&path, "%s" MLIMG_PLAN_NEW_SUFFIX, op->path) < 0)
		return no_memory(s);
	return put(s, op, path);
}

static int make_dir(struct staging *s, const struct mlimg_plan_op *op)
{
	struct mlimg_undo_record record = {.op = 'i', .path = op->path, .entry = *op->entry};
	const struct mlimg_undo_time time = {op->entry->mtime_s, op->entry->mtime_ns};
	int parts = parts_at(s, op->path), r;

	if (parts < 0)
		return parts;
	if (parts & MLIMG_UNDO_MAIN) {
		r = is_dir(s, op->path);
		return r ? (r < 0 ? r : 0) : refuse(s, op, "is something else");
	}
	record.entry.path = op->path;
	r = make_slot(s, op, &record.entry);
	if (r < 0)
		return r;
	emit(s, &record);
	r = touch(s, op->path);
	return r < 0 ? r : add_time(s, op->path, time, time);
}

static int stage(struct staging *s, const struct mlimg_plan_op *op)
{
	switch (op->verb) {
	case MLIMG_PLAN_DROP: return drop(s, op);
	case MLIMG_PLAN_DROP_DIR: return drop_dir(s, op);
	case MLIMG_PLAN_SET_ASIDE: return set_aside(s, op);
	case MLIMG_PLAN_JOIN: return join(s, op);
	case MLIMG_PLAN_HIDE: return hide(s, op);
	case MLIMG_PLAN_SET_ATTRS: return set_attributes(s, op);
	case MLIMG_PLAN_PUT_BESIDE: return put_beside(s, op);
	case MLIMG_PLAN_MAKE_DIR: return make_dir(s, op);
	default: return put(s, op, op->path);
	}
}

/* --- all of it --- */

static void emit_times(struct staging *s)
{
	for (size_t i = 0; i < s->n_times; i++) {
		struct mlimg_undo_record record = {.op = 't',
			.path = s->times[i].path,
			.old_time = s->times[i].old_time,
			.new_time = s->times[i].new_time};

		emit(s, &record);
	}
}

/*
 * Moves make directories grow, and one that is split in two takes another block. What ext4 keeps back for itself (s_resv_clusters) is free, but
 * not available.
 */
static int check_room(struct staging *s)
{
	struct statvfs st;
	uint64_t wanted;

	if (fstatvfs(s->c.own_fd, &st) < 0)
		return mlimg_err_set(s->err, errno, "look for room");
	wanted = BLOCKS_MIN + s->n_sets + 2 * s->names_size / (st.f_frsize ? st.f_frsize : 4096);
	return st.f_bavail < wanted
		? mlimg_err_set(s->err, ENOSPC,
			  "%" PRIu64 " blocks are wanted, and %" PRIu64 " are free", wanted,
			  (uint64_t)st.f_bavail)
		: 0;
}

static int write_state(struct staging *s, int fd, const struct mlimg_boot_state *state)
{
	mlimg_autofree char *text = NULL;
	int r = mlimg_boot_state_to_json(state, &text, s->err);

	return r < 0 ? r : mlimg_replace_file(fd, "state.json", text, strlen(text), 0644, s->err);
}

static int write_all(
	struct staging *s, const struct mlimg_boot_state *old, const struct mlimg_boot_state *next)
{
	int r;

	emit_times(s);
	if (s->log.has_failed)
		return no_memory(s);
	r = mlimg_replace_file(s->c.undo_fd, "log", s->log.data, s->log.size, 0600, s->err);
	if (r == 0)
		r = write_state(s, s->c.undo_fd, old);
	if (r == 0)
		r = write_state(s, s->c.new_fd, next);
	return r < 0 ? r : check_room(s);
}

/* Of what an undecided change would set aside nothing was moved yet, so there are only directories. */
static int remove_dir(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)!rmdir(path);
	return 0;
}

static void remove_empty_aside(int own_fd, uint64_t generation)
{
	char path[64 + MLIMG_CHANGE_NAME_SIZE];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/" MLIMG_CHANGE_ASIDE "/%" PRIu64, own_fd,
		generation);
	nftw(path, remove_dir, 16, FTW_DEPTH | FTW_PHYS);
	unlinkat(own_fd, MLIMG_CHANGE_ASIDE, AT_REMOVEDIR);
}

/* Nothing that lies there is lost, whoever has put it there. */
static int clear_aside(struct mlimg_change *c, uint64_t generation, struct mlimg_err *err)
{
	char from[MLIMG_CHANGE_NAME_SIZE], to[MLIMG_CHANGE_NAME_SIZE + 16];

	remove_empty_aside(c->own_fd, generation);
	snprintf(from, sizeof(from), MLIMG_CHANGE_ASIDE "/%" PRIu64, generation);
	for (unsigned i = 1; mlimg_change_exists(c->own_fd, from); i++) {
		snprintf(to, sizeof(to), "%s.%u", from, i);
		if (renameat2(c->own_fd, from, c->own_fd, to, RENAME_NOREPLACE) < 0 &&
			errno != EEXIST)
			return mlimg_err_set(err, errno, "rename 'user/mlimg/%s'", from);
	}
	return 0;
}

static int open_all(struct staging *s, struct mlimg_change_call *call,
	const struct mlimg_boot_state *old, const struct mlimg_boot_state *next)
{
	mlimg_autoclose int own_fd =
		openat(call->user_fd, "mlimg", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (own_fd < 0)
		return mlimg_err_set(s->err, errno, "open 'user/mlimg'");
	mlimg_change_clean(own_fd, old->generation);
	s->arena = mlimg_arena_new();
	if (!s->arena)
		return no_memory(s);
	r = mlimg_change_open(call, next->generation, &s->c, s->err);
	return r < 0 ? r : clear_aside(&s->c, next->generation, s->err);
}

static void staging_done(struct staging *s)
{
	mlimg_change_close(&s->c);
	mlimg_path_map_done(&s->gone);
	mlimg_path_map_done(&s->timed);
	mlimg_arena_free(s->arena);
	free(s->times);
	free(s->log.data);
	free(s);
}

int mlimg_change_stage(struct mlimg_change_call *call, const struct mlimg_plan *plan,
	const struct mlimg_lowers *lowers, bool is_unionfs, const struct mlimg_boot_state *old,
	const struct mlimg_boot_state *next, struct mlimg_err *err)
{
	struct staging *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return mlimg_err_set(err, ENOMEM, "make the change ready");
	s->plan = plan;
	s->lowers = lowers;
	s->err = err;
	s->c = (struct mlimg_change){.upper_fd = -1,
		.own_fd = -1,
		.new_fd = -1,
		.undo_fd = -1,
		.taken_fd = -1,
		.aside_fd = -1,
		.parent_fd = -1};
	r = open_all(s, call, old, next);
	s->c.is_unionfs = is_unionfs;
	mlimg_undo_log_put_head(is_unionfs, mlimg_text_put, &s->log);
	for (size_t i = 0; i < plan->n_ops && r == 0; i++)
		r = stage(s, &plan->ops[i]);
	if (r == 0)
		r = write_all(s, old, next);
	staging_done(s);
	if (r < 0 && r != -ECANCELED)
		mlimg_change_unstage(call->user_fd, next->generation);
	return r;
}

void mlimg_change_unstage(int user_fd, uint64_t generation)
{
	mlimg_autoclose int own_fd =
		openat(user_fd, "mlimg", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (own_fd < 0)
		return;
	mlimg_change_clean(own_fd, generation - 1);
	remove_empty_aside(own_fd, generation);
}
