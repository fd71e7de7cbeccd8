/* SPDX-License-Identifier: MIT */
/*
 * A change or a rollback that was decided and that nobody will end: somebody has removed
 * reconcile.plan, as whoever stands before a damaged one may have to.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/base.h"
#include "guest-agent/change-place.h"
#include "guest-agent/reset.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/remove-tree.h"

#define TRIES 1000000
#define LIST "LIST"
#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* @return 1 when something is in the directory, 0 also when it is not there; -errno */
static int holds(int fd, const char *name)
{
	int r = mlimg_dir_has_entries(fd, name);

	return mlimg_change_is_nowhere(r) ? 0 : r;
}

/*
 * What the steps had taken is larger than its new name: what only the way back would have wanted
 * makes room for that.
 */
static int make_aside(int own_fd, const char *undo)
{
	char made[2 * MLIMG_CHANGE_NAME_SIZE];

	if (mkdirat(own_fd, MLIMG_CHANGE_ASIDE, 0700) == 0 || errno == EEXIST)
		return 0;
	if (!undo || !mlimg_is_no_room(-errno))
		return -errno;
	snprintf(made, sizeof(made), "%s/" MLIMG_CHANGE_MADE, undo);
	(void)mlimg_remove_tree(own_fd, made);
	snprintf(made, sizeof(made), "%s/" MLIMG_CHANGE_PATHS, undo);
	(void)mlimg_remove_tree(own_fd, made);
	syncfs(own_fd);
	return mkdirat(own_fd, MLIMG_CHANGE_ASIDE, 0700) == 0 ? 0 : -errno;
}

/* --- what was where --- */

/* @where: the directory of a log, "" for that which the list is in */
static void list_record(struct mlimg_text *list, const char *where, int taken_fd, size_t n,
	const struct mlimg_undo_record *record)
{
	static const enum mlimg_undo_part parts[] = {
		MLIMG_UNDO_MAIN, MLIMG_UNDO_MARKER, MLIMG_UNDO_MARKERS};
	char slot[MLIMG_CHANGE_SLOT_SIZE], path[MLIMG_ESCAPED_SIZE];

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		const char *const words[] = {
			where, *where ? "/taken/" : "taken/", slot, " ", path, "\n"};

		mlimg_change_slot(n, parts[i], slot);
		if (mlimg_change_has(taken_fd, slot) <= 0)
			continue;
		mlimg_manifest_escape(record->path, path);
		for (size_t k = 0; k < sizeof(words) / sizeof(*words); k++)
			mlimg_text_put(list, words[k], strlen(words[k]));
	}
}

static void list_taken(struct mlimg_text *list, int dir_fd, const char *where)
{
	mlimg_cleanup(mlimg_undo_log_done) struct mlimg_undo_log log = {0};
	mlimg_autoclose int fd = openat(dir_fd, *where ? where : ".", DIRECTORY),
			    taken_fd = fd < 0 ? fd : openat(fd, "taken", DIRECTORY);
	struct mlimg_undo_record record;
	struct mlimg_err err = MLIMG_ERR_INIT;

	if (taken_fd < 0 || mlimg_undo_log_read(fd, &log, &err) < 0)
		return;
	for (size_t n = 0; n < log.n_records; n++)
		if (mlimg_undo_log_get(&log, n, &record, &err) == 0 && strchr("oaeu", record.op))
			list_record(list, where, taken_fd, n, &record);
}

/*
 * What was taken is named by numbers of steps: a list beside it says what each of them was. A
 * courtesy, for which there may be no room, and no log that can be read.
 */
static void write_list(int own_fd, const char *name)
{
	static const char *const logs[] = {"", MLIMG_CHANGE_FIRST, MLIMG_CHANGE_THEN};
	mlimg_autoclose int fd = openat(own_fd, name, DIRECTORY);
	struct mlimg_text list = {.data = NULL};
	struct mlimg_err err = MLIMG_ERR_INIT;

	for (size_t i = 0; fd >= 0 && i < sizeof(logs) / sizeof(*logs); i++)
		list_taken(&list, fd, logs[i]);
	if (list.size && !list.has_failed)
		(void)!mlimg_replace_file(fd, LIST, list.data, list.size, 0600, &err);
	free(list.data);
}

/* @what: "change" or "rollback" */
static int set_aside(int own_fd, const char *from, const char *what, uint64_t generation,
	struct mlimg_boot *boot, struct mlimg_err *err)
{
	char to[MLIMG_CHANGE_NAME_SIZE];

	write_list(own_fd, from);
	for (unsigned i = 0; i < TRIES; i++) {
		int n = snprintf(
			to, sizeof(to), MLIMG_CHANGE_ASIDE "/given-up-%" PRIu64, generation);

		if (i)
			snprintf(to + n, sizeof(to) - (size_t)n, ".%u", i);
		if (renameat2(own_fd, from, own_fd, to, RENAME_NOREPLACE) == 0) {
			mlimg_boot_note(boot,
				"the %s to generation %" PRIu64 " was given up: what it had taken "
				"away is in user/mlimg/%s",
				what, generation, to);
			return 0;
		}
		if (errno != EEXIST)
			break;
	}
	return mlimg_err_set(err, errno, "rename 'user/mlimg/%s'", from);
}

