/* SPDX-License-Identifier: MIT */
/* Carries out the steps of a change. What is needed on the way is in change-place.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "guest-agent/change-place.h"
#include "libmlimg/io.h"
#include "libmlimg/whiteout.h"

/* The parts of a thing each have a slot; what is in it already was moved before. */
static int take_parts(struct mlimg_change *c, size_t n, const struct mlimg_undo_record *record)
{
	bool is_aside = record->op == 'a';
	int r = 0;

	if (record->parts & MLIMG_UNDO_MAIN)
		r = is_aside ? mlimg_change_set_aside(c, record->path)
			     : mlimg_change_take(c, n, record->path, MLIMG_UNDO_MAIN);
	if (r == 0 && record->parts & MLIMG_UNDO_MARKER)
		r = mlimg_change_take(c, n, record->path, MLIMG_UNDO_MARKER);
	if (r == 0 && record->parts & MLIMG_UNDO_MARKERS)
		r = mlimg_change_take(c, n, record->path, MLIMG_UNDO_MARKERS);
	return r;
}

/*
 * @return 1, 0, or -errno when it cannot be known; what is not there, or no directory, is not empty
 */
static int is_empty_dir(struct mlimg_change *c, const char *path)
{
	struct mlimg_change_place at;
	int r = mlimg_change_find(c, path, &at);

	if (r == 0)
		r = mlimg_dir_has_entries(at.fd, at.name);
	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
		return 0;
	return r < 0 ? r : !r;
}

/* Its time is what it was before what was in it went. */
static int take_empty(struct mlimg_change *c, size_t n, const struct mlimg_undo_record *record)
{
	const struct mlimg_entry *entry = &record->entry;
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	int r;

	mlimg_change_slot(n, MLIMG_UNDO_MAIN, slot);
	r = mlimg_change_has(c->taken_fd, slot);
	if (r < 0)
		return r;
	if (r == 0) {
		r = is_empty_dir(c, entry->path);
		if (r <= 0)
			return r;
		r = mlimg_change_take(c, n, entry->path, MLIMG_UNDO_MAIN);
	} else {
		r = 0;
	}
	if (r == 0 && record->parts & MLIMG_UNDO_MARKER)
		r = mlimg_change_take(c, n, entry->path, MLIMG_UNDO_MARKER);
	if (r == 0)
		r = mlimg_entry_at_set_time(c->taken_fd, slot, entry->mtime_s, entry->mtime_ns);
	return r;
}

int mlimg_change_refuse_parts(struct mlimg_err *err)
{
	return mlimg_err_refuse(err,
		"user/mlimg/" MLIMG_CHANGE_NEW " is not whole, so that what was begun cannot be "
		"ended: copy the user layer's image, and restore the directory or remove "
		"user/mlimg/" MLIMG_CHANGE_PLAN " as mlimg-boot(7) says");
}

/*
 * Where the slot is empty the step was done, and what it has put is there: nobody else writes.
 * After a rollback's own steps come others, which may have taken it away again.
 */
static int was_put(struct mlimg_change *c, const char *path, enum mlimg_undo_part part)
{
	int r = c->is_lenient ? (int)part : mlimg_change_look(c, path);

	return r < 0 ? r : r & (int)part ? 0 : -EUCLEAN;
}

static bool is_in_the_way(int r)
{
	return r == -EEXIST || r == -EISDIR || mlimg_change_is_nowhere(r);
}

/*
 * It was decided to put it, and there is no place: an older agent has not looked, or a stranger has
 * written meanwhile. That must not stop every boot. Contents are kept; directories and whiteouts
 * have none. Told it is with the others (change-extra.c).
 */
static int leave_out(struct mlimg_change *c, const char *slot, const struct mlimg_entry *entry)
{
	int r = 0;

	if (entry->type != MLIMG_FILE && entry->type != MLIMG_LINK)
		return 0;
	if (c->aside_fd < 0)
		r = mlimg_change_open_aside(c, c->call->generation, true);
	if (r == 0)
		r = mlimg_change_make_way(c->aside_fd, entry->path, 0755);
	return r == 0 ? mlimg_change_move_aside(c, c->new_fd, slot, entry->path) : r;
}

