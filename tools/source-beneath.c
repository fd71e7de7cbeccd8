/* SPDX-License-Identifier: MIT */
#include "tools/source-beneath.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/path.h"
#include "tools/beneath.h"
#include "tools/ext4-data.h"

struct mlimg_copied {
	const struct mlimg_entry *from;
	const struct mlimg_file *file;
};

/* A file on its way. */
struct piece_to {
	const struct mlimg_source_to *to;
	const char *path;
};

static int put_piece(const void *data, uint64_t size, void *ctx, struct mlimg_err *err)
{
	const struct piece_to *p = ctx;
	int r;

	if (data)
		return mlimg_data_write(p->to->data, data, (size_t)size, err);
	r = mlimg_source_spend_hole(p->to, size, p->path, err);
	return r < 0 ? r : mlimg_data_hole(p->to->data, size, err);
}

static int remember(struct mlimg_copier *c, const struct mlimg_entry *from,
	const struct mlimg_file *file, struct mlimg_err *err)
{
	if (c->n_copied == c->room) {
		size_t room = c->room ? 2 * c->room : 256;
		void *more = realloc(c->copied, room * sizeof(*c->copied));

		if (!more)
			return mlimg_err_set(err, ENOMEM, "'%s'", from->path);
		c->copied = more;
		c->room = room;
	}
	c->copied[c->n_copied++] = (struct mlimg_copied){.from = from, .file = file};
	return 0;
}

int mlimg_copier_file(struct mlimg_copier *c, const struct mlimg_entry *from,
	struct mlimg_file *file, struct mlimg_err *err)
{
	struct piece_to p = {.to = c->to, .path = from->path};
	int r = remember(c, from, file, err);

	if (r < 0)
		return r;
	mlimg_data_begin(c->to->data, file, true);
	r = mlimg_beneath_read(c->to->beneath, from, put_piece, &p, err);
	return r < 0 ? r : mlimg_data_end(c->to->data, err);
}

/* An entry that the tree has not got there yet. */
static int put_entry(struct mlimg_copier *c, const struct mlimg_entry *from,
	struct mlimg_node *parent, struct mlimg_node **ret_node, struct mlimg_err *err)
{
	struct mlimg_tree *tree = c->to->tree;
	const char *name = mlimg_path_name(from->path);
	struct mlimg_inode *inode;
	int r;

	*ret_node = NULL;
	inode = from->hardlink ? mlimg_links_find(&c->links, 0, from->hardlink) : NULL;
	if (inode)
		return mlimg_tree_link(tree, parent, name, inode, from->path, err);
	r = mlimg_tree_put(tree, parent, name, from, ret_node, err);
	if (r < 0 || !*ret_node || from->type == MLIMG_DIR)
		return r;
	if (from->hardlink && mlimg_links_add(&c->links, 0, from->hardlink, (*ret_node)->inode) < 0)
		return mlimg_err_set(err, ENOMEM, "'%s'", from->path);
	return from->type == MLIMG_FILE ? mlimg_copier_file(c, from, (*ret_node)->inode->file, err)
					: 0;
}

/* What follows a directory and all that is in it. */
static const struct mlimg_entry *after(const struct mlimg_entry *dir, const struct mlimg_entry *end)
{
	const struct mlimg_entry *e = dir + 1;

	while (e < end && mlimg_path_is_below(e->path, dir->path))
		e++;
	return e;
}

/* The directory in the tree for the parent of @path: the one of the last directory, or above it. */
static struct mlimg_node *parent_of(const char *path, const struct mlimg_entry *from,
	struct mlimg_node *into, struct mlimg_node *last)
{
	size_t depth = 0, have = 0, skip = strlen(from->path);

	for (const char *p = strchr(path + skip + (skip > 0), '/'); p; p = strchr(p + 1, '/'))
		depth++;
	for (const struct mlimg_node *n = last; n != into; n = n->parent)
		have++;
	for (; have > depth; have--)
		last = last->parent;
	return last;
}

int mlimg_copier_dir(struct mlimg_copier *c, const struct mlimg_entry *from,
	struct mlimg_node *into, struct mlimg_err *err)
{
	const struct mlimg_manifest *m = mlimg_beneath_manifest(c->to->beneath);
	const struct mlimg_entry *end = m->entries + m->n_entries, *e = from + 1;
	struct mlimg_node *dir = into;

	while (e < end && mlimg_path_is_below(e->path, from->path)) {
		const char *name = mlimg_path_name(e->path);
		struct mlimg_node *node;
		int r;

		dir = parent_of(e->path, from, into, dir);
		node = mlimg_tree_child(c->to->tree, dir, name, strlen(name));
		if (node && node->is_moved) {
			e = after(e, end);
			continue;
		}
		r = put_entry(c, e, dir, &node, err);
		if (r < 0)
			return r;
		if (e->type == MLIMG_DIR && node)
			dir = node;
		e = e->type == MLIMG_DIR && !node ? after(e, end) : e + 1;
	}
	return 0;
}

int mlimg_copier_check(struct mlimg_copier *c, struct mlimg_err *err)
{
	int r = c->n_copied ? mlimg_data_sync(c->to->data, NULL, err) : 0;

	for (size_t i = 0; r == 0 && i < c->n_copied; i++) {
		const struct mlimg_copied *k = &c->copied[i];

		if (k->from->has_digest &&
			memcmp(k->from->digest, k->file->digest, sizeof(k->file->digest)) != 0)
			r = mlimg_err_refuse(err,
				"'%s' in the layers beneath is not what their manifest says",
				k->from->path);
	}
	return r;
}

void mlimg_copier_done(struct mlimg_copier *c)
{
	mlimg_links_done(&c->links);
	free(c->copied);
}

/*
 * @return whether the directory, or one that it is in, shows nothing of what lies beneath the layer
 */
static bool is_sealed(const struct mlimg_node *node, const struct mlimg_node *top)
{
	while (node != top && !node->sealed)
		node = node->parent;
	return node != top;
}

int mlimg_source_complete(const struct mlimg_source_to *to, struct mlimg_err *err)
{
	char path[MLIMG_PATH_MAX + 1];
	int r = 0;

	if (!to->beneath)
		return 0;
	mlimg_tree_begin_level(to->tree, false);
	for (struct mlimg_node *n = to->top; r == 0 && n; n = mlimg_tree_next(n, to->top)) {
		const struct mlimg_entry *from;

		if (n->inode->type != MLIMG_DIR || !n->inode->is_implied || is_sealed(n, to->top))
			continue;
		from = mlimg_beneath_find(
			to->beneath, mlimg_node_path(n, to->top, path, sizeof(path)));
		if (from && from->type == MLIMG_DIR)
			r = mlimg_tree_set(to->tree, n, from, err);
	}
	return r;
}
