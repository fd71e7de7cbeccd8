/* SPDX-License-Identifier: MIT */
/* `mlimg diff`: what the user has changed, entry by entry of his upper. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/mlimg-cmd.h"
#include "guest-agent/user-change.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/text.h"
#include "libmlimg/unified.h"
#include "libmlimg/whiteout.h"
#include "tools/cli.h"

struct diff {
	struct mlimg_cmd *cmd;
	struct mlimg_view_cursor *cursor;
	struct mlimg_user_change change; /* of the present entry */
	bool is_safe_needed;             /* contents of files go to a terminal */
	struct mlimg_queue *queue;       /* NULL: not known */
};

/* --- text differences --- */

static void text_done(struct mlimg_text *text)
{
	free(text->data);
}

/* Both texts, and what differs. @return enum mlimg_unified_result, -errno */
static int read_difference(
	const struct diff *d, const struct mlimg_entry *entry, struct mlimg_text *ret)
{
	mlimg_autofree char *mine = NULL, *theirs = NULL;
	mlimg_autoclose int fd = -1, beneath_fd = -1;
	struct mlimg_lines from = {0}, to = {0};
	const struct mlimg_view_found *beneath = &d->change.beneath;
	int r;

	fd = mlimg_view_open_file(&d->cmd->view->trees[0], entry->path);
	if (fd < 0)
		return fd;
	r = mlimg_read_fd(fd, entry->path, MLIMG_LINES_SIZE_MAX, &mine, &to.size, NULL);
	beneath_fd = r < 0 ? r : mlimg_view_open_file(beneath->tree, beneath->path);
	if (r == 0 && beneath_fd < 0)
		r = beneath_fd;
	if (r == 0)
		r = mlimg_read_fd(
			beneath_fd, beneath->path, MLIMG_LINES_SIZE_MAX, &theirs, &from.size, NULL);
	if (r < 0)
		return r == -EFBIG ? MLIMG_UNIFIED_NO_TEXT : r;
	from.data = theirs;
	to.data = mine;
	return mlimg_unified_put(&from, &to, mlimg_text_put, ret);
}

/* A stranger's bytes must not steer the terminal; into a file or a pipe they go as they are. */
static void put_line(const struct diff *d, const char *line, size_t size)
{
	char copy[512];

	if (!d->is_safe_needed) {
		fwrite(line, 1, size, stdout);
		return;
	}
	for (size_t at = 0; at < size;) {
		size_t n = 0;

		while (at < size && n + 1 < sizeof(copy) && line[at] && line[at] != '\t' &&
			line[at] != '\n')
			copy[n++] = line[at++];
		copy[n] = '\0';
		mlimg_cli_put_safe(stdout, copy);
		if (at < size && n + 1 < sizeof(copy))
			putchar(line[at++]);
	}
}

static void put_hunks(const struct diff *d, const struct mlimg_text *text)
{
	for (const char *line = text->data, *end; line && *line; line = end) {
		enum mlimg_cmd_color color = *line == '-' ? MLIMG_COLOR_RED
			: *line == '+'                    ? MLIMG_COLOR_GREEN
			: *line == '@'                    ? MLIMG_COLOR_CYAN
							  : MLIMG_COLOR_NONE;

		end = strchr(line, '\n') + 1;
		if (color)
			mlimg_cmd_paint(d->cmd, color);
		put_line(d, line, (size_t)(end - line - 1));
		if (color)
			mlimg_cmd_paint(d->cmd, MLIMG_COLOR_NONE);
		putchar('\n');
	}
}

static int put_text_difference(
	struct diff *d, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	mlimg_cleanup(text_done) struct mlimg_text text = {0};
	int r = read_difference(d, entry, &text);

	if (r == -ENOMEM || text.has_failed)
		return mlimg_err_set(err, ENOMEM, "compare '/%s'", entry->path);
	if (r < 0) {
		printf("  (%s)\n", strerror(-r));
		return 0;
	}
	if (r == MLIMG_UNIFIED_NO_TEXT) {
		puts("  (no texts, or too large to be shown)");
		return 0;
	}
	if (r == MLIMG_UNIFIED_TOO_MUCH) {
		puts("  (too much differs to be shown)");
		return 0;
	}
	mlimg_cmd_paint(d->cmd, MLIMG_COLOR_BOLD);
	fputs("--- ", stdout);
	mlimg_cmd_put_path(d->change.beneath.path);
	printf("\t%s\n+++ ", mlimg_view_owner(d->cmd->view, &d->change.beneath)->label);
	mlimg_cmd_put_path(entry->path);
	printf("\t%s\n", d->cmd->view->trees[0].label);
	mlimg_cmd_paint(d->cmd, MLIMG_COLOR_NONE);
	put_hunks(d, &text);
	return 0;
}

