/* SPDX-License-Identifier: MIT */
/*
 * `mlimg export`: what the user has changed as a tar that mlimg-mkfs makes a software layer of. The
 * names are those that the upper had at the beginning; contents are read while the guest goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/mlimg-cmd.h"
#include "guest-agent/tar-out.h"
#include "guest-agent/user-change.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/walk.h"
#include "libmlimg/whiteout.h"
#include "tools/cli.h"
#include "tools/outfile.h"
#include "tools/progress.h"

#define WHOLE_MAX \
	((size_t)1 << 20) /* files up to here are read at once, and again if they change */
#define TRIES 3
#define BLOCK ((size_t)1 << 16)
#define TOLD_MAX 10 /* files that are named in warnings */

struct export
{
	struct mlimg_cmd *cmd;
	struct mlimg_view_cursor *cursor;
	struct mlimg_user_change change;
	struct mlimg_tar_out tar;
	struct mlimg_progress progress;
	const char **firsts; /* of each group of hard links, the name that was written; or NULL */
	char *block;         /* WHOLE_MAX bytes */
	char own[MLIMG_PATH_MAX + 1]; /* where the tar itself is to be, in the merged root; "" */
	uint64_t n, n_sockets, n_changed, n_gone, n_told;
};

/* --- contents --- */

