/* SPDX-License-Identifier: MIT */
/* A directory as source. */
#include "tools/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/walk.h"
#include "libmlimg/whiteout.h"
#include "tools/beneath.h"
#include "tools/ext4-data.h"
#include "tools/owner-map.h"
#include "tools/source-compare.h"
#include "tools/source-cursor.h"
#include "tools/source-unionfs.h"
#include "tools/source-upper.h"
#include "tools/walk-ahead.h"

struct reader {
	enum mlimg_dir_form form;
	struct mlimg_cursor cursor;
	struct mlimg_upper *upper; /* NULL: it is none */
	struct mlimg_unmapped unmapped;
	dev_t dev;                       /* of its root */
	struct mlimg_beneath *trusted;   /* or NULL */
	struct mlimg_comparer *comparer; /* or NULL */
	const struct mlimg_entry *last;  /* that was found among those that are trusted */
	int root_fd;
};

static int changed(const char *path, struct mlimg_err *err)
{
	return mlimg_err_set(err, 0, "'%s' changed while it was read", path);
}

/* Read @size bytes from the file's present offset. */
static int copy_bytes(
	struct mlimg_data *data, int fd, uint64_t size, const char *path, struct mlimg_err *err)
{
	while (size) {
		size_t room;
		void *at;
		ssize_t n;
		int r = mlimg_data_room(data, &at, &room, err);

		if (r < 0)
			return r;
		if (room > size)
			room = (size_t)size;
		do
			n = read(fd, at, room);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return mlimg_err_set(err, errno, "read '%s'", path);
		if (n == 0)
			return changed(path, err);
		r = mlimg_data_put(data, (size_t)n, err);
		if (r < 0)
			return r;
		size -= (uint64_t)n;
	}
	return 0;
}

/* Data from one hole to the next, as lseek(2) tells them. */
static int copy_sparse(const struct mlimg_source_to *to, int fd, uint64_t size, const char *path,
	struct mlimg_err *err)
{
	uint64_t pos = 0;

	while (pos < size) {
		off_t start = lseek(fd, (off_t)pos, SEEK_DATA), end;
		int r;

		if (start < 0 && errno != ENXIO)
			return mlimg_err_set(err, errno, "read '%s'", path);
		if (start < 0 || (uint64_t)start > size)
			start = (off_t)size;
		r = mlimg_source_spend_hole(to, (uint64_t)start - pos, path, err);
		if (r == 0)
			r = mlimg_data_hole(to->data, (uint64_t)start - pos, err);
		pos = (uint64_t)start;
		if (r < 0 || pos == size)
			return r;
		end = lseek(fd, start, SEEK_HOLE);
		if (end < 0 || lseek(fd, start, SEEK_SET) < 0)
			return mlimg_err_set(err, errno, "read '%s'", path);
		if ((uint64_t)end > size)
			end = (off_t)size;
		if (end <= start)
			return changed(path, err);
		r = copy_bytes(to->data, fd, (uint64_t)(end - start), path, err);
		if (r < 0)
			return r;
		pos = (uint64_t)end;
	}
	return 0;
}

/* Both are in the same order, and mostly have the same. */
static const struct mlimg_entry *find_next(
	struct reader *rd, const struct mlimg_beneath *trusted, const char *path)
{
	const struct mlimg_manifest *m = mlimg_beneath_manifest(trusted);
	const struct mlimg_entry *next = rd->last ? rd->last + 1 : m->entries, *found = NULL;

	for (size_t i = 0; i < 8 && next + i < m->entries + m->n_entries && !found; i++)
		if (strcmp(next[i].path, path) == 0)
			found = next + i;
	if (!found)
		found = mlimg_beneath_find(trusted, path);
	if (found)
		rd->last = found;
	return found;
}

/* rsync's quick check: who changes contents changes the time. */
static bool is_trusted(struct reader *rd, const struct mlimg_entry *entry, struct mlimg_file *file)
{
	const struct mlimg_entry *old;

	if (!rd->trusted)
		return false;
	old = find_next(rd, rd->trusted, entry->path);
	if (!old || !old->has_digest || !mlimg_entry_has_same_attrs(old, entry) ||
		old->mtime_s != entry->mtime_s || old->mtime_ns != entry->mtime_ns)
		return false;
	file->size_bytes = old->size_bytes;
	file->is_left_out = true;
	memcpy(file->digest, old->digest, sizeof(file->digest));
	return true;
}

