/* SPDX-License-Identifier: MIT */
#include "tools/source-cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/path.h"

#define LINKS_MIN 256 /* slots; a power of two */

struct mlimg_link {
	uint64_t a, b;
	struct mlimg_inode *inode; /* NULL: a free slot */
};

static size_t slot_of(const struct mlimg_links *l, uint64_t a, uint64_t b)
{
	size_t i = (size_t)((b ^ a << 16) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (l->n_slots - 1);

	while (l->slots[i].inode && (l->slots[i].a != a || l->slots[i].b != b))
		i = (i + 1) & (l->n_slots - 1);
	return i;
}

struct mlimg_inode *mlimg_links_find(const struct mlimg_links *l, uint64_t a, uint64_t b)
{
	return l->n_slots ? l->slots[slot_of(l, a, b)].inode : NULL;
}

static bool grow(struct mlimg_links *l)
{
	struct mlimg_links bigger = {
		.n_slots = l->n_slots ? 2 * l->n_slots : LINKS_MIN, .n_links = l->n_links};

	if (2 * (l->n_links + 1) <= l->n_slots)
		return true;
	bigger.slots = calloc(bigger.n_slots, sizeof(*bigger.slots));
	if (!bigger.slots)
		return false;
	for (size_t i = 0; i < l->n_slots; i++)
		if (l->slots[i].inode)
			bigger.slots[slot_of(&bigger, l->slots[i].a, l->slots[i].b)] = l->slots[i];
	free(l->slots);
	*l = bigger;
	return true;
}

int mlimg_links_add(struct mlimg_links *l, uint64_t a, uint64_t b, struct mlimg_inode *inode)
{
	if (!grow(l))
		return -ENOMEM;
	l->slots[slot_of(l, a, b)] = (struct mlimg_link){.a = a, .b = b, .inode = inode};
	l->n_links++;
	return 0;
}

void mlimg_links_done(struct mlimg_links *l)
{
	free(l->slots);
	*l = (struct mlimg_links){0};
}

/* The directory that holds the entry. Entries come in order, so it is the last one or above it. */
static struct mlimg_node *parent_of(struct mlimg_cursor *c, const char *path)
{
	const struct mlimg_node *top = c->to->top;
	size_t depth = 0, have = 0;

	for (const char *p = strchr(path, '/'); p; p = strchr(p + 1, '/'))
		depth++;
	for (const struct mlimg_node *n = c->dir; n != top; n = n->parent)
		have++;
	for (; have > depth; have--)
		c->dir = c->dir->parent;
	return c->dir;
}

/* A further name of a file that is there already, or the first of several. */
static int put_linked(struct mlimg_cursor *c, struct mlimg_node *parent, const char *name,
	const struct mlimg_entry *entry, const struct mlimg_identity *id,
	struct mlimg_node **ret_node, struct mlimg_err *err)
{
	struct mlimg_inode *inode = mlimg_links_find(&c->links, id->a, id->b);
	int r;

	if (inode)
		return mlimg_tree_link(c->to->tree, parent, name, inode, entry->path, err);
	r = mlimg_tree_put(c->to->tree, parent, name, entry, ret_node, err);
	if (r < 0 || !*ret_node)
		return r;
	r = mlimg_links_add(&c->links, id->a, id->b, (*ret_node)->inode);
	return r < 0 ? mlimg_err_set(err, r, "read '%s'", entry->path) : 0;
}

int mlimg_cursor_put(struct mlimg_cursor *c, const struct mlimg_entry *entry,
	const struct mlimg_identity *id, struct mlimg_node **ret_node, struct mlimg_err *err)
{
	const char *name = mlimg_path_name(entry->path);
	struct mlimg_node *parent;
	int r;

	*ret_node = NULL;
	if (!entry->path[0])
		return mlimg_tree_set(c->to->tree, c->to->top, entry, err);
	parent = parent_of(c, entry->path);
	if (entry->type != MLIMG_DIR && id->is_shared)
		return put_linked(c, parent, name, entry, id, ret_node, err);
	r = mlimg_tree_put(c->to->tree, parent, name, entry, ret_node, err);
	if (r < 0 || entry->type != MLIMG_DIR)
		return r;
	if (!*ret_node)
		return 1;
	c->dir = *ret_node;
	return 0;
}
