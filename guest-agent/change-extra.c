/* SPDX-License-Identifier: MIT */
/*
 * A log of steps in a directory of reconcile.new, with slots of its own: what a rollback does
 * beside taking steps back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/change-since.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/reconcile-plan.h"
#include "libmlimg/whiteout.h"

/* --- made ready --- */

static int open_dir(int fd, const char *name)
{
	int dir = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return dir < 0 ? -errno : dir;
}

static int open_made(int fd, const char *name)
{
	return mkdirat(fd, name, 0700) < 0 ? -errno : open_dir(fd, name);
}

void mlimg_change_extra_init(
	struct mlimg_change *c, const char *name, struct mlimg_change_extra *ret)
{
	*ret = (struct mlimg_change_extra){.c = c, .name = name, .fd = -1, .new_fd = -1};
	mlimg_undo_log_put_head(c->is_unionfs, mlimg_text_put, &ret->log);
}

/* Directories are made when something is to be in them: each takes a block. */
static int make_dir(struct mlimg_change_extra *extra)
{
	if (extra->fd < 0)
		extra->fd = open_made(extra->c->new_fd, extra->name);
	return extra->fd < 0 ? extra->fd : 0;
}

static int make_new(struct mlimg_change_extra *extra)
{
	int r = extra->new_fd < 0 ? make_dir(extra) : 0;

	if (r == 0 && extra->new_fd < 0)
		r = extra->new_fd = open_made(extra->fd, "new");
	return r < 0 ? r : 0;
}

void mlimg_change_extra_add(
	struct mlimg_change_extra *extra, const struct mlimg_undo_record *record)
{
	mlimg_undo_log_put(record, mlimg_text_put, &extra->log);
	mlimg_change_needs_add(&extra->needs, record);
	extra->takes |= strchr("oae", record->op) != NULL;
	extra->n++;
}

static int put(struct mlimg_change_extra *extra, const struct mlimg_entry *entry,
	const struct mlimg_change_contents *contents, struct mlimg_err *err)
{
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	struct mlimg_undo_record record = {.op = 'i', .path = entry->path, .entry = *entry};
	mlimg_autofree struct mlimg_xattr *xattrs = calloc(entry->n_xattrs + 1, sizeof(*xattrs));
	struct mlimg_entry *e = &record.entry;
	int r = xattrs ? 0 : -ENOMEM;

	e->nlink = 1;
	e->hardlink = 0;
	e->has_digest = e->type == MLIMG_FILE;
	e->size_bytes = e->type == MLIMG_FILE ? contents->size : 0;
	e->xattrs = xattrs;
	e->n_xattrs = 0;
	if (e->has_digest && contents->of)
		memcpy(e->digest, contents->of->digest, sizeof(e->digest));
	else if (e->has_digest)
		mlimg_sha256_of(contents->data, contents->size, e->digest);
	for (uint32_t i = 0; i < entry->n_xattrs && r == 0; i++)
		if (!mlimg_xattr_is_overlay(entry->xattrs[i].name))
			xattrs[e->n_xattrs++] = entry->xattrs[i];
	if (r == 0)
		r = make_new(extra);
	if (r < 0)
		return mlimg_err_set(err, r, "make '/%s'", entry->path);
	mlimg_change_slot(extra->n, MLIMG_UNDO_MAIN, slot);
	r = mlimg_change_make_slot(extra->c, extra->new_fd, slot, e, contents, err);
	if (r == 0)
		mlimg_change_extra_add(extra, &record);
	return r;
}

int mlimg_change_extra_put(struct mlimg_change_extra *extra, const struct mlimg_entry *entry,
	const char *data, size_t size, struct mlimg_err *err)
{
	const struct mlimg_change_contents contents = {.data = data, .size = size};

	return put(extra, entry, &contents, err);
}

int mlimg_change_extra_copy(struct mlimg_change_extra *extra, const struct mlimg_entry *entry,
	const struct mlimg_entry *former, struct mlimg_err *err)
{
	const struct mlimg_change_contents contents = {
		.size = former->size_bytes, .lowers = extra->c->call->lowers, .of = former};

	return put(extra, entry, &contents, err);
}

int mlimg_change_extra_write(struct mlimg_change_extra *extra, struct mlimg_err *err)
{
	int r = extra->n ? make_dir(extra) : 0;

	if (r == 0 && extra->takes && mkdirat(extra->fd, "taken", 0700) < 0)
		r = -errno;
	if (r < 0)
		return mlimg_err_set(err, r, "make 'reconcile.new/%s'", extra->name);
	if (extra->n)
		r = mlimg_change_write_log(extra->c, extra->fd, "log", &extra->log, err);
	return r < 0 ? mlimg_err_wrap(err, r, "reconcile.new/%s", extra->name) : 0;
}

void mlimg_change_extra_done(struct mlimg_change_extra *extra)
{
	mlimg_cleanup_close(&extra->fd);
	mlimg_cleanup_close(&extra->new_fd);
	free(extra->log.data);
	extra->log = (struct mlimg_text){.data = NULL};
}

/* --- carried out --- */

/*
 * What was to be put is there, or it found no place and is aside. @return 0, -errno
 */
