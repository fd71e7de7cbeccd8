/* SPDX-License-Identifier: MIT */
/* Texts of the three sides that databases are merged of; classes; contents that are compared. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/change-since-impl.h"
#include "guest-agent/lowers.h"
#include "libmlimg/class-files.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/reconcile-plan.h"
#include "libmlimg/reconcile.h"
#include "libmlimg/upper-view.h"
#include "libmlimg/whiteout.h"

/*
 * -EMLINK: it is no file. What a link leads to cannot be replaced by replacing the link, and to take
 * the database for one that was removed would undo all that is in it.
 *
 * @return 0, -ENOENT when it is not there, -EMLINK, -EIO, -ENOMEM
 */
static int read_at(int fd, const char *path, char **ret_text, size_t *ret_size)
{
	const char *name = path;
	mlimg_autoclose int dir = fd < 0 ? -ENOENT
					 : mlimg_open_parent_strict(fd, path, O_RDONLY, &name),
			    file = -1;
	struct stat st;
	int r = dir < 0 ? dir : 0;

	if (r == 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r < 0)
		return mlimg_change_is_nowhere(r) ? -ENOENT : -EIO;
	if (mlimg_stat_is_whiteout(&st))
		return -ENOENT;
	if (!S_ISREG(st.st_mode))
		return -EMLINK;
	file = openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
	if (file < 0)
		return -EIO;
	r = mlimg_read_fd(file, path, MLIMG_RECORDS_SIZE_MAX, ret_text, ret_size, NULL);
	return r == 0 || r == -ENOMEM ? r : -EIO;
}

/*
 * Lists of packages' files are not among the texts; without layers to read them from there are
 * none.
 *
 * @lower: where @path lies in the stack
 */
static int read_of_stack(struct since *s, const struct since_stack *stack, const char *path,
	const char *lower, char **ret_text, size_t *ret_size)
{
	const struct mlimg_entry *e = mlimg_manifest_find(stack->manifest, lower);
	const struct mlimg_lowers *lowers = stack == &s->former ? s->c->call->lowers : NULL;
	int r = -ENOENT;

	if (!e || e->type != MLIMG_FILE)
		return -ENOENT;
	if (e->size_bytes == 0) {
		*ret_size = 0;
		*ret_text = strdup("");
		return *ret_text ? 0 : -ENOMEM;
	}
	if (e->has_digest)
		r = mlimg_base_texts_read(
			&stack->texts, e->digest, MLIMG_RECORDS_SIZE_MAX, ret_text, ret_size);
	if (r == -ENOENT && lowers && e->has_digest)
		r = mlimg_lowers_read(
			lowers, lower, e->digest, MLIMG_RECORDS_SIZE_MAX, ret_text, ret_size);
	if (r == 0 || r == -ENOMEM)
		return r;
	s->lacks_layers |= stack == &s->former && !lowers;
	return mlimg_reconcile_is_database(path) ? -EIO : -ENOENT;
}

/* As the user sees it: where the upper has nothing, what the newer stack has. */
static int read_mine(struct since *s, const char *path, char **ret_text, size_t *ret_size)
{
	struct mlimg_seen seen;

	mlimg_upper_see(s->upper, s->now.manifest, path, &seen);
	switch (seen.kind) {
	case MLIMG_SEEN_STACK:
		return read_of_stack(s, &s->now, path, seen.lower, ret_text, ret_size);
	case MLIMG_SEEN_UPPER: return read_at(s->c->upper_fd, path, ret_text, ret_size);
	case MLIMG_SEEN_ELSEWHERE: return -EMLINK;
	default: return -ENOENT;
	}
}

/* A database of which there is no copy, though the upper had it before and after: a whiteout. */
static bool was_hidden(const struct since *s, const char *path)
{
	return mlimg_reconcile_is_database(path) && since_was_left(s, path);
}

static int read_made(struct since *s, const char *path, char **ret_text, size_t *ret_size)
{
	int r = read_at(s->made_fd, path, ret_text, ret_size);

	return r == -ENOENT && !was_hidden(s, path)
		? read_of_stack(s, &s->now, path, path, ret_text, ret_size)
		: r;
}

