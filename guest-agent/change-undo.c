/* SPDX-License-Identifier: MIT */
/*
 * The way back. Whether a step was undone is seen as it is with a step: what was taken is in its slot no more, what was put is in a slot
 * of reconcile.new. So nothing is decided twice, although the user's changes are looked at only now.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "guest-agent/base.h"
#include "guest-agent/change-place.h"
#include "guest-agent/path-map.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/text.h"
#include "libmlimg/whiteout.h"

struct undoing {
	struct mlimg_change *c;
	struct mlimg_path_map put; /* path: the step that has put something there */
	uint64_t to;
	int former_fd; /* aside/N of the change that is taken back, or -1 */
};

/* --- what was put --- */

/* What has no attributes of its own that would count. */
static bool is_unchanged(
	const struct mlimg_entry *now, const struct mlimg_entry *put, bool has_entries)
{
	if (mlimg_entry_is_whiteout(put))
		return mlimg_entry_is_whiteout(now);
	if (!mlimg_entry_has_same_attrs(now, put) || has_entries ||
		mlimg_entry_is_opaque(now) != mlimg_entry_is_opaque(put))
		return false;
	return put->type != MLIMG_FILE || put->size_bytes == 0 ||
		memcmp(now->digest, put->digest, sizeof(put->digest)) == 0;
}

/* @return 1, 0 also when it is gone, -errno */
static int is_still_there(struct mlimg_change *c, const struct mlimg_entry *put)
{
	struct mlimg_change_place at;
	struct mlimg_entry now;
	int has_entries = 0;
	int r = mlimg_change_find(c, put->path, &at);

	if (r == 0)
		r = mlimg_entry_at_read(
			&c->reader, at.fd, at.name, put->path, put->type == MLIMG_FILE, &now);
	if (mlimg_change_is_nowhere(r))
		return 0;
	if (r == 0 && now.type == MLIMG_DIR)
		r = has_entries = mlimg_dir_has_entries(at.fd, at.name);
	return r < 0 ? r : is_unchanged(&now, put, has_entries);
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
	if (mlimg_change_exists(c->new_fd, slot))
		return 0;
	if (is_marker)
		r = (mlimg_change_look(c, put->path) & ~MLIMG_UNDO_MARKERS) == MLIMG_UNDO_MARKER;
	else
		r = is_still_there(c, put);
	if (r <= 0)
		return r;
	r = mlimg_change_find_part(
		c, put->path, is_marker ? MLIMG_UNDO_MARKER : MLIMG_UNDO_MAIN, &text, &at);
	return r < 0 ? r : mlimg_change_rename(c, at.fd, at.name, c->new_fd, slot);
}

/* --- what was taken --- */

/* Whether the user has something there since, or has removed what the change had put there. */
static int is_users(struct undoing *u, size_t n, const char *path, unsigned parts, bool is_aside)
{
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	int now = mlimg_change_look(u->c, path);
	size_t put;

	if (now < 0)
		return now;
	/* Markers of things below are in the way of others alone. What of it has returned already is not the user's. */
	now &= MLIMG_UNDO_MAIN | MLIMG_UNDO_MARKER | (int)(parts & MLIMG_UNDO_MARKERS);
	for (unsigned part = MLIMG_UNDO_MAIN; part <= MLIMG_UNDO_MARKERS; part <<= 1) {
		if (!(parts & part) || (is_aside && part == MLIMG_UNDO_MAIN))
			continue;
		mlimg_change_slot(n, (enum mlimg_undo_part)part, slot);
		if (!mlimg_change_exists(u->c->taken_fd, slot))
			now &= ~(int)part;
	}
	if (now)
		return 1;
	if (!mlimg_path_map_get(&u->put, path, &put))
		return 0;
	mlimg_change_slot(put, MLIMG_UNDO_MAIN, slot);
	return !mlimg_change_exists(u->c->new_fd, slot);
}