static int tell_put(struct mlimg_change *c, const struct mlimg_entry *put)
{
	struct mlimg_change_call *call = c->call;
	struct mlimg_change_place at;
	struct stat st;
	int r = mlimg_change_find(c, put->path, &at);

	if (r == 0 && fstatat(at.fd, at.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r < 0 && !mlimg_change_is_nowhere(r))
		return r;
	if (r == 0 && (put->type == MLIMG_FILE ? S_ISREG(st.st_mode) : S_ISLNK(st.st_mode))) {
		if (put->type == MLIMG_FILE && call->told)
			call->told(
				put->path, MLIMG_CHANGE_MERGED, true, call->generation, call->ctx);
		return 0;
	}
	r = mlimg_change_is_in_aside(c->aside_fd, put->path);
	if (r < 0)
		return r;
	call->n_aside += (uint64_t)r;
	if (r && call->told)
		call->told(put->path, MLIMG_CHANGE_IS_ASIDE, put->type == MLIMG_FILE,
			call->generation, call->ctx);
	return mlimg_notes_add(call->notes, MLIMG_NOTE_BROKEN, put->path, "taken back",
		"/%s is not put back: it has no place any more", put->path);
}

/*
 * @name: of the log. What is set aside before steps are taken back was written since, what is
 * afterwards they have returned.
 */
static int tell(
	struct mlimg_change *c, const char *name, size_t n, const struct mlimg_undo_record *record)
{
	struct mlimg_change_call *call = c->call;
	char slot[MLIMG_CHANGE_SLOT_SIZE];

	if (record->op == 'i' &&
		(record->entry.type == MLIMG_FILE || record->entry.type == MLIMG_LINK))
		return tell_put(c, &record->entry);
	if (!call->told)
		return 0;
	mlimg_change_slot(n, MLIMG_UNDO_MAIN, slot);
	if (record->op == 'a')
		call->told(record->path,
			strcmp(name, MLIMG_CHANGE_FIRST) == 0 ? MLIMG_CHANGE_GAVE_WAY
							      : MLIMG_CHANGE_IS_ASIDE,
			mlimg_change_is_file(c->aside_fd, record->path), call->generation,
			call->ctx);
	else if (record->op == 'o' && !mlimg_reconcile_is_database(record->path))
		call->told(record->path, MLIMG_CHANGE_DROPPED,
			mlimg_change_is_file(c->taken_fd, slot), call->generation, call->ctx);
	return 0;
}

static int tell_all(
	struct mlimg_change *c, const char *name, struct mlimg_undo_log *log, struct mlimg_err *err)
{
	struct mlimg_undo_record record;
	int r = 0;

	for (size_t n = 0; n < log->n_records && r == 0; n++) {
		r = mlimg_undo_log_get(log, n, &record, err);
		if (r < 0)
			return r;
		r = tell(c, name, n, &record);
		if (r < 0)
			return mlimg_err_set(err, r, "tell of 'user/upper/%s'", record.path);
	}
	return r;
}

int mlimg_change_extra_note(struct mlimg_change *c, const char *name, const char *ops,
	struct mlimg_path_map *ret_paths, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_undo_log_done) struct mlimg_undo_log log = {0};
	mlimg_autoclose int dir = open_dir(c->new_fd, name);
	struct mlimg_undo_record record;
	int r;

	if (dir < 0)
		return dir == -ENOENT ? 0
				      : mlimg_err_set(err, dir, "open 'reconcile.new/%s'", name);
	r = mlimg_undo_log_read(dir, &log, err);
	for (size_t n = 0; n < log.n_records && r == 0; n++) {
		r = mlimg_undo_log_get(&log, n, &record, err);
		if (r == 0 && strchr(ops, record.op) &&
			mlimg_path_map_set(ret_paths, record.path, n) < 0)
			return mlimg_err_set(err, ENOMEM, "roll back");
	}
	return r < 0 ? mlimg_err_wrap(err, r, "reconcile.new/%s", name) : 0;
}

int mlimg_change_extra_carry_out(struct mlimg_change *c, const char *name, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_undo_log_done) struct mlimg_undo_log log = {0};
	mlimg_autoclose int dir = open_dir(c->new_fd, name), new_fd = -1, taken_fd = -1;
	int was_new = c->new_fd, was_taken = c->taken_fd, r;

	if (dir == -ENOENT)
		return 0;
	new_fd = dir < 0 ? dir : open_dir(dir, "new");
	taken_fd = dir < 0 ? dir : open_dir(dir, "taken");
	r = new_fd < 0 && new_fd != -ENOENT ? new_fd : taken_fd;
	if (r < 0 && r != -ENOENT)
		return mlimg_err_set(err, r, "open 'reconcile.new/%s'", name);
	r = mlimg_undo_log_read(dir, &log, err);
	if (r == 0) {
		c->new_fd = new_fd;
		c->taken_fd = taken_fd;
		c->is_lenient = true;
		r = mlimg_change_carry_out(c, &log, err);
		if (r == 0)
			r = tell_all(c, name, &log, err);
		c->new_fd = was_new;
		c->taken_fd = was_taken;
		c->is_lenient = false;
	}
	return r < 0 ? mlimg_err_wrap(err, r, "reconcile.new/%s", name) : 0;
}
