/* SPDX-License-Identifier: MIT */
/*
 * `mlimg export`: what the user has changed as a tar, or as a directory, of which mlimg-mkfs makes a
 * software layer. The names are those that the upper had at the beginning; contents are read while
 * the guest goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/export-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/walk.h"
#include "libmlimg/whiteout.h"
#include "tools/cli.h"
#include "tools/outfile.h"

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
	if (entry->type == MLIMG_SOCKET || (*entry->path && strcmp(entry->path, x->own) == 0)) {
		x->n_sockets += entry->type == MLIMG_SOCKET;
		return 1;
	}
	clean_xattrs(&e, xattrs, is_opaque);
	r = e.type == MLIMG_FILE ? export_put_file(x, tree, &e, err)
				 : mlimg_export_out_entry(&x->out, &e, NULL, err);
	x->n += r == 0;
	mlimg_progress_update(&x->progress, x->out.written);
	return r;
}

/* A further name of a file of which one was written. */
static int put_link(
	struct export *x, const struct mlimg_entry *entry, const char *first, struct mlimg_err *err)
{
	int r = mlimg_export_out_entry(&x->out, entry, first, err);

	x->n += r == 0;
	return r;
}

/*
 * An entry that may be a further name of what was written.
 *
 * @param st  in the merged root
 * @return    as of put_entry()
 */
static int put_shared(struct export *x, const struct mlimg_view_tree *tree,
	const struct mlimg_entry *entry, const struct stat *st, struct mlimg_err *err)
{
	const char *first = mlimg_export_links_find(&x->links, st);
	int r;

	if (first)
		return put_link(x, entry, first, err);
	r = put_entry(x, tree, entry, false, err);
	if (r == 0 && mlimg_export_links_add(&x->links, st, entry->path) < 0)
		return mlimg_err_set(err, ENOMEM, "export '/%s'", entry->path);
	return r;
}

