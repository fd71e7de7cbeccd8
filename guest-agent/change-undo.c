/* SPDX-License-Identifier: MIT */
/*
 * The way back. Whether a step was undone is seen as it is with a step: what was taken is in its
 * slot no more, what was put is in a slot of reconcile.new. So nothing is decided twice, although
 * the user's changes are looked at only now.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "guest-agent/base.h"
#include "guest-agent/change-since.h"
#include "libmlimg/path-map.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/text.h"
#include "libmlimg/unionfs.h"
#include "libmlimg/whiteout.h"

struct undoing {
	struct mlimg_change *c;
	struct mlimg_path_map put;    /* path: the step that has put something there */
	struct mlimg_path_map joined; /* directories below which markers are to return */
	struct mlimg_path_map
		cleared; /* where what the user has written since was taken away before */
	struct mlimg_path_map removed;   /* what the user has removed with its directory since */
	struct mlimg_path_map stays;     /* whose attributes are the user's since */
	struct mlimg_path_map set_aside; /* what is told as set aside with that, or afterwards */
	uint64_t to;
	int former_fd; /* aside/N of the change that is taken back, or -1 */
};

/* --- what was put --- */

/*
 * Directories of markers in which none is any more, below one that was joined: the markers that
 * were there before could not return.
 */