static int copy_file(const struct mlimg_source_to *to, const char *path, int fd,
	const struct stat *seen, struct mlimg_file *file, struct mlimg_err *err)
{
	struct mlimg_data *data = to->data;
	uint64_t size = (uint64_t)seen->st_size;
	struct stat st;
	int r;

	mlimg_data_begin(data, file, true);
	if ((uint64_t)seen->st_blocks * 512 < size)
		r = copy_sparse(to, fd, size, path, err);
	else
		r = copy_bytes(data, fd, size, path, err);
	if (r == 0)
		r = mlimg_data_end(data, err);
	if (r < 0)
		return r;
	/* Only now: until then it could change. */
	if (fstat(fd, &st) < 0)
		return mlimg_err_set(err, errno, "read '%s'", path);
	return mlimg_source_is_same(&st, seen) ? 0 : changed(path, err);
}

static int open_path(const struct reader *rd, const char *path, int *ret_fd, struct mlimg_err *err)
{
	*ret_fd = mlimg_open_beneath_strict(rd->root_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return *ret_fd < 0 ? mlimg_err_set(err, *ret_fd, "open '%s'", path) : 0;
}

/* A file whose contents are known to be unknown. */
static int copy_again(const char *path, const struct stat *seen, struct mlimg_file *file, void *ctx,
	struct mlimg_err *err)
{
	const struct mlimg_source_to *to = ((const struct reader *)ctx)->cursor.to;
	mlimg_autoclose int fd = -1;
	int r = open_path(ctx, path, &fd, err);

	if (r < 0)
		return r;
	mlimg_data_leave_out(to->data, NULL);
	r = copy_file(to, path, fd, seen, file, err);
	mlimg_data_leave_out(to->data, to->known);
	return r;
}

static int take_contents(struct reader *rd, const struct mlimg_entry *entry,
	const struct mlimg_walk_at *at, struct mlimg_file *file, struct mlimg_err *err)
{
	const struct mlimg_source_to *to = rd->cursor.to;
	mlimg_autoclose int opened = -1;
	int fd = at->fd, r = 0;

	if (fd < 0) {
		r = open_path(rd, entry->path, &opened, err);
		fd = opened;
	}
	if (r < 0)
		return r;
	if (rd->comparer && !file->is_captured && mlimg_comparer_wants(rd->comparer, at->st))
		r = mlimg_comparer_add(rd->comparer, entry->path, fd, at->st, file, err);
	else
		r = copy_file(to, entry->path, fd, at->st, file, err);
	if (r == 0 && to->progress)
		mlimg_progress_add(to->progress, (uint64_t)at->st->st_size);
	return r;
}

/* Owners that the present user name space does not have all show as the same number. */
static int check_owner(
	const struct reader *rd, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	const struct mlimg_unmapped *u = &rd->unmapped;

	if (rd->cursor.to->owners || (entry->uid != u->uid && entry->gid != u->gid))
		return 0;
	return mlimg_err_refuse(err,
		"'%s': its owner or group has no number in this user name space: --owner-map gives "
		"it one",
		entry->path[0] ? entry->path : ".");
}

/* Marks that mean nothing where the directory is not read as an upper. */
static int check_plain(const struct mlimg_entry *entry, struct mlimg_err *err)
{
	static const char *const marks[] = {
		MLIMG_XATTR_REDIRECT, MLIMG_XATTR_METACOPY, MLIMG_XATTR_OVERLAY "whiteout"};

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (mlimg_entry_xattr(entry, marks[i]))
			return mlimg_err_refuse(err,
				"'%s' has %s: an upper of overlayfs is read with --form upper",
				entry->path, marks[i]);
	return 0;
}

static int put(struct reader *rd, const struct mlimg_entry *entry, const struct mlimg_identity *id,
	struct mlimg_node **ret_node, struct mlimg_err *err)
{
	int r = 0;

	if (rd->upper)
		return mlimg_upper_put(rd->upper, entry, id, ret_node, err);
	if (rd->form == MLIMG_DIR_UNIONFS && strcmp(entry->path, MLIMG_UNIONFS_DIR) == 0 &&
		entry->type == MLIMG_DIR)
		return 1; /* mlimg_unionfs_hide() reads it */
	if (rd->form == MLIMG_DIR_UNIONFS)
		r = mlimg_unionfs_check(entry, err);
	else
		r = check_plain(entry, err);
	return r < 0 ? r : mlimg_cursor_put(&rd->cursor, entry, id, ret_node, err);
}

static int visit(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	struct reader *rd = ctx;
	const struct mlimg_source_to *to = rd->cursor.to;
	const struct mlimg_identity id = {
		.is_shared = at->st->st_nlink > 1, .a = at->st->st_dev, .b = at->st->st_ino};
	struct mlimg_entry owned;
	struct mlimg_node *node = NULL;
	int r = check_owner(rd, entry, err);

	if (r == 0)
		r = mlimg_owner_map_apply(to->owners, entry, &owned, err);
	if (r == 0)
		r = put(rd, &owned, &id, &node, err);
	if (!entry->path[0])
		rd->dev = at->st->st_dev;
	if (r != 0 || !node)
		return r;
	node->is_mount = entry->type == MLIMG_DIR && at->st->st_dev != rd->dev;
	if (at->st->st_dev == to->image_dev && at->st->st_ino == to->image_ino)
		return mlimg_err_set(err, 0, "the image would lie in its own source");
	if (entry->type != MLIMG_FILE)
		return 0;
	if (is_trusted(rd, &owned, node->inode->file)) {
		if (to->progress)
			mlimg_progress_add(to->progress, entry->size_bytes);
		return 0;
	}
	return take_contents(rd, entry, at, node->inode->file, err);
}

/*
 * Whoever may not see trusted.* is told that there are none. Setting one is refused before anything
 * else is looked at, and XATTR_REPLACE changes nothing where it is not.
 */
static int check_trusted(const char *path, struct mlimg_err *err)
{
	mlimg_autoclose int fd = memfd_create("mlimg", MFD_CLOEXEC);

	if (fd < 0 || fsetxattr(fd, "trusted.mlimg", "", 0, XATTR_REPLACE) == 0 || errno != EPERM)
		return 0;
	return mlimg_err_set(err, EPERM,
		"read '%s': marks of overlayfs (trusted.overlay.*) show to root only", path);
}

/*
 * Files that are trusted as they are need not be opened. What lies beneath is opened during the
 * walk, as far as that goes.
 */
static int walk_trusting(struct reader *rd, int fd, unsigned flags, struct mlimg_err *err)
{
	struct mlimg_walk_ahead *ahead;
	int r = mlimg_walk_ahead_new(fd, flags, &ahead, err);

	if (r < 0)
		return r;
	r = mlimg_beneath_wait(rd->cursor.to->trusted, &rd->trusted, err);
	if (r == 0)
		r = mlimg_walk_ahead_run(ahead, visit, rd, err);
	mlimg_walk_ahead_free(ahead);
	return r;
}

static int walk(struct reader *rd, int fd, struct mlimg_err *err)
{
	const struct mlimg_source_to *to = rd->cursor.to;
	const unsigned flags = MLIMG_WALK_ONE_FS | MLIMG_WALK_AT_REST;
	int r = 0;

	rd->root_fd = fd;
	if (to->known && rd->form == MLIMG_DIR_PLAIN)
		r = mlimg_comparer_new(to->known, &rd->comparer, err);
	if (r == 0 && to->trusted && rd->form == MLIMG_DIR_PLAIN)
		r = walk_trusting(rd, fd, flags, err);
	else if (r == 0)
		r = mlimg_walk(fd, flags | MLIMG_WALK_OPEN_FILES, visit, rd, err);
	if (r == 0 && rd->comparer)
		r = mlimg_comparer_end(rd->comparer, copy_again, rd, err);
	mlimg_comparer_free(rd->comparer);
	return r;
}

static int read_tree(struct reader *rd, int fd, const char *path, struct mlimg_err *err)
{
	int r = mlimg_unmapped_find(&rd->unmapped, err);

	if (r < 0)
		return r;
	mlimg_tree_begin_level(rd->cursor.to->tree, rd->cursor.to->has_beneath);
	if (rd->form == MLIMG_DIR_UPPER)
		r = check_trusted(path, err);
	if (r == 0 && (rd->form == MLIMG_DIR_UPPER || rd->form == MLIMG_DIR_UPPER_USER))
		r = mlimg_upper_new(&rd->cursor,
			rd->form == MLIMG_DIR_UPPER ? MLIMG_UPPER_TRUSTED : MLIMG_UPPER_USER,
			&rd->upper, err);
	if (r == 0)
		r = walk(rd, fd, err);
	if (r == 0 && rd->form == MLIMG_DIR_UNIONFS)
		r = mlimg_unionfs_hide(fd, path, rd->cursor.to, err);
	if (r == 0 && rd->upper)
		r = mlimg_upper_end(rd->upper, err);
	return r;
}

int mlimg_source_read_dir(const char *path, enum mlimg_dir_form form,
	const struct mlimg_source_to *to, struct mlimg_err *err)
{
	struct reader rd = {.form = form, .cursor = {.to = to, .dir = to->top}};
	mlimg_autoclose int fd = -1;
	int r;

	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", path);
	r = read_tree(&rd, fd, path, err);
	mlimg_upper_free(rd.upper);
	mlimg_links_done(&rd.cursor.links);
	return r;
}