/* --- a change --- */

/* The last part of a change is the state: before it, base manifest and texts have moved there. */
static int return_base(int own_fd, const char *undo, uint64_t generation, struct mlimg_err *err)
{
	static const char *const names[] = {"base.manifest", "base.texts"};

	for (size_t i = 0; i < 2; i++) {
		char from[2 * MLIMG_CHANGE_NAME_SIZE], to[MLIMG_CHANGE_NAME_SIZE];

		snprintf(from, sizeof(from), "%s/%s", undo, names[i]);
		snprintf(to, sizeof(to), "%s.%" PRIu64, names[i], generation);
		if (renameat2(own_fd, from, own_fd, to, RENAME_NOREPLACE) < 0 && errno != ENOENT &&
			errno != EEXIST)
			return mlimg_err_set(err, errno, "rename 'user/mlimg/%s'", from);
	}
	return 0;
}

static int keep_taken(int own_fd, const char *name, uint64_t present, struct mlimg_boot *boot,
	struct mlimg_err *err)
{
	char undo[MLIMG_CHANGE_NAME_SIZE], taken[MLIMG_CHANGE_NAME_SIZE + 8], *end;
	uint64_t generation = strtoull(name, &end, 10);
	int r = 0;

	if (*end || generation <= present || generation > MLIMG_BOOT_GENERATION_MAX)
		return 0;
	snprintf(undo, sizeof(undo), MLIMG_CHANGE_UNDO "/%" PRIu64, generation);
	snprintf(taken, sizeof(taken), "%s/taken", undo);
	if (present)
		r = return_base(own_fd, undo, present, err);
	if (r < 0)
		return r;
	r = holds(own_fd, taken);
	if (r <= 0)
		return r < 0 ? mlimg_err_set(err, r, "look at 'user/mlimg/%s'", taken) : 0;
	r = make_aside(own_fd, undo);
	return r < 0 ? mlimg_err_set(err, r, "make 'user/mlimg/" MLIMG_CHANGE_ASIDE "'")
		     : set_aside(own_fd, undo, "change", generation, boot, err);
}

static int keep_all_taken(
	int own_fd, uint64_t present, struct mlimg_boot *boot, struct mlimg_err *err)
{
	mlimg_autoclosedir DIR *dir = mlimg_dir_open(own_fd, MLIMG_CHANGE_UNDO);
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return mlimg_change_is_nowhere(-errno)
			? 0
			: mlimg_err_set(err, errno, "open 'user/mlimg/" MLIMG_CHANGE_UNDO "'");
	while (r == 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			r = keep_taken(own_fd, entry->d_name, present, boot, err);
	return r;
}

/* --- a rollback --- */

/*
 * What it takes of what was written since is in reconcile.new (change-extra.c). With the state
 * there it was not ended.
 */
static int keep_new(int own_fd, uint64_t present, struct mlimg_boot *boot, struct mlimg_err *err)
{
	static const char *const taken[] = {MLIMG_CHANGE_NEW "/" MLIMG_CHANGE_FIRST "/taken",
		MLIMG_CHANGE_NEW "/" MLIMG_CHANGE_THEN "/taken"};
	int r = mlimg_change_has(own_fd, MLIMG_CHANGE_NEW "/state.json");

	if (r <= 0)
		return r < 0 ? mlimg_err_set(err, r, "look at 'user/mlimg/" MLIMG_CHANGE_NEW "'")
			     : 0;
	for (size_t i = 0; i < 2; i++) {
		r = holds(own_fd, taken[i]);
		if (r < 0)
			return mlimg_err_set(err, r, "look at 'user/mlimg/%s'", taken[i]);
		if (r == 0)
			continue;
		r = make_aside(own_fd, NULL);
		return r < 0
			? mlimg_err_set(err, r, "make 'user/mlimg/" MLIMG_CHANGE_ASIDE "'")
			: set_aside(own_fd, MLIMG_CHANGE_NEW, "rollback", present + 1, boot, err);
	}
	return 0;
}

int mlimg_change_keep_given_up(int own_fd, struct mlimg_boot *boot, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_boot_state *state = calloc(1, sizeof(*state));
	int r;

	if (!state)
		return mlimg_err_set(err, ENOMEM, "look at 'user/mlimg'");
	if (mlimg_change_is_pending(own_fd) || mlimg_reset_is_pending(own_fd))
		return 0;
	r = mlimg_change_read_state(own_fd, "user/mlimg", state, err);
	if (r < 0 && r != -ENOENT)
		return r;
	r = keep_all_taken(own_fd, state->generation, boot, err);
	return r < 0 ? r : keep_new(own_fd, state->generation, boot, err);
}