static void tell(struct export *x, const char *path, const char *what, uint64_t *count)
{
	char escaped[MLIMG_ESCAPED_SIZE];

	++*count;
	if (x->n_told++ < TOLD_MAX)
		mlimg_cli_warn(
			MLIMG_CMD_PROG, "'/%.300s' %s", mlimg_manifest_escape(path, escaped), what);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
		a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* The header, now that the size is known. */
static int put_header(struct export *x, const struct mlimg_entry *entry, const struct stat *st,
	struct mlimg_err *err)
{
	struct mlimg_entry e = *entry;

	e.size_bytes = (uint64_t)st->st_size;
	e.mtime_s = st->st_mtim.tv_sec;
	e.mtime_ns = (uint32_t)st->st_mtim.tv_nsec;
	return mlimg_tar_out_entry(&x->tar, &e, NULL, err);
}

/* A small file, as it was at one moment if that can be had. */
static int put_whole(struct export *x, const struct mlimg_entry *entry, int fd, struct stat *st,
	struct mlimg_err *err)
{
	struct stat now;
	ssize_t n = 0;
	int r;

	for (int i = 0; i < TRIES; i++) {
		n = lseek(fd, 0, SEEK_SET) < 0 ? -errno : mlimg_read_full(fd, x->block, WHOLE_MAX);
		if (n < 0 || fstat(fd, &now) < 0)
			return mlimg_err_set(
				err, n < 0 ? (int)n : errno, "read '/%s'", entry->path);
		if (n == st->st_size && is_same(st, &now))
			break;
		*st = now;
		if (i == TRIES - 1)
			tell(x, entry->path, "changes while it is read", &x->n_changed);
	}
	st->st_size = n;
	r = put_header(x, entry, st, err);
	return r < 0 ? r : mlimg_tar_out_data(&x->tar, x->block, (size_t)n, err);
}

/* One that is too large for that; what is added to it meanwhile is left out. */
static int put_stream(struct export *x, const struct mlimg_entry *entry, int fd,
	const struct stat *st, struct mlimg_err *err)
{
	uint64_t left = (uint64_t)st->st_size;
	struct stat now;
	int r = put_header(x, entry, st, err);

	while (left > 0 && r == 0) {
		size_t size = left < BLOCK ? (size_t)left : BLOCK;
		ssize_t n = mlimg_read_full(fd, x->block, size);

		if (n < 0)
			return mlimg_err_set(err, (int)n, "read '/%s'", entry->path);
		/* It has become shorter; the header has told its size. */
		memset(x->block + n, 0, size - (size_t)n);
		r = mlimg_tar_out_data(&x->tar, x->block, size, err);
		left -= size;
		mlimg_progress_update(&x->progress, x->tar.written);
	}
	if (r == 0 && (fstat(fd, &now) < 0 || !is_same(st, &now)))
		tell(x, entry->path, "changes while it is read", &x->n_changed);
	return r;
}

static int put_file(struct export *x, const struct mlimg_view_tree *tree,
	const struct mlimg_entry *entry, struct mlimg_err *err)
{
	mlimg_autoclose int fd = mlimg_view_open_file(tree, entry->path);
	struct stat st;
	int r;

	if (fd == -ENOENT || fd == -ELOOP || fd == -ENOTDIR) {
		tell(x, entry->path, "is gone, or something else by now", &x->n_gone);
		return 1;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return mlimg_err_set(err, fd < 0 ? fd : errno, "read '/%s'", entry->path);
	r = (uint64_t)st.st_size <= WHOLE_MAX ? put_whole(x, entry, fd, &st, err)
					      : put_stream(x, entry, fd, &st, err);
	return r < 0 ? r : mlimg_tar_out_file_end(&x->tar, err);
}

/* --- entries --- */

/*
 * Of overlayfs' marks only that of an opaque directory goes along, where it hides something. @xattrs
 * has room for one more than @entry has.
 */
static void clean_xattrs(struct mlimg_entry *entry, struct mlimg_xattr *xattrs, bool is_opaque)
{
	static uint8_t yes[] = "y";
	uint32_t n = 0;

	for (uint32_t i = 0; i < entry->n_xattrs; i++)
		if (!mlimg_xattr_is_overlay(entry->xattrs[i].name))
			xattrs[n++] = entry->xattrs[i];
	if (is_opaque)
		xattrs[n++] = (struct mlimg_xattr){(char *)(uintptr_t)MLIMG_XATTR_OPAQUE, yes, 1};
	entry->xattrs = xattrs;
	entry->n_xattrs = n;
}

/* @return 0, 1 when it was left out, -errno */
static int put_entry(struct export *x, const struct mlimg_view_tree *tree,
	const struct mlimg_entry *entry, bool is_opaque, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_xattr *xattrs =
		calloc((size_t)entry->n_xattrs + 1, sizeof(*xattrs));
	struct mlimg_entry e = *entry;
	int r;

	if (!xattrs)
		return mlimg_err_set(err, ENOMEM, "export '/%s'", entry->path);
	if (entry->type == MLIMG_SOCKET || strcmp(entry->path, x->own) == 0) {
		x->n_sockets += entry->type == MLIMG_SOCKET;
		if (*entry->path)
			return 1;
	}
	clean_xattrs(&e, xattrs, is_opaque);
	r = e.type == MLIMG_FILE ? put_file(x, tree, &e, err)
				 : mlimg_tar_out_entry(&x->tar, &e, NULL, err);
	x->n += r == 0;
	mlimg_progress_update(&x->progress, x->tar.written);
	return r;
}

/* What shows in a renamed directory, out of the merged root. */
static int see_merged(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	struct export *x = ctx;
	struct mlimg_view_tree merged = {.fd = x->cmd->view->merged_fd};
	int r = put_entry(x, &merged, entry, false, err);

	return r < 0 ? r : 0;
}

static int put_renamed(struct export *x, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	int merged_fd = x->cmd->view->merged_fd;
	struct stat st;
	int r = put_entry(x, &x->cmd->view->trees[0], entry, true, err);

	if (r < 0)
		return r;
	if (fstatat(merged_fd, entry->path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return mlimg_err_set(err, errno, "read '/%s' in the merged root", entry->path);
	if (!S_ISDIR(st.st_mode))
		return mlimg_err_set(err, ESTALE, "read '/%s' in the merged root", entry->path);
	return mlimg_walk_within(
		merged_fd, entry->path, &st, MLIMG_WALK_ONE_FS, see_merged, x, err);
}

/* A further name of a file of which one was written. */
static int put_link(struct export *x, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	int r = mlimg_tar_out_entry(&x->tar, entry, x->firsts[entry->hardlink - 1], err);

	x->n += r == 0;
	return r;
}

/* @return 0; 1: not into this directory; -errno */
static int take(struct export *x, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	const struct mlimg_view *view = x->cmd->view;
	bool is_opaque;
	int r;

	if (entry->hardlink && x->firsts[entry->hardlink - 1])
		return put_link(x, entry, err);
	r = mlimg_user_change_of(view, x->cursor, entry, &x->change, err);
	if (r == -ENOENT) {
		tell(x, entry->path, "is gone, or something else by now", &x->n_gone);
		return 0;
	}
	if (r < 0 || (x->change.kind == MLIMG_USER_SAME && entry->type != MLIMG_DIR))
		return r;
	if (x->change.kind == MLIMG_USER_RENAMED) {
		r = put_renamed(x, entry, err);
		return r < 0 ? r : 1;
	}
	is_opaque =
		entry->type == MLIMG_DIR && mlimg_entry_is_opaque(entry) && x->change.beneath.tree;
	r = put_entry(x, &view->trees[0], entry, is_opaque, err);
	if (r == 0 && entry->hardlink)
		x->firsts[entry->hardlink - 1] = entry->path;
	return r < 0 ? r : 0;
}

static int put_all(struct export *x, struct mlimg_err *err)
{
	const struct mlimg_manifest *upper = x->cmd->view->trees[0].manifest;
	int r = 0;

	for (size_t i = 0; i < upper->n_entries && r == 0; i++) {
		const char *path = upper->entries[i].path;

		r = take(x, &upper->entries[i], err);
		while (r == 1 && i + 1 < upper->n_entries &&
			mlimg_path_is_below(upper->entries[i + 1].path, path))
			i++;
		r = r < 0 ? r : 0;
	}
	return r < 0 ? r : mlimg_tar_out_end(&x->tar, err);
}

/* --- the output --- */

static int put_result(const struct export *x, const char *to, struct mlimg_err *err)
{
	char size[MLIMG_CLI_SIZE_TEXT];

	if (x->n_told > TOLD_MAX)
		mlimg_cli_warn(MLIMG_CMD_PROG, "%" PRIu64 " more changed or went while this ran",
			x->n_told - TOLD_MAX);
	if (strcmp(to, "-") == 0)
		return 0;
	if (mlimg_cmd_has(x->cmd, MLIMG_CMD_JSON))
		return mlimg_cmd_put_json(
			json_pack("{s:s,s:I,s:I,s:I,s:I,s:I}", "file", to, "entries",
				(json_int_t)x->n, "bytes", (json_int_t)x->tar.written, "changed",
				(json_int_t)x->n_changed, "gone", (json_int_t)x->n_gone, "sockets",
				(json_int_t)x->n_sockets),
			JSON_COMPACT, err);
	mlimg_cli_put_safe(stdout, to);
	printf(": %" PRIu64 " %s, %s\n", x->n, mlimg_cli_noun(x->n, "entry", "entries"),
		mlimg_cli_format_size(x->tar.written, size));
	return 0;
}

static int write_to_stdout(struct export *x, struct mlimg_err *err)
{
	if (isatty(STDOUT_FILENO) == 1)
		return mlimg_err_set(err, 0, "a tar is nothing for a terminal");
	x->tar.fd = STDOUT_FILENO;
	return put_all(x, err);
}

static int write_to_file(struct export *x, const char *path, struct mlimg_err *err)
{
	struct mlimg_outfile out = MLIMG_OUTFILE_INIT;
	int r = mlimg_view_resolve(x->cmd->view, path, x->own, err);

	if (r == 0)
		r = mlimg_outfile_open(&out, path, mlimg_cmd_has(x->cmd, MLIMG_CMD_FORCE), err);
	if (r == 0) {
		x->tar.fd = out.fd;
		r = put_all(x, err);
	}
	if (r == 0)
		r = mlimg_outfile_commit(&out, err);
	mlimg_outfile_abort(&out);
	return r;
}

int mlimg_cmd_export(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	mlimg_autofree struct export *x = calloc(1, sizeof(*x));
	const char *to = mlimg_cmd_operand(cmd, 0);
	int r;

	if (!x)
		return mlimg_err_set(err, ENOMEM, "export");
	x->cmd = cmd;
	x->cursor = mlimg_view_cursor_new(cmd->view);
	x->block = malloc(WHOLE_MAX);
	/* No more groups than entries. */
	x->firsts = calloc(cmd->view->trees[0].manifest->n_entries + 1, sizeof(*x->firsts));
	if (!x->cursor || !x->block || !x->firsts) {
		r = mlimg_err_set(err, ENOMEM, "export");
	} else {
		mlimg_progress_init(&x->progress, "exporting", 0);
		r = strcmp(to, "-") == 0 ? write_to_stdout(x, err) : write_to_file(x, to, err);
		mlimg_progress_end(&x->progress);
	}
	if (r == 0)
		r = put_result(x, to, err);
	mlimg_cmd_warn_skipped(cmd);
	mlimg_tar_out_done(&x->tar);
	mlimg_view_cursor_free(x->cursor);
	free(x->block);
	free(x->firsts);
	return r;
}
