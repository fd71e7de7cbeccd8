/* SPDX-License-Identifier: MIT */
/*
 * The way back before it is decided: whether there is one, and all that takes room. The way itself
 * is in change-undo.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/base.h"
#include "guest-agent/change-since.h"
#include "guest-agent/resolved.h"
#include "libmlimg/path-map.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"

/* What lies there was not made by a change. */
static bool is_foreign(int r)
{
	return mlimg_change_is_nowhere(r) || r == -EXDEV || r == -EISDIR || r == -ENXIO ||
		r == -EFBIG || r == -EUCLEAN;
}

int mlimg_change_find_former(int own_fd, const struct mlimg_boot_state *state,
	struct mlimg_boot_state *ret_former, struct mlimg_err *err)
{
	char name[MLIMG_CHANGE_NAME_SIZE];
	mlimg_autofree char *text = NULL;
	mlimg_autoclose int fd = -1;
	size_t size;
	int r;

	snprintf(
		name, sizeof(name), MLIMG_CHANGE_UNDO "/%" PRIu64 "/state.json", state->generation);
	r = fd = mlimg_open_beneath_strict(own_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0)
		r = mlimg_read_fd(fd, name, MLIMG_BOOT_STATE_MAX, &text, &size, NULL);
	if (r == 0)
		r = mlimg_boot_state_from_json(text, size, ret_former, NULL);
	if (r < 0)
		return is_foreign(r) ? 0 : mlimg_err_set(err, r, "read 'user/mlimg/%s'", name);
	return ret_former->generation < state->generation &&
		mlimg_boot_is_same_upper(ret_former->stack.union_driver, state->stack.union_driver);
}

/* --- room --- */

/* What the way back needs. */
struct needs {
	struct mlimg_change *c;
	struct mlimg_path_map put; /* path: the step that has put something there */
	struct mlimg_path_map
		returned; /* directories that come back, if nothing is in their place */
	struct mlimg_change_needs needs;
};

