/* SPDX-License-Identifier: MIT */
#include "tools/du.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "tools/idmap.h"

struct counter {
	const struct mlimg_itree *tree;
	struct mlimg_du du;
	size_t rows_room;
	struct mlimg_du_row *open; /* the directories that the walk is in; paths are not set */
	size_t *path_ends;         /* lengths of their paths */
	size_t n_open, open_room, ends_room;
	char path[MLIMG_PATH_MAX + 1]; /* of the deepest one */
	struct mlimg_idmap seen;
	uint64_t depth_max;
};

static int no_memory(struct mlimg_err *err)
{
	return mlimg_err_set(err, ENOMEM, "add up sizes");
}

/* A file of holes may claim any size. */
static void add_size(uint64_t *sum, uint64_t more)
{
	if (!mlimg_add_fits(*sum, more, sum) || *sum > INT64_MAX)
		*sum = INT64_MAX;
}

/* The deepest directory is complete: it gets a row, and belongs to the one above. */
static int close_deepest(struct counter *c, struct mlimg_err *err)
{
	struct mlimg_du_row *row = &c->open[--c->n_open];
	size_t end = c->path_ends[c->n_open];

	if (c->n_open) {
		add_size(&row[-1].used_bytes, row->used_bytes);
		add_size(&row[-1].size_bytes, row->size_bytes);
		row[-1].n_entries += row->n_entries;
	}
	if (c->n_open > c->depth_max)
		return 0;
	row->path = mlimg_arena_strndup(c->du.arena, c->path, end);
	if (!row->path ||
		mlimg_buffer_reserve(
			&c->du.rows, &c->rows_room, (c->du.n_rows + 1) * sizeof(*c->du.rows)) < 0)
		return no_memory(err);
	c->du.rows[c->du.n_rows++] = *row;
	return 0;
}

static int open_row(struct counter *c, const char *path, struct mlimg_err *err)
{
	if (mlimg_buffer_reserve(&c->open, &c->open_room, (c->n_open + 1) * sizeof(*c->open)) < 0 ||
		mlimg_buffer_reserve(
			&c->path_ends, &c->ends_room, (c->n_open + 1) * sizeof(*c->path_ends)) < 0)
		return no_memory(err);
	c->path_ends[c->n_open] = strlen(path);
	memcpy(c->path, path, strlen(path) + 1);
	c->open[c->n_open++] = (struct mlimg_du_row){0};
	return 0;
}

static int count_entry(const struct mlimg_entry *entry, const struct mlimg_itree_node *node,
	void *ctx, struct mlimg_err *err)
{
	struct counter *c = ctx;
	struct mlimg_du_row *row;
	uint64_t used;
	uint32_t unused;
	int ret = 0;

	for (size_t depth = mlimg_path_depth(entry->path); ret == 0 && c->n_open > depth;)
		ret = close_deepest(c, err);
	if (ret == 0 && (entry->type == MLIMG_DIR || !entry->path[0]))
		ret = open_row(c, entry->path, err);
	if (ret < 0)
		return ret;
	row = &c->open[c->n_open - 1];
	row->n_entries++;
	if (node->type != MLIMG_DIR && node->nlink > 1) {
		if (mlimg_idmap_find(&c->seen, node->ino, &unused))
			return 0;
		if (mlimg_idmap_set(&c->seen, node->ino, 1) < 0)
			return no_memory(err);
	}
	ret = mlimg_itree_used(c->tree, node, &used, err);
	if (ret == 0) {
		add_size(&row->used_bytes, used);
		add_size(&row->size_bytes, entry->size_bytes);
	}
	return ret;
}

static int by_size(const void *a, const void *b)
{
	const struct mlimg_du_row *x = a, *y = b;

	if (x->used_bytes != y->used_bytes)
		return x->used_bytes > y->used_bytes ? -1 : 1;
	return mlimg_manifest_path_cmp(x->path, y->path);
}

int mlimg_du(const struct mlimg_itree *tree, const struct mlimg_itree_node *root,
	uint64_t depth_max, bool is_sorted, struct mlimg_du *ret_du, struct mlimg_err *err)
{
	mlimg_autofree struct counter *c = calloc(1, sizeof(*c));
	int ret;

	if (c)
		*c = (struct counter){.tree = tree, .depth_max = depth_max};
	if (!c || !(c->du.arena = mlimg_arena_new()))
		return no_memory(err);
	ret = mlimg_itree_walk(tree, root, count_entry, c, err);
	while (ret == 0 && c->n_open)
		ret = close_deepest(c, err);
	free(c->open);
	free(c->path_ends);
	mlimg_idmap_done(&c->seen);
	if (ret < 0) {
		mlimg_du_done(&c->du);
		return ret;
	}
	if (is_sorted)
		qsort(c->du.rows, c->du.n_rows, sizeof(*c->du.rows), by_size);
	*ret_du = c->du;
	return 0;
}

void mlimg_du_done(struct mlimg_du *du)
{
	free(du->rows);
	mlimg_arena_free(du->arena);
	*du = (struct mlimg_du){0};
}