static int remove_dirs_of_marker(struct undoing *u, const char *path)
{
	size_t prefix = strlen(MLIMG_UNIONFS_DIR) + 1;
	mlimg_autofree char *marker = NULL;
	struct mlimg_change_place at;
	int r;

	if (asprintf(&marker, MLIMG_UNIONFS_DIR "/%s", path) < 0) {
		marker = NULL;
		return -ENOMEM;
	}
	for (;;) {
		marker[mlimg_path_dir_size(marker)] = '\0';
		if (!mlimg_path_is_below(marker, MLIMG_UNIONFS_DIR) ||
			!mlimg_path_map_covers(&u->joined, marker + prefix))
			return 0;
		r = mlimg_change_find(u->c, marker, &at);
		if (mlimg_change_is_nowhere(r))
			continue;
		if (r == 0)
			r = mlimg_change_step(u->c);
		if (r < 0)
			return r;
		if (unlinkat(at.fd, at.name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			return errno == ENOTEMPTY || errno == EEXIST ? 0 : -errno;
	}
}

/* To a slot of reconcile.new, which goes away in the end. */
static int remove_put(struct undoing *u, size_t n, const struct mlimg_entry *put)
{
	struct mlimg_change *c = u->c;
	bool is_marker = c->is_unionfs && mlimg_entry_is_whiteout(put);
	mlimg_autofree char *text = NULL;
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	struct mlimg_change_place at;
	int r;

	mlimg_change_slot(n, MLIMG_UNDO_MAIN, slot);
	r = mlimg_change_has(c->new_fd, slot);
	if (r)
		return r < 0 ? r : is_marker ? remove_dirs_of_marker(u, put->path) : 0;
	r = mlimg_change_is_put_there(c, put);
	if (r <= 0)
		return r;
	r = mlimg_change_find_part(
		c, put->path, is_marker ? MLIMG_UNDO_MARKER : MLIMG_UNDO_MAIN, &text, &at);
	if (r == 0)
		r = mlimg_change_rename(c, at.fd, at.name, c->new_fd, slot);
	return r < 0 || !is_marker ? r : remove_dirs_of_marker(u, put->path);
}

/* --- what was taken --- */

/* @return parts of a step that are in their slots, or -errno */
static int parts_in_slots(const struct mlimg_change *c, size_t n, unsigned parts)
{
	unsigned found = 0;

	for (unsigned part = MLIMG_UNDO_MAIN; part <= MLIMG_UNDO_MARKERS; part <<= 1) {
		char slot[MLIMG_CHANGE_SLOT_SIZE];
		int r;

		if (!(parts & part))
			continue;
		mlimg_change_slot(n, (enum mlimg_undo_part)part, slot);
		r = mlimg_change_has(c->taken_fd, slot);
		if (r < 0)
			return r;
		found |= r ? part : 0;
	}
	return (int)found;
}

/*
 * Whether the user has something there since, or has removed what the change had put there. Marks
 * below a directory that was joined return to a directory without any.
 *
 * @in_slots: of @parts, those that have not returned yet. What of it has returned is not the user's
 */
static int is_users(struct undoing *u, const char *path, unsigned parts, unsigned in_slots)
{
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	int now = mlimg_change_look(u->c, path), r;
	size_t put;

	if (now < 0 || mlimg_path_map_get(&u->removed, path, &put))
		return now < 0 ? now : 1;
	if (parts == MLIMG_UNDO_MARKERS) {
		r = mlimg_change_is_dir(u->c, path);
		return r < 0 ? r : !r || now & MLIMG_UNDO_MARKERS;
	}
	/* Markers of things below are in the way of others alone. */
	if (now & (MLIMG_UNDO_MAIN | MLIMG_UNDO_MARKER | (int)(parts & MLIMG_UNDO_MARKERS)) &
		~(int)(parts & ~in_slots))
		return 1;
	if (mlimg_path_map_get(&u->cleared, path, &put) || !mlimg_path_map_get(&u->put, path, &put))
		return 0;
	mlimg_change_slot(put, MLIMG_UNDO_MAIN, slot);
	r = mlimg_change_has(u->c->new_fd, slot);
	return r < 0 ? r : !r;
}

/* @aside_fd: aside/N, N being @generation */
static void tell(struct undoing *u, int aside_fd, uint64_t generation, const char *path)
{
	u->c->call->n_aside++;
	if (u->c->call->told)
		u->c->call->told(path, MLIMG_CHANGE_IS_ASIDE, mlimg_change_is_file(aside_fd, path),
			generation, u->c->call->ctx);
}

int mlimg_change_is_kept(const struct mlimg_change *c, const char *slot)
{
	struct stat st;

	if (fstatat(c->taken_fd, slot, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return !S_ISDIR(st.st_mode) && !mlimg_stat_is_whiteout(&st);
}

/* Into a directory that was made before it was decided, and that had nothing in it then. */
static int move_aside(struct undoing *u, const char *slot, const char *path)
{
	int r = mlimg_change_move_aside(u->c, u->c->taken_fd, slot, path);

	if (r == 0)
		tell(u, u->c->aside_fd, u->to, path);
	return r;
}

/* What the user's newer thing leaves no place for. */
static int keep_aside(struct undoing *u, size_t n, const char *path)
{
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	size_t at;
	int r;

	mlimg_change_slot(n, MLIMG_UNDO_MAIN, slot);
	r = mlimg_change_is_kept(u->c, slot);
	if (r > 0)
		return move_aside(u, slot, path);
	if (r != -ENOENT || mlimg_path_map_get(&u->set_aside, path, &at))
		return r == -ENOENT ? 0 : r;
	r = mlimg_change_is_in_aside(u->c->aside_fd, path);
	if (r > 0)
		tell(u, u->c->aside_fd, u->to, path); /* moved before this was begun again */
	return r < 0 ? r : 0;
}

/* The marks first: with the thing itself the step is undone. */
static int return_parts(struct undoing *u, size_t n, const char *path, unsigned parts, int main_fd,
	const char *main)
{
	static const enum mlimg_undo_part order[] = {
		MLIMG_UNDO_MARKERS, MLIMG_UNDO_MARKER, MLIMG_UNDO_MAIN};
	int r = 0;

	for (size_t i = 0; i < 3 && r == 0; i++) {
		bool is_main = order[i] == MLIMG_UNDO_MAIN;
		char slot[MLIMG_CHANGE_SLOT_SIZE];

		if (!(parts & order[i]))
			continue;
		mlimg_change_slot(n, order[i], slot);
		r = mlimg_change_give_back(u->c, is_main ? main_fd : u->c->taken_fd,
			is_main ? main : slot, path, order[i]);
	}
	return r;
}

static int return_taken(struct undoing *u, size_t n, const char *path, unsigned parts)
{
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	int in_slots = parts_in_slots(u->c, n, parts), r;

	if (in_slots <= 0)
		return in_slots < 0 ? in_slots : keep_aside(u, n, path); /* which only tells */
	r = is_users(u, path, parts, (unsigned)in_slots);
	if (r < 0)
		return r;
	if (r > 0)
		return keep_aside(u, n, path);
	mlimg_change_slot(n, MLIMG_UNDO_MAIN, slot);
	r = return_parts(u, n, path, (unsigned)in_slots, u->c->taken_fd, slot);
	/* The directory that had it is gone: the user has removed it. */
	return mlimg_change_is_nowhere(r) ? keep_aside(u, n, path) : r;
}

/* Out of aside, where somebody may have removed it since. */
static int return_aside(struct undoing *u, size_t n, const struct mlimg_undo_record *record)
{
	unsigned marks = record->parts & ~(unsigned)MLIMG_UNDO_MAIN;
	int in_slots, r = mlimg_change_is_in_aside(u->former_fd, record->path);

	if (r <= 0)
		return r;
	in_slots = parts_in_slots(u->c, n, marks);
	if (in_slots < 0)
		return in_slots;
	in_slots |= MLIMG_UNDO_MAIN;
	r = is_users(u, record->path, record->parts, (unsigned)in_slots);
	if (r == 0)
		r = return_parts(u, n, record->path, (unsigned)in_slots & record->parts,
			u->former_fd, record->path);
	if (r > 0 || mlimg_change_is_nowhere(r)) {
		tell(u, u->former_fd, u->c->generation, record->path);
		r = 0;
	}
	return r;
}

/* --- opaque directories --- */

static int part_again(struct undoing *u, size_t n, const char *path)
{
	struct mlimg_change *c = u->c;
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	int r = mlimg_change_is_dir(c, path);

	if (r <= 0)
		return r;
	if (!c->is_unionfs)
		return mlimg_change_set_opaque(c, path, true);
	mlimg_change_slot(n, MLIMG_UNDO_MARKER, slot);
	r = mlimg_change_look(c, path);
	if (r < 0 || r & MLIMG_UNDO_MARKER)
		return r < 0 ? r : 0;
	r = mlimg_change_has(c->taken_fd, slot);
	return r <= 0 ? r : mlimg_change_give_back(c, c->taken_fd, slot, path, MLIMG_UNDO_MARKER);
}

/* The marker goes back to the slot from which it was put. */
static int open_again(struct undoing *u, size_t n, const char *path)
{
	struct mlimg_change *c = u->c;
	mlimg_autofree char *text = NULL;
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	struct mlimg_change_place at;
	int r = mlimg_change_is_dir(c, path);

	if (r <= 0)
		return r;
	if (!c->is_unionfs)
		return mlimg_change_set_opaque(c, path, false);
	mlimg_change_slot(n, MLIMG_UNDO_MAIN, slot);
	r = mlimg_change_has(c->new_fd, slot);
	if (r)
		return r < 0 ? r : 0;
	r = mlimg_change_find_part(c, path, MLIMG_UNDO_MARKER, &text, &at);
	if (r < 0)
		return mlimg_change_is_nowhere(r) ? 0 : r;
	return mlimg_change_rename(c, at.fd, at.name, c->new_fd, slot);
}

/* --- all of it --- */

/*
 * Begun and stopped, what it has left may look like what the user has made of it: so it was decided
 * before the first step.
 */
static int set_back(struct undoing *u, const struct mlimg_undo_record *record)
{
	size_t n;

	return mlimg_path_map_get(&u->stays, record->path, &n)
		? 0
		: mlimg_change_set_back(u->c, record);
}

static int undo(struct undoing *u, size_t n, const struct mlimg_undo_record *record)
{
	switch (record->op) {
	case 'o':
	case 'e': return return_taken(u, n, record->path, record->parts);
	case 'a': return return_aside(u, n, record);
	case 'i': return remove_put(u, n, &record->entry);
	case 's': return set_back(u, record);
	case 'u': return part_again(u, n, record->path);
	case 'c': return open_again(u, n, record->path);
	default: return 0; /* in reconcile.new/then */
	}
}

static int find_puts(struct undoing *u, struct mlimg_undo_log *log, struct mlimg_err *err)
{
	struct mlimg_undo_record record;
	int r = 0;

	for (size_t n = 0; n < log->n_records && r == 0; n++) {
		r = mlimg_undo_log_get(log, n, &record, err);
		if (r < 0)
			break;
		if ((record.op == 'i' && mlimg_path_map_set(&u->put, record.path, n) < 0) ||
			(record.op == 'o' && record.parts == MLIMG_UNDO_MARKERS &&
				mlimg_path_map_set(&u->joined, record.path, n) < 0))
			r = mlimg_err_set(err, ENOMEM, "roll back");
	}
	return r;
}

static int undo_all(struct undoing *u, struct mlimg_undo_log *log, struct mlimg_err *err)
{
	struct mlimg_undo_record record;
	int r = find_puts(u, log, err);

	for (size_t n = log->n_records; n-- > 0 && r == 0;) {
		r = mlimg_undo_log_get(log, n, &record, err);
		if (r < 0)
			return r;
		r = undo(u, n, &record);
		if (r < 0)
			return mlimg_err_set(err, r, "user/upper/%s: undo step %zu, '%c'",
				record.path, n, record.op);
	}
	return r;
}

int mlimg_change_undo_steps(
	struct mlimg_change *c, struct mlimg_undo_log *log, uint64_t to, struct mlimg_err *err)
{
	struct undoing u = {.c = c, .to = to, .former_fd = -1};
	int r;

	r = mlimg_change_open_aside(c, c->generation, false);
	if (r == 0)
		u.former_fd = mlimg_steal_fd(&c->aside_fd);
	if (r == 0 || r == -ENOENT)
		r = mlimg_change_open_aside(c, to, false);
	if (r < 0 && r != -ENOENT)
		return mlimg_err_set(err, r, "open 'user/mlimg/" MLIMG_CHANGE_ASIDE "'");
	r = mlimg_change_extra_note(c, MLIMG_CHANGE_FIRST, "oa", &u.cleared, err);
	if (r == 0)
		r = mlimg_change_extra_note(c, MLIMG_CHANGE_FIRST, "a", &u.set_aside, err);
	if (r == 0)
		r = mlimg_change_extra_note(c, MLIMG_CHANGE_THEN, "a", &u.set_aside, err);
	if (r == 0)
		r = mlimg_change_extra_note(c, MLIMG_CHANGE_STAYS, "s", &u.stays, err);
	if (r == 0)
		r = mlimg_change_extra_note(c, MLIMG_CHANGE_STAYS, "c", &u.removed, err);
	if (r == 0)
		r = mlimg_change_extra_carry_out(c, MLIMG_CHANGE_FIRST, err);
	if (r == 0)
		r = undo_all(&u, log, err);
	if (r == 0)
		r = mlimg_change_extra_carry_out(c, MLIMG_CHANGE_THEN, err);
	mlimg_path_map_done(&u.put);
	mlimg_path_map_done(&u.joined);
	mlimg_path_map_done(&u.cleared);
	mlimg_path_map_done(&u.set_aside);
	mlimg_path_map_done(&u.stays);
	mlimg_path_map_done(&u.removed);
	mlimg_cleanup_close(&u.former_fd);
	return r;
}