/* --- for people --- */

static enum mlimg_cmd_color color_of(enum mlimg_user_change_kind kind)
{
	switch (kind) {
	case MLIMG_USER_ADDED: return MLIMG_COLOR_GREEN;
	case MLIMG_USER_DELETED: return MLIMG_COLOR_RED;
	case MLIMG_USER_SAME: return MLIMG_COLOR_NONE;
	default: return MLIMG_COLOR_YELLOW;
	}
}

/* Each in the same parentheses. */
static void put_separator(bool *is_first)
{
	fputs(*is_first ? "  (" : "; ", stdout);
	*is_first = false;
}

static void put_details(const struct diff *d, const struct mlimg_entry *entry, bool *is_first)
{
	const struct mlimg_user_change *c = &d->change;
	const struct mlimg_entry *b = &c->beneath.entry;

	if (c->kind == MLIMG_USER_REPLACED) {
		put_separator(is_first);
		printf("%s instead of %s", mlimg_type_name(entry->type), mlimg_type_name(b->type));
	}
	if (c->kind == MLIMG_USER_RENAMED) {
		put_separator(is_first);
		fputs("from ", stdout);
		mlimg_cmd_put_path(c->from);
	}
	if (c->changes & MLIMG_CHANGE_MODE) {
		put_separator(is_first);
		printf("mode %04o, was %04o", entry->mode, b->mode);
	}
	if (c->changes & MLIMG_CHANGE_OWNER) {
		put_separator(is_first);
		printf("owner %" PRIu32 ":%" PRIu32 ", was %" PRIu32 ":%" PRIu32, entry->uid,
			entry->gid, b->uid, b->gid);
	}
	if (c->changes & MLIMG_CHANGE_XATTR) {
		put_separator(is_first);
		fputs("extended attributes", stdout);
	}
	if (c->changes & MLIMG_CHANGE_TIME) {
		put_separator(is_first);
		fputs("time", stdout);
	}
}

static void put_cover(const struct diff *d, bool *is_first)
{
	const struct mlimg_user_change *c = &d->change;

	if (c->beneath.tree && c->kind != MLIMG_USER_RENAMED) {
		put_separator(is_first);
		printf("%s %s", c->kind == MLIMG_USER_DELETED ? "of" : "over",
			mlimg_view_owner(d->cmd->view, &c->beneath)->label);
	} else if (c->kind == MLIMG_USER_DELETED) {
		put_separator(is_first);
		fputs("hides nothing", stdout);
	}
}

static void put_queued(const struct diff *d, const struct mlimg_entry *entry, bool *is_first)
{
	const char *verb = d->queue ? mlimg_cmd_queued(d->queue, entry->path) : NULL;

	if (!verb)
		return;
	put_separator(is_first);
	printf("queued: %s", verb);
}

static int put_line_of(struct diff *d, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	bool is_first = true;

	mlimg_cmd_paint(d->cmd, color_of(d->change.kind));
	printf("%-10s", mlimg_user_change_name(d->change.kind));
	mlimg_cmd_paint(d->cmd, MLIMG_COLOR_NONE);
	putchar(' ');
	mlimg_cmd_put_path(entry->path);
	put_details(d, entry, &is_first);
	put_cover(d, &is_first);
	put_queued(d, entry, &is_first);
	puts(is_first ? "" : ")");
	if (mlimg_cmd_has(d->cmd, MLIMG_CMD_TEXT) && d->change.kind == MLIMG_USER_CHANGED &&
		entry->type == MLIMG_FILE)
		return put_text_difference(d, entry, err);
	return 0;
}

/* --- JSON --- */

static json_t *pack_changes(unsigned changes)
{
	json_t *names = json_array();

	for (unsigned bit = 0; bit < MLIMG_N_CHANGES; bit++)
		if (changes & 1u << bit)
			json_array_append_new(names, json_string(mlimg_change_name(bit)));
	return names;
}

/* @return a string, or null where it is no text */
static json_t *pack_text(const struct diff *d, const struct mlimg_entry *entry)
{
	mlimg_cleanup(text_done) struct mlimg_text text = {0};
	int r = read_difference(d, entry, &text);
	json_t *json =
		r == MLIMG_UNIFIED_WRITTEN && text.data ? json_stringn(text.data, text.size) : NULL;

	return json ? json : json_null();
}