static int put(struct mlimg_change *c, size_t n, const struct mlimg_entry *entry)
{
	enum mlimg_undo_part part = c->is_unionfs && mlimg_entry_is_whiteout(entry)
		? MLIMG_UNDO_MARKER
		: MLIMG_UNDO_MAIN;
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	int r;

	mlimg_change_slot(n, MLIMG_UNDO_MAIN, slot);
	r = mlimg_change_has(c->new_fd, slot);
	if (r <= 0)
		return r < 0 ? r : was_put(c, entry->path, part);
	c->may_replace = c->is_lenient && (entry->type == MLIMG_FILE || entry->type == MLIMG_LINK);
	r = mlimg_change_give_back(c, c->new_fd, slot, entry->path, part);
	c->may_replace = false;
	/* A directory that was to go, if empty, and to be made again. */
	if (r == -EEXIST && entry->type == MLIMG_DIR) {
		r = mlimg_change_is_dir(c, entry->path);
		if (r)
			return r < 0 ? r : 0;
		r = -EEXIST;
	}
	return c->is_lenient && is_in_the_way(r) ? leave_out(c, slot, entry) : r;
}

static int set(struct mlimg_change *c, const struct mlimg_entry *entry)
{
	struct mlimg_change_place at;
	int r = mlimg_change_find(c, entry->path, &at);

	if (r == 0)
		r = mlimg_change_step(c);
	if (r == 0)
		r = mlimg_entry_at_set(&c->reader, at.fd, at.name, entry);
	return c->is_lenient && (r == -ESTALE || mlimg_change_is_nowhere(r)) ? 0 : r;
}

int mlimg_change_set_opaque(struct mlimg_change *c, const char *path, bool is_opaque)
{
	char name[64 + MLIMG_NAME_MAX];
	struct mlimg_change_place at;
	int r = mlimg_change_find(c, path, &at);

	if (r == 0)
		r = mlimg_change_step(c);
	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "/proc/self/fd/%d/%.255s", at.fd, at.name);
	if (is_opaque)
		return lsetxattr(name, MLIMG_XATTR_OPAQUE, "y", 1, 0) < 0 ? -errno : 0;
	return lremovexattr(name, MLIMG_XATTR_OPAQUE) < 0 && errno != ENODATA ? -errno : 0;
}

/* To be opaque no more. Begun again, a later step may have taken the directory away. */
static int join(struct mlimg_change *c, size_t n, const char *path)
{
	int r;

	if (c->is_unionfs)
		return mlimg_change_take(c, n, path, MLIMG_UNDO_MARKER);
	r = mlimg_change_is_dir(c, path);
	return r <= 0 ? r : mlimg_change_set_opaque(c, path, false);
}

static int close_dir(struct mlimg_change *c, size_t n, const char *path)
{
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	int r;

	if (!c->is_unionfs) {
		r = c->is_lenient ? mlimg_change_is_dir(c, path) : 1;
		return r <= 0 ? r : mlimg_change_set_opaque(c, path, true);
	}
	mlimg_change_slot(n, MLIMG_UNDO_MAIN, slot);
	r = mlimg_change_has(c->new_fd, slot);
	if (r <= 0)
		return r < 0 ? r : was_put(c, path, MLIMG_UNDO_MARKER);
	r = mlimg_change_give_back(c, c->new_fd, slot, path, MLIMG_UNDO_MARKER);
	return c->is_lenient && is_in_the_way(r) ? 0 : r;
}

static int carry_out(struct mlimg_change *c, size_t n, const struct mlimg_undo_record *record)
{
	switch (record->op) {
	case 'o': return take_parts(c, n, record);
	case 'a': c->call->n_aside++; return take_parts(c, n, record);
	case 'e': return take_empty(c, n, record);
	case 'i': return put(c, n, &record->entry);
	case 's': return set(c, &record->fresh);
	case 'u': return join(c, n, record->path);
	case 'c': return close_dir(c, n, record->path);
	default: return mlimg_change_set_time(c, record->path, &record->new_time);
	}
}

int mlimg_change_carry_out(
	struct mlimg_change *c, struct mlimg_undo_log *log, struct mlimg_err *err)
{
	struct mlimg_undo_record record;
	int r = 0;

	for (size_t n = 0; n < log->n_records && r == 0; n++) {
		r = mlimg_undo_log_get(log, n, &record, err);
		if (r < 0)
			return r;
		r = carry_out(c, n, &record);
		if (r == -EUCLEAN && strchr("ic", record.op))
			return mlimg_err_wrap(
				err, mlimg_change_refuse_parts(err), "user/upper/%s", record.path);
		if (r < 0)
			return mlimg_err_set(
				err, r, "user/upper/%s: step %zu, '%c'", record.path, n, record.op);
	}
	return r;
}