static int read_taken(struct since *s, const char *path, char **ret_text, size_t *ret_size)
{
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	size_t i;
	int r;

	if (mlimg_path_map_get(&s->taken, path, &i)) {
		if (s->takens[i].op == 'a')
			return read_at(s->aside_fd, path, ret_text, ret_size);
		mlimg_change_slot(s->takens[i].n, MLIMG_UNDO_MAIN, slot);
		return read_at(s->c->taken_fd, slot, ret_text, ret_size);
	}
	/* One that the change has left alone is what it was. */
	r = mlimg_path_map_get(&s->put, path, &i) ? -ENOENT
						  : read_at(s->made_fd, path, ret_text, ret_size);
	return r == -ENOENT && !was_hidden(s, path)
		? read_of_stack(s, &s->former, path, path, ret_text, ret_size)
		: r;
}

static int read_side(struct since *s, enum mlimg_merge_side side, const char *path, char **ret_text,
	size_t *ret_size)
{
	switch (side) {
	case MLIMG_SIDE_BASE: return read_made(s, path, ret_text, ret_size);
	case MLIMG_SIDE_NEXT: return read_taken(s, path, ret_text, ret_size);
	default: return read_mine(s, path, ret_text, ret_size);
	}
}

/* Of other files than databases of records: a configuration file may well be a link. */
static bool may_be_link(const char *path)
{
	return mlimg_accounts_file_of(path) == MLIMG_N_ACCOUNTS_FILES &&
		mlimg_packages_form_of(path) == MLIMG_RECORDS_NONE;
}

int since_read(struct since *s, enum mlimg_merge_side side, const char *path, char **ret_text,
	size_t *ret_size)
{
	int r = read_side(s, side, path, ret_text, ret_size);

	return r == -EMLINK && may_be_link(path) ? -ENOENT : r;
}

int since_cannot_read(int r, enum mlimg_merge_side side, const char *path, struct mlimg_err *err)
{
	static const char *const when[MLIMG_N_MERGE_SIDES] = {
		[MLIMG_SIDE_BASE] = " after the change",
		[MLIMG_SIDE_NEXT] = " before the change",
		[MLIMG_SIDE_MINE] = ""};

	return r == -EMLINK
		? mlimg_err_set(err, 0, "/%s of the user%s is no file, or behind a symbolic link",
			  path, when[side])
		: mlimg_err_set(err, r, "/%s of the user%s", path, when[side]);
}

int since_is_changed(struct since *s, const char *path)
{
	mlimg_autofree char *base = NULL, *mine = NULL;
	size_t base_size = 0, mine_size = 0;
	int r = since_read(s, MLIMG_SIDE_BASE, path, &base, &base_size);

	if (r == 0 || r == -ENOENT)
		r = since_read(s, MLIMG_SIDE_MINE, path, &mine, &mine_size);
	if (r < 0 && r != -ENOENT)
		return r;
	return !base != !mine || base_size != mine_size ||
		(base && memcmp(base, mine, base_size) != 0);
}

/* --- classes --- */

/* Of the former stack, whose layers need not be there: its texts are. */
static int read_former(const char *path, const uint8_t digest[MLIMG_SHA256_SIZE], size_t max,
	void *ctx, char **ret_data, size_t *ret_size)
{
	const struct since *s = ctx;
	int r = mlimg_base_texts_read(&s->former.texts, digest, max, ret_data, ret_size);

	return r == -ENOENT && s->c->call->lowers
		? mlimg_lowers_read(s->c->call->lowers, path, digest, max, ret_data, ret_size)
		: r;
}

int since_read_classes(struct since *s)
{
	const struct mlimg_class_files files = {.stack = s->former.manifest,
		.before = s->now.manifest,
		.mine = s->upper,
		.upper = &s->files.source,
		.read = read_former,
		.read_ctx = s};

	s->classes = mlimg_path_classes_new();
	if (!s->classes)
		return since_no_memory(s);
	return s->knows_stacks ? mlimg_class_files_read(&files, s->classes, s->err) : 0;
}

/* --- contents --- */

int since_has_same_contents(struct since *s, struct mlimg_entry *e, const struct mlimg_entry *now)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r;

	if (!now || now->type != e->type || now->size_bytes != e->size_bytes)
		return 0;
	if (e->type == MLIMG_FILE && e->size_bytes) {
		if (!now->has_digest)
			return 0;
		r = s->files.source.digest(&s->files.source, e->path, e->digest, &err);
		if (r < 0)
			return r == -ENOMEM ? since_no_memory(s) : 0;
		e->has_digest = true;
	}
	return mlimg_reconcile_has_same_contents(e, now);
}
