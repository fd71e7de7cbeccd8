/* SPDX-License-Identifier: MIT */
/* mlimg-inspect tree. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/patch.h"
#include "libmlimg/path.h"
#include "libmlimg/whiteout.h"
#include "tools/cli.h"
#include "tools/inspect-commands.h"
#include "tools/inspect-print.h"

/*
 * Whether an entry is the last one of its directory shows only after all that is below it: so lines
 * are kept.
 */
struct line {
	const char *text;
	size_t depth;
};

struct drawing {
	struct mlimg_arena *arena;
	struct line *lines;
	size_t n_lines, room;
	const char *top;
	uint64_t depth_max, n_dirs, n_others;
	size_t n_open; /* directories that the JSON is in */
	bool is_json, has_sibling;
};

static int no_memory(struct mlimg_err *err)
{
	return mlimg_err_set(err, ENOMEM, "draw the tree");
}

static const char *name_of(const struct drawing *d, const struct mlimg_entry *entry)
{
	return entry->path[0] ? mlimg_path_name(entry->path) : d->top;
}

/* What it is, where the name alone does not say so; whiteouts and opaque directories above all. */
static void describe(const struct mlimg_entry *entry, char *text, size_t size)
{
	char escaped[MLIMG_ESCAPED_SIZE];

	text[0] = '\0';
	if (mlimg_entry_is_whiteout(entry))
		snprintf(text, size, " (whiteout)");
	else if (entry->type == MLIMG_DIR)
		snprintf(text, size, "/%s", mlimg_entry_is_opaque(entry) ? " (opaque)" : "");
	else if (entry->type == MLIMG_LINK)
		snprintf(text, size, " -> %s", mlimg_manifest_escape(entry->link, escaped));
	else if (entry->type == MLIMG_CHAR || entry->type == MLIMG_BLOCK)
		snprintf(text, size, " (%s %u, %u)", mlimg_type_name(entry->type), entry->dev_major,
			entry->dev_minor);
	else if (entry->type == MLIMG_FILE && mlimg_entry_has_reference(entry))
		snprintf(text, size, " (contents beneath)");
	else if (entry->type != MLIMG_FILE)
		snprintf(text, size, " (%s)", mlimg_type_name(entry->type));
}

static int keep_line(struct drawing *d, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	char text[2 * MLIMG_ESCAPED_SIZE + 8], escaped[MLIMG_ESCAPED_SIZE];
	char what[MLIMG_ESCAPED_SIZE + 8];
	const char *kept;

	describe(entry, what, sizeof(what));
	snprintf(text, sizeof(text), "%s%s", mlimg_manifest_escape(name_of(d, entry), escaped),
		what);
	kept = mlimg_arena_strndup(d->arena, text, strlen(text));
	if (!kept ||
		mlimg_buffer_reserve(&d->lines, &d->room, (d->n_lines + 1) * sizeof(*d->lines)) < 0)
		return no_memory(err);
	d->lines[d->n_lines++] =
		(struct line){.text = kept, .depth = mlimg_path_depth(entry->path)};
	return 0;
}

static void close_json(struct drawing *d, size_t depth)
{
	for (; d->n_open > depth; d->n_open--) {
		fputs("]}", stdout);
		d->has_sibling = true;
	}
}

/* Each line is an object; one of a directory stays open for its "children". */
static int put_json(struct drawing *d, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	json_t *object = mlimg_inspect_entry_json(entry, name_of(d, entry));
	mlimg_autofree char *text = NULL;

	if (object && json_object_set(object, "name", json_object_get(object, "path")) == 0 &&
		json_object_del(object, "path") == 0)
		text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	if (!text)
		return no_memory(err);
	close_json(d, mlimg_path_depth(entry->path));
	if (entry->type == MLIMG_DIR)
		text[strlen(text) - 1] = '\0'; /* the closing brace */
	printf("%s%s", d->has_sibling ? ",\n" : d->n_open ? "\n" : "", text);
	d->has_sibling = entry->type != MLIMG_DIR;
	if (entry->type == MLIMG_DIR) {
		fputs(",\"children\":[", stdout);
		d->n_open++;
	}
	return 0;
}

static int draw_entry(const struct mlimg_entry *entry, const struct mlimg_itree_node *node,
	void *ctx, struct mlimg_err *err)
{
	struct drawing *d = ctx;
	bool is_dir = entry->type == MLIMG_DIR;
	int ret = d->is_json ? put_json(d, entry, err) : keep_line(d, entry, err);

	if (entry->path[0]) {
		d->n_dirs += is_dir;
		d->n_others += !is_dir;
	}
	if (ret == 0)
		ret = mlimg_inspect_check_stdout(err);
	return ret < 0 ? ret : mlimg_path_depth(entry->path) >= d->depth_max;
}

/* From the end: a depth has more to come when a later line of the same directory has been seen. */
static int find_last(const struct drawing *d, bool **ret_is_last)
{
	mlimg_autofree bool *is_last = calloc(d->n_lines + 1, sizeof(*is_last));
	mlimg_autofree bool *has_later = calloc(MLIMG_PATH_MAX + 1, sizeof(*has_later));

	if (!is_last || !has_later)
		return -ENOMEM;
	for (size_t i = d->n_lines; i-- > 0;) {
		size_t depth = d->lines[i].depth;

		is_last[i] = !has_later[depth];
		has_later[depth] = true;
		has_later[depth + 1] = false;
	}
	*ret_is_last = mlimg_steal(&is_last);
	return 0;
}

static int put_lines(const struct drawing *d, struct mlimg_err *err)
{
	mlimg_autofree bool *is_last = NULL;
	mlimg_autofree bool *has_more = calloc(MLIMG_PATH_MAX + 1, sizeof(*has_more));

	if (!has_more || find_last(d, &is_last) < 0)
		return no_memory(err);
	for (size_t i = 0; i < d->n_lines; i++) {
		const struct line *line = &d->lines[i];

		has_more[line->depth] = !is_last[i];
		for (size_t depth = 1; depth < line->depth; depth++)
			fputs(has_more[depth] ? "|   " : "    ", stdout);
		if (line->depth)
			fputs(is_last[i] ? "`-- " : "|-- ", stdout);
		puts(line->text);
	}
	printf("\n%" PRIu64 " %s, %" PRIu64 " %s\n", d->n_dirs,
		mlimg_cli_noun(d->n_dirs, "directory", "directories"), d->n_others,
		mlimg_cli_noun(d->n_others, "other entry", "other entries"));
	return 0;
}

int mlimg_inspect_tree(struct mlimg_inspect *in, struct mlimg_err *err)
{
	const char *path = mlimg_inspect_operand(in, 0);
	struct drawing d = {
		.top = path ? path : ".", .is_json = mlimg_inspect_has(in, MLIMG_INSPECT_JSON)};
	struct mlimg_itree_room room;
	struct mlimg_itree_node node;
	int ret = mlimg_inspect_depth(in, &d.depth_max, err);

	if (ret == 0)
		ret = mlimg_itree_lookup(&in->tree, path ? path : "", false, &room, &node, err);
	if (ret < 0)
		return ret;
	d.arena = mlimg_arena_new();
	ret = d.arena ? mlimg_itree_walk(&in->tree, &node, draw_entry, &d, err) : no_memory(err);
	if (ret == 0 && d.is_json) {
		close_json(&d, 0);
		putchar('\n');
	} else if (ret == 0) {
		ret = put_lines(&d, err);
	}
	mlimg_arena_free(d.arena);
	free(d.lines);
	return ret;
}
