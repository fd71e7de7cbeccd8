/* SPDX-License-Identifier: MIT */
/*
 * Which entries are extracted, hard links, and what becomes of failures. Where they go:
 * extract-dir.c, extract-tar.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/patch.h"
#include "libmlimg/whiteout.h"
#include "tools/extract-impl.h"

static int no_memory(struct mlimg_err *err)
{
	return mlimg_err_set(err, ENOMEM, "extract");
}

int mlimg_extract_normalize(char *path, struct mlimg_err *err)
{
	char *to = path;

	for (const char *from = path; *from;) {
		size_t n = strcspn(from, "/");

		if (n == 2 && memcmp(from, "..", 2) == 0)
			return mlimg_err_usage(err, "'..' in a path to be extracted");
		if (n && !(n == 1 && *from == '.')) {
			if (to != path)
				*to++ = '/';
			memmove(to, from, n);
			to += n;
		}
		from += n + (from[n] == '/');
	}
	*to = '\0';
	return 0;
}

/* Whether `path` is `above` or below it. */
static bool is_within(const char *path, const char *above)
{
	size_t n = strlen(above);

	return n == 0 || (strncmp(path, above, n) == 0 && (path[n] == '\0' || path[n] == '/'));
}

static void select_entry(
	struct extract *x, const char *path, bool *ret_is_selected, bool *ret_is_leading)
{
	const struct mlimg_extract_options *o = x->options;

	*ret_is_selected = o->n_paths == 0;
	*ret_is_leading = false;
	for (size_t i = 0; i < o->n_paths; i++) {
		if (is_within(path, o->paths[i])) {
			*ret_is_selected = true;
			x->was_found[i] |= strcmp(path, o->paths[i]) == 0;
		} else if (is_within(o->paths[i], path)) {
			*ret_is_leading = true;
		}
	}
	*ret_is_leading &= !*ret_is_selected;
}

int extract_note(
	struct extract *x, const char *path, const struct mlimg_err *failure, struct mlimg_err *err)
{
	struct mlimg_extract_result *result = x->result;
	struct mlimg_extract_failure *f;

	result->is_refused |= failure->kind == MLIMG_ERR_REFUSED;
	if (result->n_failed++ >= MLIMG_EXTRACT_NAMED_MAX)
		return 0;
	f = &result->failures[result->n_failed - 1];
	f->path = strdup(path);
	f->reason = strdup(failure->text);
	return f->path && f->reason ? 0 : no_memory(err);
}

bool extract_takes_xattr(struct extract *x, const struct mlimg_xattr *xattr)
{
	const char *name = xattr->name;

	if (mlimg_xattr_is_overlay(name) &&
		!(strcmp(name, MLIMG_XATTR_OPAQUE) == 0 && xattr->size == 1 &&
			xattr->value[0] == 'y')) {
		x->result->n_overlay++;
		return false;
	}
	return x->options->keeps_owners ||
		(strncmp(name, "trusted.", 8) != 0 && strncmp(name, "security.", 9) != 0);
}

struct reader {
	struct extract *x;
	mlimg_ext4_data_fn *fn;
	void *ctx;
};

static int pass_piece(const void *data, uint64_t size, void *ctx, struct mlimg_err *err)
{
	const struct reader *r = ctx;
	int ret = r->fn(data, size, r->ctx, err);

	r->x->result->n_bytes += ret < 0 ? 0 : size;
	mlimg_progress_update(&r->x->progress, r->x->result->n_bytes);
	return ret;
}

int extract_read(struct extract *x, const struct mlimg_itree_node *node, mlimg_ext4_data_fn *fn,
	void *ctx, struct mlimg_err *err)
{
	struct reader reader = {.x = x, .fn = fn, .ctx = ctx};

	return mlimg_itree_read(x->tree, node, pass_piece, &reader, err);
}

static bool would_go_on_failing(int ret)
{
	return ret == -ENOMEM || ret == -ENOSPC || ret == -EDQUOT || ret == -EPIPE ||
		ret == -EROFS || ret == -ENOMEDIUM /* a layer was not given */;
}

static int keep_first(struct extract *x, const struct mlimg_entry *entry,
	const struct mlimg_itree_node *node, const struct extract_first *made,
	struct mlimg_err *err)
{
	struct extract_first first = *made;

