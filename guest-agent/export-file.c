/* SPDX-License-Identifier: MIT */
/* The contents of files that are exported, while the guest goes on. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/export-impl.h"
#include "libmlimg/io.h"
#include "tools/cli.h"

#define TRIES 3
#define BLOCK ((size_t)1 << 16)

void export_tell(struct export *x, const char *path, const char *what, uint64_t *count)
{
	char escaped[MLIMG_ESCAPED_SIZE];

	++*count;
	if (x->n_told++ < EXPORT_TOLD_MAX)
		mlimg_cli_warn(
			MLIMG_CMD_PROG, "'/%.300s' %s", mlimg_manifest_escape(path, escaped), what);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
		a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* What is known only now goes into @e. */
static int put_header(
	struct export *x, struct mlimg_entry *e, const struct stat *st, struct mlimg_err *err)
{
	e->size_bytes = (uint64_t)st->st_size;
	e->mtime_s = st->st_mtim.tv_sec;
	e->mtime_ns = (uint32_t)st->st_mtim.tv_nsec;
	return mlimg_export_out_entry(&x->out, e, NULL, err);
}

/* A small file, as it was at one moment if that can be had. */
static int put_whole(
	struct export *x, struct mlimg_entry *entry, int fd, struct stat *st, struct mlimg_err *err)
{
	struct stat now;
	ssize_t n = 0;
	int r;

	for (int i = 0; i < TRIES; i++) {
		n = lseek(fd, 0, SEEK_SET) < 0 ? -errno
					       : mlimg_read_full(fd, x->block, EXPORT_WHOLE_MAX);
		if (n < 0 || fstat(fd, &now) < 0)
			return mlimg_err_set(
				err, n < 0 ? (int)n : errno, "read '/%s'", entry->path);
		if (n == st->st_size && is_same(st, &now))
			break;
		*st = now;
		if (i == TRIES - 1)
			export_tell(x, entry->path, "changes while it is read", &x->n_changed);
	}
	st->st_size = n;
	r = put_header(x, entry, st, err);
	return r < 0 ? r : mlimg_export_out_data(&x->out, x->block, (size_t)n, err);
}

/* @return the bytes of a hole at @at, of @left at most; the next read is behind it */
static uint64_t hole_at(int fd, uint64_t at, uint64_t left)
{
	off_t data = lseek(fd, (off_t)at, SEEK_DATA);
	uint64_t hole = data < 0 ? 0 : (uint64_t)data - at;

	if (data < 0 && errno == ENXIO)
		return left;
	if (hole < left && lseek(fd, (off_t)(at + hole), SEEK_SET) >= 0)
		return hole;
	return hole < left ? 0 : left;
}

/* One that is too large for that; what is added to it meanwhile is left out. */
static int put_stream(struct export *x, struct mlimg_entry *entry, int fd, const struct stat *st,
	struct mlimg_err *err)
{
	uint64_t left = (uint64_t)st->st_size;
	struct stat now;
	int r = put_header(x, entry, st, err);

	while (left > 0 && r == 0) {
		uint64_t hole = hole_at(fd, (uint64_t)st->st_size - left, left);
		size_t size = left - hole < BLOCK ? (size_t)(left - hole) : BLOCK;
		ssize_t n = mlimg_read_full(fd, x->block, size);

		if (n < 0)
			return mlimg_err_set(err, (int)n, "read '/%s'", entry->path);
		/* It has become shorter; the header has told its size. */
		memset(x->block + n, 0, size - (size_t)n);
		r = mlimg_export_out_hole(&x->out, hole, err);
		if (r == 0)
			r = mlimg_export_out_data(&x->out, x->block, size, err);
		left -= hole + size;
		mlimg_progress_update(&x->progress, x->out.written);
	}
	if (r == 0 && (fstat(fd, &now) < 0 || !is_same(st, &now)))
		export_tell(x, entry->path, "changes while it is read", &x->n_changed);
	return r;
}

int export_put_file(struct export *x, const struct mlimg_view_tree *tree,
	const struct mlimg_entry *entry, struct mlimg_err *err)
{
	mlimg_autoclose int fd = mlimg_view_open_file(tree, entry->path);
	struct mlimg_entry e = *entry;
	struct stat st;
	int r;

	if (fd == -ENOENT || fd == -ELOOP || fd == -ENOTDIR) {
		export_tell(x, entry->path, "is gone, or something else by now", &x->n_gone);
		return 1;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return mlimg_err_set(err, fd < 0 ? fd : errno, "read '/%s'", entry->path);
	r = (uint64_t)st.st_size <= EXPORT_WHOLE_MAX ? put_whole(x, &e, fd, &st, err)
						     : put_stream(x, &e, fd, &st, err);
	return r < 0 ? r : mlimg_export_out_file_end(&x->out, &e, err);
}