/* What shows in a renamed directory, out of the merged root. */
static int see_merged(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	struct export *x = ctx;
	struct mlimg_view_tree merged = {.fd = x->cmd->view->merged_fd};
	int r;

	/* What becomes the output, which may be in here. */
	if (at->st->st_ino == x->own_st.st_ino && at->st->st_dev == x->own_st.st_dev)
		return 1;
	r = mlimg_export_is_shared(at->st) ? put_shared(x, &merged, entry, at->st, err)
					   : put_entry(x, &merged, entry, false, err);
	return r < 0 || (r == 1 && entry->type == MLIMG_DIR) ? r : 0;
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

/* One of the upper's names of a file, of which none was written yet. */
static int put_first(struct export *x, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	const struct mlimg_view *view = x->cmd->view;
	struct stat st;
	int r = fstatat(view->merged_fd, entry->path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			mlimg_export_is_shared(&st)
		? put_shared(x, &view->trees[0], entry, &st, err)
		: put_entry(x, &view->trees[0], entry, false, err);

	if (r == 0)
		x->firsts[entry->hardlink - 1] = entry->path;
	return r;
}

/* @return 0, 1 when there is none, -errno */
static int put_shown_dir(struct export *x, const char *path, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_entry_reader_done) struct mlimg_entry_reader reader = {.link = ""};
	const struct mlimg_view_tree merged = {.fd = x->cmd->view->merged_fd};
	const char *name;
	mlimg_autoclose int fd = mlimg_open_parent_strict(merged.fd, path, O_RDONLY, &name);
	struct mlimg_entry e;
	int r = fd < 0 ? fd : mlimg_entry_at_read(&reader, fd, name, path, false, &e);

	if (r == -ENOENT || r == -ENOTDIR || (r == 0 && e.type != MLIMG_DIR))
		return 1;
	return r < 0 ? mlimg_err_set(err, r, "read '/%s' in the merged root", path)
		     : put_entry(x, &merged, &e, false, err);
}

/*
 * Where unionfs-fuse hides something, its branch may lack the directories above: without them a layer
 * would have others in their place.
 *
 * @return 0; 1 when nothing there can be hidden, -errno
 */
static int put_above(struct export *x, const char *path, struct mlimg_err *err)
{
	const struct mlimg_manifest *upper = x->cmd->view->trees[0].manifest;
	char above[MLIMG_PATH_MAX + 1];
	int r = 0;

	for (const char *slash = path; r == 0 && (slash = strchr(slash, '/')); slash++) {
		snprintf(above, sizeof(above), "%.*s", (int)(slash - path), path);
		/* Sorted, those of one directory come together. */
		if (mlimg_manifest_find(upper, above) || mlimg_path_is_within(x->above, above))
			continue;
		r = put_shown_dir(x, above, err);
		if (r == 0)
			strcpy(x->above, above);
	}
	return r;
}

/* @return 0; 1: not into this directory; -errno */
static int take(struct export *x, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	const struct mlimg_view *view = x->cmd->view;
	bool is_opaque;
	int r;

	if (entry->hardlink && x->firsts[entry->hardlink - 1])
		return put_link(x, entry, x->firsts[entry->hardlink - 1], err);
	r = mlimg_user_change_of(view, x->cursor, entry, &x->change, err);
	if (r == -ENOENT) {
		export_tell(x, entry->path, "is gone, or something else by now", &x->n_gone);
		return 0;
	}
	if (r < 0 || (x->change.kind == MLIMG_USER_SAME && entry->type != MLIMG_DIR))
		return r;
	if (x->change.kind == MLIMG_USER_RENAMED) {
		r = put_renamed(x, entry, err);
		return r < 0 ? r : 1;
	}
	if (x->change.kind == MLIMG_USER_DELETED) {
		r = put_above(x, entry->path, err);
		if (r)
			return r < 0 ? r : 0;
	}
	is_opaque =
		entry->type == MLIMG_DIR && mlimg_entry_is_opaque(entry) && x->change.beneath.tree;
	r = entry->hardlink ? put_first(x, entry, err)
			    : put_entry(x, &view->trees[0], entry, is_opaque, err);
	return r < 0 || (r == 1 && entry->type == MLIMG_DIR) ? r : 0;
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
	return r < 0 ? r : mlimg_export_out_end(&x->out, err);
}

/* --- the output --- */

static int put_result(const struct export *x, const char *to, struct mlimg_err *err)
{
	char size[MLIMG_CLI_SIZE_TEXT];

	if (x->n_told > EXPORT_TOLD_MAX)
		mlimg_cli_warn(MLIMG_CMD_PROG, "%" PRIu64 " more changed or went while this ran",
			x->n_told - EXPORT_TOLD_MAX);
	if (strcmp(to, "-") == 0 && !mlimg_cmd_has(x->cmd, MLIMG_CMD_DIR))
		return 0;
	if (mlimg_cmd_has(x->cmd, MLIMG_CMD_JSON))
		return mlimg_cmd_put_json(
			json_pack("{s:o,s:I,s:I,s:I,s:I,s:I}", "file", mlimg_cmd_json_path(to),
				"entries", (json_int_t)x->n, "bytes", (json_int_t)x->out.written,
				"changed", (json_int_t)x->n_changed, "gone", (json_int_t)x->n_gone,
				"sockets", (json_int_t)x->n_sockets),
			JSON_COMPACT, err);
	mlimg_cli_put_safe(stdout, to);
	printf(": %" PRIu64 " %s, %s\n", x->n, mlimg_cli_noun(x->n, "entry", "entries"),
		mlimg_cli_format_size(x->out.written, size));
	return 0;
}

static int write_to_stdout(struct export *x, struct mlimg_err *err)
{
	if (isatty(STDOUT_FILENO) == 1)
		return mlimg_err_set(err, 0, "a tar is nothing for a terminal");
	x->out.tar.fd = STDOUT_FILENO;
	return put_all(x, err);
}

static int note_output(struct export *x, const char *path, int fd, struct mlimg_err *err)
{
	return fstat(fd, &x->own_st) < 0 ? mlimg_err_set(err, errno, "write '%s'", path)
					 : mlimg_view_resolve(x->cmd->view, path, x->own, err);
}

static int write_to_file(struct export *x, const char *path, struct mlimg_err *err)
{
	struct mlimg_outfile out = MLIMG_OUTFILE_INIT;
	int r = mlimg_outfile_open(&out, path, mlimg_cmd_has(x->cmd, MLIMG_CMD_FORCE), err);

	if (r == 0)
		r = note_output(x, path, out.fd, err);
	if (r == 0) {
		x->out.tar.fd = out.fd;
		r = put_all(x, err);
	}
	if (r == 0)
		r = mlimg_outfile_commit(&out, err);
	mlimg_outfile_abort(&out);
	return r;
}

static int write_to_dir(struct export *x, const char *path, struct mlimg_err *err)
{
	int r;

	if (geteuid() != 0)
		return mlimg_err_set(err, EPERM, "make a directory with owners and devices");
	r = mlimg_dir_out_new(path, &x->out.dir, err);
	if (r == 0)
		r = note_output(x, path, mlimg_dir_out_fd(x->out.dir), err);
	return r < 0 ? r : put_all(x, err);
}

static int write_to(struct export *x, const char *path, struct mlimg_err *err)
{
	if (mlimg_cmd_has(x->cmd, MLIMG_CMD_DIR))
		return write_to_dir(x, path, err);
	return strcmp(path, "-") == 0 ? write_to_stdout(x, err) : write_to_file(x, path, err);
}

int mlimg_cmd_export(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	mlimg_autofree struct export *x = calloc(1, sizeof(*x));
	const char *to = mlimg_cmd_operand(cmd, 0);
	int r;

	if (mlimg_cmd_has(cmd, MLIMG_CMD_DIR) && mlimg_cmd_has(cmd, MLIMG_CMD_FORCE))
		return mlimg_err_usage(err, "export --dir replaces nothing: without --force");
	if (!x)
		return mlimg_err_set(err, ENOMEM, "export");
	x->cmd = cmd;
	x->cursor = mlimg_view_cursor_new(cmd->view);
	x->block = malloc(EXPORT_WHOLE_MAX);
	/* No more groups than entries. */
	x->firsts = calloc(cmd->view->trees[0].manifest->n_entries + 1, sizeof(*x->firsts));
	if (!x->cursor || !x->block || !x->firsts) {
		r = mlimg_err_set(err, ENOMEM, "export");
	} else {
		mlimg_progress_init(&x->progress, "exporting", 0);
		r = write_to(x, to, err);
		mlimg_progress_end(&x->progress);
	}
	mlimg_export_out_done(&x->out);
	if (r == 0)
		r = put_result(x, to, err);
	mlimg_cmd_warn_skipped(cmd);
	mlimg_export_links_done(&x->links);
	mlimg_view_cursor_free(x->cursor);
	free(x->block);
	free(x->firsts);
	return r;
}