	first.path = mlimg_arena_strndup(x->arena, entry->path, strlen(entry->path));
	if (!first.path ||
		mlimg_buffer_reserve(&x->firsts, &x->room, (x->n_firsts + 1) * sizeof(*x->firsts)) <
			0 ||
		mlimg_idmap_set(&x->seen, node->ino, (uint32_t)x->n_firsts) < 0)
		return no_memory(err);
	x->firsts[x->n_firsts++] = first;
	return 0;
}

/* What is a reference in a patch would be written as zeros. */
static int check_contents(
	const struct extract *x, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	char buf[MLIMG_REDIRECT_MAX];
	const char *target;
	int ret;

	if (!x->options->is_patch || !mlimg_entry_has_reference(entry))
		return 0;
	ret = mlimg_reference_path(entry, &target, buf, err);
	if (ret < 0)
		return ret;
	return mlimg_err_set(err, 0, "its contents lie beneath this patch, at '%.200s'", target);
}

static int extract_entry(const struct mlimg_entry *entry, const struct mlimg_itree_node *node,
	void *ctx, struct mlimg_err *err)
{
	struct extract *x = ctx;
	bool has_names = node->type != MLIMG_DIR && node->nlink > 1;
	bool is_selected, is_leading, is_known;
	struct mlimg_err failure = MLIMG_ERR_INIT;
	struct extract_first made = {0};
	uint32_t first = 0;
	int ret;

	select_entry(x, entry->path, &is_selected, &is_leading);
	if (!is_selected && (!is_leading || entry->type != MLIMG_DIR))
		return 1;
	is_known = has_names && mlimg_idmap_find(&x->seen, node->ino, &first);
	ret = check_contents(x, entry, &failure);
	if (ret == 0)
		ret = x->sink->entry(x, entry, node, is_leading,
			is_known ? &x->firsts[first] : NULL, &made, &failure);
	if (ret == 0) {
		x->result->n_entries += !is_leading;
		return has_names && !is_known ? keep_first(x, entry, node, &made, err) : 0;
	}
	if (x->is_ending || would_go_on_failing(ret)) {
		*err = failure;
		return mlimg_err_wrap(err, ret, "%.200s", entry->path[0] ? entry->path : ".");
	}
	ret = extract_note(x, entry->path, &failure, err);
	return ret < 0 ? ret : 1;
}

static int note_missing(struct extract *x, struct mlimg_err *err)
{
	int ret = 0;

	for (size_t i = 0; i < x->options->n_paths && ret == 0; i++) {
		struct mlimg_err failure = MLIMG_ERR_INIT;

		if (x->was_found[i])
			continue;
		if (mlimg_err_set(&failure, ENOENT, "find (links are not followed)") < 0)
			ret = extract_note(x, x->options->paths[i], &failure, err);
	}
	return ret;
}

static int run(struct extract *x, struct mlimg_err *err)
{
	struct mlimg_itree_room room;
	struct mlimg_itree_node root;
	int ret = mlimg_itree_lookup(x->tree, "", false, &room, &root, err);

	x->was_found = calloc(x->options->n_paths + 1, sizeof(*x->was_found));
	x->arena = mlimg_arena_new();
	if (ret == 0 && (!x->was_found || !x->arena))
		ret = no_memory(err);
	if (ret == 0)
		ret = x->sink->begin(x, err);
	if (ret < 0)
		return x->out ? x->sink->end(x, ret, err) : ret;
	mlimg_progress_init(&x->progress, "extracting", x->options->total_bytes);
	ret = mlimg_itree_walk(x->tree, &root, extract_entry, x, err);
	if (ret == 0)
		ret = note_missing(x, err);
	mlimg_progress_end(&x->progress);
	return x->sink->end(x, ret, err);
}

int mlimg_extract(const struct mlimg_itree *tree, const struct mlimg_extract_options *options,
	struct mlimg_extract_result *ret_result, struct mlimg_err *err)
{
	struct extract x = {.tree = tree,
		.options = options,
		.result = ret_result,
		.sink = options->directory ? &extract_dir_sink : &extract_tar_sink};
	int ret;

	*ret_result = (struct mlimg_extract_result){0};
	ret = run(&x, err);
	mlimg_idmap_done(&x.seen);
	mlimg_arena_free(x.arena);
	free(x.firsts);
	free(x.was_found);
	return ret;
}

void mlimg_extract_result_done(struct mlimg_extract_result *result)
{
	for (size_t i = 0; i < MLIMG_EXTRACT_NAMED_MAX; i++) {
		free(result->failures[i].path);
		free(result->failures[i].reason);
	}
}