static void tell(struct undoing *u, uint64_t generation, const char *path)
{
	u->c->call->n_aside++;
	if (u->c->call->told)
		u->c->call->told(path, generation, u->c->call->ctx);
}

/* @return 1 when the thing is there, 0, -errno */
static int is_aside(struct undoing *u, const char *path)
{
	mlimg_autoclose int fd = -1;

	if (u->c->aside_fd < 0)
		return 0;
	fd = mlimg_open_beneath_strict(u->c->aside_fd, path, O_PATH | O_NOFOLLOW);
	return fd >= 0;
}

/* What the user's newer thing leaves no place for. A whiteout is nothing to be kept. */
static int keep_aside(struct undoing *u, size_t n, const char *path)
{
	struct mlimg_change *c = u->c;
	mlimg_autofree char *dir = strdup(path);
	mlimg_autoclose int to_fd = -1;
	char slot[MLIMG_CHANGE_SLOT_SIZE], *slash = dir ? strrchr(dir, '/') : NULL;
	struct stat st;
	int r;

	if (!dir)
		return -ENOMEM;
	mlimg_change_slot(n, MLIMG_UNDO_MAIN, slot);
	if (fstatat(c->taken_fd, slot, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (is_aside(u, path))
			tell(u, u->to, path); /* moved before this was begun again */
		return 0;
	}
	if (S_ISDIR(st.st_mode) || mlimg_stat_is_whiteout(&st))
		return 0;
	*(slash ? slash : dir) = '\0';
	r = c->aside_fd < 0 ? mlimg_change_open_aside(c, u->to, true) : 0;
	if (r == 0)
		r = mlimg_change_make_way(c->aside_fd, path, 0755);
	if (r < 0)
		return r;
	to_fd = mlimg_open_beneath_strict(c->aside_fd, *dir ? dir : ".", O_RDONLY | O_DIRECTORY);
	if (to_fd < 0)
		return to_fd;
	tell(u, u->to, path);
	return mlimg_change_rename(
		c, c->taken_fd, slot, to_fd, slash ? slash + 1 - dir + path : path);
}

/* The marks first: with the thing itself the step is undone. */
static int return_parts(struct undoing *u, size_t n, const char *path, unsigned parts, int main_fd,
	const char *main)
{
	static const enum mlimg_undo_part order[] = {
		MLIMG_UNDO_MARKERS, MLIMG_UNDO_MARKER, MLIMG_UNDO_MAIN};
	struct mlimg_change *c = u->c;
	int r = 0;

	for (size_t i = 0; i < 3 && r == 0; i++) {
		bool is_main = order[i] == MLIMG_UNDO_MAIN;
		char slot[MLIMG_CHANGE_SLOT_SIZE];

		if (!(parts & order[i]))
			continue;
		mlimg_change_slot(n, order[i], slot);
		if (!is_main && !mlimg_change_exists(c->taken_fd, slot))
			continue;
		r = mlimg_change_give_back(
			c, is_main ? main_fd : c->taken_fd, is_main ? main : slot, path, order[i]);
	}
	return r;
}

/* @return whether some of it is still in its slots */
static bool is_in_slots(const struct mlimg_change *c, size_t n, unsigned parts)
{
	char slot[MLIMG_CHANGE_SLOT_SIZE];

	for (unsigned part = MLIMG_UNDO_MAIN; part <= MLIMG_UNDO_MARKERS; part <<= 1) {
		mlimg_change_slot(n, (enum mlimg_undo_part)part, slot);
		if (parts & part && mlimg_change_exists(c->taken_fd, slot))
			return true;
	}
	return false;
}

static int return_taken(struct undoing *u, size_t n, const char *path, unsigned parts)
{
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	int r;

	if (!is_in_slots(u->c, n, parts))
		return keep_aside(u, n, path); /* which only tells */
	r = is_users(u, n, path, parts, false);
	if (r < 0)
		return r;
	if (r > 0)
		return keep_aside(u, n, path);
	mlimg_change_slot(n, MLIMG_UNDO_MAIN, slot);
	r = return_parts(u, n, path, parts, u->c->taken_fd, slot);
	/* The directory that had it is gone: the user has removed it. */
	return mlimg_change_is_nowhere(r) ? keep_aside(u, n, path) : r;
}

/* Out of aside, where somebody may have removed it since. */
static int return_aside(struct undoing *u, size_t n, const struct mlimg_undo_record *record)
{
	mlimg_autoclose int fd = u->former_fd < 0
		? -1
		: mlimg_open_beneath_strict(u->former_fd, record->path, O_PATH | O_NOFOLLOW);
	int r;

	if (fd < 0)
		return 0;
	r = is_users(u, n, record->path, record->parts, true);
	if (r == 0)
		r = return_parts(u, n, record->path, record->parts, u->former_fd, record->path);
	if (r > 0 || mlimg_change_is_nowhere(r)) {
		tell(u, u->c->generation, record->path);
		r = 0;
	}
	return r;
}

/* --- attributes --- */

static bool is_same_value(const struct mlimg_xattr *a, const struct mlimg_xattr *b)
{
	if (!a || !b)
		return !a && !b;
	return a->size == b->size && (a->size == 0 || memcmp(a->value, b->value, a->size) == 0);
}

/* Of an xattr with that name @now has what one of both has. What the kernel changes with the owner or the mode comes last, and has no say. */
static bool is_xattr_of(const struct mlimg_entry *now, const struct mlimg_entry *a,
	const struct mlimg_entry *b, const char *name)
{
	const struct mlimg_xattr *x = mlimg_entry_xattr(now, name);

	return mlimg_xattr_is_overlay(name) || strcmp(name, "security.capability") == 0 ||
		strcmp(name, "system.posix_acl_access") == 0 ||
		is_same_value(x, mlimg_entry_xattr(a, name)) ||
		is_same_value(x, mlimg_entry_xattr(b, name));
}

/* A change of the owner takes set-id bits away, and an ACL is the group's bits. */
static bool is_mode_of(uint16_t now, uint16_t mode, bool has_acl)
{
	unsigned differ = (unsigned)(now ^ mode) & ~(has_acl ? 0070u : 0);

	return !differ || (!(differ & ~06000u) && !(now & differ));
}

/* @return whether each attribute is that of one of both: somebody stopped while he set them */
static bool is_between(
	const struct mlimg_entry *now, const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	const struct mlimg_entry *const all[] = {now, a, b};
	bool has_acl = false;

	for (size_t i = 0; i < 3; i++)
		for (uint32_t k = 0; k < all[i]->n_xattrs; k++) {
			const char *name = all[i]->xattrs[k].name;

			has_acl |= strcmp(name, "system.posix_acl_access") == 0;
			if (!is_xattr_of(now, a, b, name))
				return false;
		}
	return now->type == a->type && (now->uid == a->uid || now->uid == b->uid) &&
		(now->gid == a->gid || now->gid == b->gid) &&
		(is_mode_of(now->mode, a->mode, has_acl) ||
			is_mode_of(now->mode, b->mode, has_acl));
}

static int set_back(struct undoing *u, const struct mlimg_undo_record *record)
{
	struct mlimg_entry old = record->entry, now;
	struct mlimg_change *c = u->c;
	struct mlimg_change_place at;
	int r = mlimg_change_find(c, old.path, &at);

	if (r == 0)
		r = mlimg_entry_at_read(&c->reader, at.fd, at.name, old.path, false, &now);
	if (r < 0)
		return mlimg_change_is_nowhere(r) ? 0 : r;
	if (!is_between(&now, &record->fresh, &record->entry))
		return 0;
	/* The time is of the contents, which may be the user's since. */
	if (now.mtime_s != record->fresh.mtime_s || now.mtime_ns != record->fresh.mtime_ns) {
		old.mtime_s = now.mtime_s;
		old.mtime_ns = now.mtime_ns;
	}
	r = mlimg_change_step(c);
	return r < 0 ? r : mlimg_entry_at_set(&c->reader, at.fd, at.name, &old);
}

static int part_again(struct undoing *u, size_t n, const char *path)
{
	struct mlimg_change *c = u->c;
	char name[64 + MLIMG_NAME_MAX], slot[MLIMG_CHANGE_SLOT_SIZE];
	struct mlimg_change_place at;
	struct stat st;
	int r = mlimg_change_find(c, path, &at);

	if (r == 0 && fstatat(at.fd, at.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r < 0 || !S_ISDIR(st.st_mode))
		return mlimg_change_is_nowhere(r) ? 0 : r;
	if (c->is_unionfs) {
		mlimg_change_slot(n, MLIMG_UNDO_MARKER, slot);
		r = mlimg_change_look(c, path);
		if (r < 0 || r & MLIMG_UNDO_MARKER || !mlimg_change_exists(c->taken_fd, slot))
			return r < 0 ? r : 0;
		return mlimg_change_give_back(c, c->taken_fd, slot, path, MLIMG_UNDO_MARKER);
	}
	r = mlimg_change_step(c);
	snprintf(name, sizeof(name), "/proc/self/fd/%d/%.255s", at.fd, at.name);
	if (r == 0 && lsetxattr(name, MLIMG_XATTR_OPAQUE, "y", 1, 0) < 0)
		r = -errno;
	return r;
}

/* --- all of it --- */

static int undo(struct undoing *u, size_t n, const struct mlimg_undo_record *record)
{
	switch (record->op) {
	case 'o':
	case 'e': return return_taken(u, n, record->path, record->parts);
	case 'a': return return_aside(u, n, record);
	case 'i': return remove_put(u, n, &record->entry);
	case 's': return set_back(u, record);
	case 'u': return part_again(u, n, record->path);
	default: return 0; /* reconcile.new/times */
	}
}

static int find_puts(struct undoing *u, struct mlimg_undo_log *log, struct mlimg_err *err)
{
	struct mlimg_undo_record record;
	int r = 0;

	for (size_t n = 0; n < log->n_records && r == 0; n++) {
		r = mlimg_undo_log_get(log, n, &record, err);
		if (r == 0 && record.op == 'i' && mlimg_path_map_set(&u->put, record.path, n) < 0)
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

static int set_times(struct mlimg_change *c, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_undo_log_done) struct mlimg_undo_log log = {0};
	struct mlimg_undo_record record;
	char *text = NULL;
	size_t size;
	int r = mlimg_read_beneath(c->new_fd, "times", MLIMG_UNDO_LOG_MAX, &text, &size, err);

	if (r == 0)
		r = mlimg_undo_log_parse(text, size, &log, err);
	for (size_t n = 0; n < log.n_records && r == 0; n++) {
		r = mlimg_undo_log_get(&log, n, &record, err);
		if (r == 0 && record.op == 't') {
			r = mlimg_change_set_time(c, record.path, &record.new_time);
			if (r < 0)
				r = mlimg_err_set(
					err, r, "user/upper/%s: set its time", record.path);
		}
	}
	return r;
}

int mlimg_change_undo_steps(
	struct mlimg_change *c, struct mlimg_undo_log *log, uint64_t to, struct mlimg_err *err)
{
	struct undoing u = {.c = c, .to = to, .former_fd = -1};
	int r;

	if (mlimg_change_open_aside(c, c->generation, false) == 0)
		u.former_fd = mlimg_steal_fd(&c->aside_fd);
	if (mlimg_change_open_aside(c, to, false) < 0)
		c->aside_fd = -1; /* made when it is needed */
	r = undo_all(&u, log, err);
	if (r == 0)
		r = set_times(c, err);
	mlimg_path_map_done(&u.put);
	mlimg_cleanup_close(&u.former_fd);
	return r;
}

/* --- before it is decided --- */

bool mlimg_change_find_former(
	int own_fd, const struct mlimg_boot_state *state, struct mlimg_boot_state *ret_former)
{
	char name[MLIMG_CHANGE_NAME_SIZE];
	mlimg_autofree char *text = NULL;
	mlimg_autoclose int fd = -1;
	size_t size;

	snprintf(
		name, sizeof(name), MLIMG_CHANGE_UNDO "/%" PRIu64 "/state.json", state->generation);
	fd = mlimg_open_beneath_strict(own_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	return fd >= 0 && mlimg_read_fd(fd, name, MLIMG_BOOT_STATE_MAX, &text, &size, NULL) == 0 &&
		mlimg_boot_state_from_json(text, size, ret_former, NULL) == 0 &&
		ret_former->generation < state->generation &&
		mlimg_boot_is_same_upper(ret_former->stack.union_driver, state->stack.union_driver);
}

/* The time that a directory is to have: the old one, unless the user has written in it since. */
static int put_time(
	struct mlimg_change *c, struct mlimg_undo_record *record, struct mlimg_text *text)
{
	struct mlimg_change_place at;
	struct stat st;
	int r = mlimg_change_find(c, record->path, &at);

	if (r == 0 && fstatat(at.fd, at.name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		r = -errno;
	if (r < 0 && !mlimg_change_is_nowhere(r))
		return r;
	if (r < 0 ||
		(st.st_mtim.tv_sec == record->new_time.s &&
			st.st_mtim.tv_nsec == (long)record->new_time.ns))
		record->new_time = record->old_time;
	else
		record->new_time =
			(struct mlimg_undo_time){st.st_mtim.tv_sec, (uint32_t)st.st_mtim.tv_nsec};
	mlimg_undo_log_put(record, mlimg_text_put, text);
	return 0;
}

static int write_times(struct mlimg_change *c, struct mlimg_undo_log *log, struct mlimg_err *err)
{
	struct mlimg_undo_record record;
	struct mlimg_text text = {0};
	int r = 0;

	mlimg_undo_log_put_head(log->is_unionfs, mlimg_text_put, &text);
	for (size_t n = 0; n < log->n_records && r == 0; n++) {
		r = mlimg_undo_log_get(log, n, &record, err);
		if (r == 0 && record.op == 't') {
			r = put_time(c, &record, &text);
			if (r < 0)
				r = mlimg_err_set(err, r, "user/upper/%s", record.path);
		}
	}
	if (r == 0 && text.has_failed)
		r = mlimg_err_set(err, ENOMEM, "roll back");
	if (r == 0)
		r = mlimg_replace_file(c->new_fd, "times", text.data, text.size, 0600, err);
	free(text.data);
	return r;
}

/* Blocks for directories of aside, and for those that grow. */
static int check_room(const struct mlimg_change *c, const struct mlimg_undo_log *log)
{
	struct statvfs st;

	if (fstatvfs(c->own_fd, &st) < 0)
		return -errno;
	return st.f_bavail < 16 + log->n_records / 64 ? -ENOSPC : 0;
}

static int prepare_rollback(
	struct mlimg_change *c, const struct mlimg_boot_state *next, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_undo_log_done) struct mlimg_undo_log log = {0};
	mlimg_autofree char *text = NULL;
	int r = mlimg_change_read_log(c, &log, err);

	if (r == 0)
		r = mlimg_boot_state_to_json(next, &text, err);
	if (r == 0)
		r = mlimg_replace_file(c->new_fd, "state.json", text, strlen(text), 0644, err);
	if (r == 0)
		r = write_times(c, &log, err);
	if (r < 0)
		return r;
	r = check_room(c, &log);
	return r < 0 ? mlimg_err_set(err, r, "user/mlimg: roll back") : 0;
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
		r = prepare_rollback(&c, next, err);
	if (r < 0)
		mlimg_change_clean(c.own_fd, state->generation);
	mlimg_change_close(&c);
	if (r < 0)
		return r;
	return mlimg_change_decide(call, true, next->generation, state->generation, err);
}