/* @return 1 when the directory of @path is neither there nor comes back; 0, -errno */
static int is_dir_gone(struct needs *n, const char *path)
{
	mlimg_autofree char *dir = strdup(path);
	struct mlimg_change_place at;
	struct stat st;

	if (!dir)
		return -ENOMEM;
	for (char *slash = strchr(dir, '/'); slash; slash = strchr(slash + 1, '/')) {
		size_t step;
		int r;

		*slash = '\0';
		r = mlimg_change_find(n->c, dir, &at);
		if (r == 0 && fstatat(at.fd, at.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			r = -errno;
		if (r == -ENOENT)
			return !mlimg_path_map_get(&n->returned, dir, &step);
		if (r < 0 || !S_ISDIR(st.st_mode))
			return r < 0 ? r : 1;
		*slash = '/';
	}
	return 0;
}

/*
 * @return 1 when what a step has taken may find no place and go aside, 0, -errno. As the way back
 *         decides it, or rather too often
 */
static int may_go_aside(
	struct needs *n, struct mlimg_undo_log *log, const char *path, struct mlimg_err *err)
{
	struct mlimg_undo_record put;
	size_t step;
	int r = is_dir_gone(n, path);

	if (r)
		return r;
	if (!mlimg_path_map_get(&n->put, path, &step)) {
		r = mlimg_change_look(n->c, path);
		return r < 0 ? r : r != 0;
	}
	r = mlimg_undo_log_get(log, step, &put, err);
	if (r == 0)
		r = mlimg_change_is_put_there(n->c, &put.entry);
	return r < 0 ? r : !r;
}

static int make_place(struct needs *n, struct mlimg_undo_log *log, size_t step,
	const struct mlimg_undo_record *record, struct mlimg_err *err)
{
	mlimg_autofree char *path = strdup(record->path); /* which the next record takes away */
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	int r;

	if (!path)
		return -ENOMEM;
	mlimg_change_slot(step, MLIMG_UNDO_MAIN, slot);
	r = mlimg_change_is_kept(n->c, slot);
	if (r > 0)
		r = may_go_aside(n, log, path, err);
	if (r > 0)
		r = mlimg_change_make_way(n->c->aside_fd, path, 0755);
	return r == -ENOENT ? 0 : r;
}

static int note_record(struct needs *n, size_t step, const struct mlimg_undo_record *record)
{
	mlimg_change_needs_add(&n->needs, record);
	switch (record->op) {
	case 'i': return mlimg_path_map_set(&n->put, record->path, step);
	case 'a':
	case 'e': return mlimg_path_map_set(&n->returned, record->path, step);
	default: return 0;
	}
}

static int each_record(
	struct needs *n, struct mlimg_undo_log *log, bool is_noted, struct mlimg_err *err)
{
	struct mlimg_undo_record record;
	int r = 0;

	for (size_t i = 0; i < log->n_records && r == 0; i++) {
		r = mlimg_undo_log_get(log, i, &record, err);
		if (r < 0)
			return r;
		if (is_noted)
			r = note_record(n, i, &record);
		else if (record.op == 'o')
			r = make_place(n, log, i, &record, err);
		if (r < 0)
			r = mlimg_err_set(err, r, "make the way back ready");
	}
	return r;
}

/*
 * Directories of aside for what may find no place, so that what is to be done afterwards are
 * renames alone.
 */
static int make_places(struct mlimg_change *c, struct mlimg_undo_log *log, uint64_t to,
	struct mlimg_change_needs *ret_needs, struct mlimg_err *err)
{
	struct needs n = {.c = c};
	int r = mlimg_change_clear_aside(c, to, err);

	if (r < 0)
		return r;
	r = mlimg_change_open_aside(c, to, true);
	if (r < 0)
		return mlimg_err_set(err, r, "make 'user/mlimg/" MLIMG_CHANGE_ASIDE "'");
	r = each_record(&n, log, true, err);
	if (r == 0)
		r = each_record(&n, log, false, err);
	mlimg_path_map_done(&n.put);
	mlimg_path_map_done(&n.returned);
	*ret_needs = n.needs;
	return r;
}

/* --- what does not return --- */

/* @return 1: it was set aside, is not there any more, and it was not the user who took it back */
static int is_lost(const struct mlimg_change *c, int aside_fd,
	const struct mlimg_resolved *resolved, const char *path)
{
	mlimg_autoclose int fd = aside_fd < 0
		? -ENOENT
		: mlimg_open_beneath_strict(aside_fd, path, O_PATH | O_NOFOLLOW);

	if (fd >= 0 || !mlimg_change_is_nowhere(fd))
		return fd >= 0 ? 0 : fd;
	return mlimg_resolved_find(resolved, c->generation, path) != MLIMG_KEEP_MINE;
}

/*
 * Root may remove aside/N. Noted before the first step: afterwards what has returned is not there
 * either.
 */
static int note_lost(struct mlimg_change *c, struct mlimg_undo_log *log, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_resolved_done) struct mlimg_resolved resolved = {.n = 0};
	mlimg_autoclose int aside_fd = mlimg_change_open_aside_of(c, c->generation);
	struct mlimg_undo_record record;
	char place[MLIMG_CHANGE_NAME_SIZE];
	size_t n = 0;
	int r = 0;

	if (mlimg_resolved_read(c->own_fd, &resolved, err) == -ENOMEM)
		return -ENOMEM;
	for (size_t i = 0; i < log->n_records && r >= 0; i++) {
		r = mlimg_undo_log_get(log, i, &record, err);
		if (r < 0)
			return r;
		if (record.op == 'a' && record.parts & MLIMG_UNDO_MAIN)
			r = is_lost(c, aside_fd, &resolved, record.path);
		n += r > 0;
	}
	if (r < 0)
		return mlimg_err_set(err, r, "look at 'user/mlimg/" MLIMG_CHANGE_ASIDE "'");
	snprintf(place, sizeof(place), "mlimg/" MLIMG_CHANGE_ASIDE "/%" PRIu64, c->generation);
	if (n &&
		mlimg_notes_add(c->call->notes, MLIMG_NOTE_BROKEN, place, "taken back",
			"things that were set aside and are no longer there: %zu", n) < 0)
		return mlimg_err_set(err, ENOMEM, "roll back");
	return 0;
}

/* --- all of it --- */

/* What is of no use from the decision on goes before the first step (mlimg_change_give_room()). */
static void count_freed(const struct mlimg_change *c, struct mlimg_change_needs *needs)
{
	char name[MLIMG_CHANGE_NAME_SIZE];
	struct stat st;

	snprintf(name, sizeof(name), MLIMG_TEXTS_PREFIX "%" PRIu64, c->generation);
	if (fstatat(c->own_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		st.st_nlink == 1)
		needs->freed_bytes = (uint64_t)st.st_blocks * 512;
}

int mlimg_change_give_room(struct mlimg_change *c)
{
	char name[MLIMG_CHANGE_NAME_SIZE];
	int r = mlimg_change_step(c);

	snprintf(name, sizeof(name), MLIMG_TEXTS_PREFIX "%" PRIu64, c->generation);
	if (r == 0 && unlinkat(c->own_fd, name, 0) < 0 && errno != ENOENT)
		r = -errno;
	/* ext4 gives freed blocks out again when that they are free is on the disk. */
	return r < 0 ? r : mlimg_change_sync(c);
}

static int prepare_rollback(struct mlimg_change *c, const struct mlimg_boot_state *state,
	const struct mlimg_boot_state *former, const struct mlimg_boot_state *next,
	struct mlimg_err *err)
{
	struct mlimg_change_needs needs;
	mlimg_cleanup(mlimg_undo_log_done) struct mlimg_undo_log log = {0};
	int r = mlimg_change_read_log(c, &log, err);

	if (r == 0)
		r = mlimg_change_write_state(c->new_fd, next, err);
	if (r == 0)
		r = make_places(c, &log, next->generation, &needs, err);
	if (r == 0)
		r = note_lost(c, &log, err);
	if (r == 0)
		r = mlimg_change_since(c, &log, state, former, &needs, err);
	if (r == 0 && c->call->ready)
		r = c->call->ready(c->call, c->new_fd, err);
	if (r == 0) {
		count_freed(c, &needs);
		r = mlimg_change_check_room(c, &needs, err);
	}
	return r < 0 ? mlimg_err_wrap(err, r, "user/mlimg") : 0;
}

int mlimg_change_roll_back(struct mlimg_change_call *call, const struct mlimg_boot_state *state,
	const struct mlimg_boot_state *former, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_boot_state *next = malloc(sizeof(*next));
	struct mlimg_change c;
	int r;

	if (!next)
		return mlimg_err_set(err, ENOMEM, "roll back");
	*next = *former;
	next->generation = state->generation + 1;
	r = mlimg_change_open(call, state->generation, &c, err);
	if (r == 0) {
		/* What lies there was left by a change that was never decided. */
		mlimg_change_clean(c.own_fd, state->generation);
		mlimg_change_close(&c);
		r = mlimg_change_open(call, state->generation, &c, err);
	}
	if (r == 0)
		r = prepare_rollback(&c, state, former, next, err);
	if (r < 0) {
		mlimg_change_clean(c.own_fd, state->generation);
		mlimg_change_tidy_aside(c.own_fd, next->generation);
	}
	mlimg_change_close(&c);
	if (r < 0)
		return r;
	return mlimg_change_decide(call, true, next->generation, state->generation, err);
}