static int put_json(struct diff *d, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	const struct mlimg_user_change *c = &d->change;
	const struct mlimg_view_tree *owner =
		c->beneath.tree ? mlimg_view_owner(d->cmd->view, &c->beneath) : NULL;
	json_t *json = json_pack("{s:o,s:s,s:s,s:o,s:o}", "path", mlimg_cmd_json_path(entry->path),
		"change", mlimg_user_change_name(c->kind), "type",
		c->kind == MLIMG_USER_DELETED ? "whiteout" : mlimg_type_name(entry->type),
		"changes", pack_changes(c->changes), "covers", mlimg_cmd_json_tree(owner));
	const char *verb = d->queue ? mlimg_cmd_queued(d->queue, entry->path) : NULL;

	if (verb)
		json_object_set_new(json, "queued", json_string(verb));
	if (c->kind == MLIMG_USER_RENAMED)
		json_object_set_new(json, "from", mlimg_cmd_json_path(c->from));
	if (entry->type == MLIMG_FILE)
		json_object_set_new(
			json, "size_bytes", json_integer((json_int_t)entry->size_bytes));
	if (mlimg_cmd_has(d->cmd, MLIMG_CMD_TEXT) && c->kind == MLIMG_USER_CHANGED &&
		entry->type == MLIMG_FILE)
		json_object_set_new(json, "text", pack_text(d, entry));
	return mlimg_cmd_put_json(json, JSON_COMPACT, err);
}

/* --- all --- */

static int put_entry(struct diff *d, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	struct mlimg_err why = MLIMG_ERR_INIT;
	int r = mlimg_user_change_of(d->cmd->view, d->cursor, entry, &d->change, &why);

	/* It has gone since the upper was read. */
	if (r == -ENOENT)
		return 0;
	if (r < 0 && r != -ENOMEM) {
		mlimg_cli_warn(MLIMG_CMD_PROG, "not looked at: %s", why.text);
		d->cmd->has_failed = true;
		return 0;
	}
	if (r < 0)
		return mlimg_err_set(err, ENOMEM, "compare '/%s'", entry->path);
	if (d->change.kind == MLIMG_USER_SAME && entry->type == MLIMG_DIR &&
		!mlimg_cmd_has(d->cmd, MLIMG_CMD_ALL))
		return 0;
	return mlimg_cmd_has(d->cmd, MLIMG_CMD_JSON) ? put_json(d, entry, err)
						     : put_line_of(d, entry, err);
}

/* What is above the path and hides all of it: then it is that which was changed. */
static int put_above(
	struct diff *d, const struct mlimg_manifest *upper, const char *path, struct mlimg_err *err)
{
	char above[MLIMG_PATH_MAX + 1];

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		const struct mlimg_entry *e;

		snprintf(above, sizeof(above), "%.*s", (int)(slash - path), path);
		e = mlimg_manifest_find(upper, above);
		if (e && e->type != MLIMG_DIR)
			return put_entry(d, e, err);
	}
	return 0;
}

static int put_all(struct diff *d, const char *path, struct mlimg_err *err)
{
	const struct mlimg_manifest *upper = d->cmd->view->trees[0].manifest;
	int r = put_above(d, upper, path, err);

	for (size_t i = mlimg_manifest_first_from(upper, path); i < upper->n_entries && r == 0;
		i++) {
		const struct mlimg_entry *e = &upper->entries[i];

		if (!mlimg_path_is_within(e->path, path))
			break;
		r = put_entry(d, e, err);
		if (r == 0 && ferror(stdout))
			r = mlimg_err_set(err, errno, "write to standard output");
	}
	return r;
}

int mlimg_cmd_diff(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	mlimg_autofree struct diff *d = calloc(1, sizeof(*d));
	const char *typed = mlimg_cmd_operand(cmd, 0);
	char path[MLIMG_PATH_MAX + 1] = "";
	int r = typed ? mlimg_view_resolve(cmd->view, typed, path, err) : 0;

	if (r < 0)
		return r;
	if (d)
		*d = (struct diff){.cmd = cmd,
			.cursor = mlimg_view_cursor_new(cmd->view),
			.is_safe_needed = isatty(STDOUT_FILENO) == 1};
	if (!d || !d->cursor)
		return mlimg_err_set(err, ENOMEM, "compare");
	d->queue = mlimg_cmd_queue_if_known(cmd);
	r = put_all(d, path, err);
	mlimg_queue_free(d->queue);
	mlimg_view_cursor_free(d->cursor);
	mlimg_cmd_warn_skipped(cmd);
	return r;
}
