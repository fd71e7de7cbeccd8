/* SPDX-License-Identifier: MIT */
#include "tools/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"

#define TABLE_MIN 1024 /* slots; a power of two */

/* All nodes by parent and name: open addressing, at most two thirds full. */
struct table {
	struct mlimg_node **slots;
	size_t n_slots, n_used;
};

struct mlimg_tree {
	enum mlimg_kind kind;
	struct mlimg_arena *arena;
	struct table table;
	struct mlimg_node *root;
	uint64_t n_nodes;
};

static void *alloc_zeroed(struct mlimg_tree *tree, size_t size)
{
	void *p = mlimg_arena_alloc(tree->arena, size);

	return p ? memset(p, 0, size) : NULL;
}

/* FNV-1a over the name, begun with the parent's address. */
static size_t hash_of(const struct mlimg_node *parent, const char *name, size_t size)
{
	uint64_t h = UINT64_C(14695981039346656037) ^ (uintptr_t)parent;

	for (size_t i = 0; i < size; i++)
		h = (h ^ (uint8_t)name[i]) * UINT64_C(1099511628211);
	return (size_t)(h ^ h >> 29);
}

static size_t table_slot(
	const struct table *t, const struct mlimg_node *parent, const char *name, size_t size)
{
	size_t i = hash_of(parent, name, size) & (t->n_slots - 1);

	while (t->slots[i] &&
		(t->slots[i]->parent != parent || strncmp(t->slots[i]->name, name, size) != 0 ||
			t->slots[i]->name[size]))
		i = (i + 1) & (t->n_slots - 1);
	return i;
}

static bool table_grow(struct table *t)
{
	struct table bigger = {.n_slots = t->n_slots ? 2 * t->n_slots : TABLE_MIN};

	if (3 * (t->n_used + 1) <= 2 * t->n_slots)
		return true;
	bigger.slots = calloc(bigger.n_slots, sizeof(*bigger.slots));
	if (!bigger.slots)
		return false;
	for (size_t i = 0; i < t->n_slots; i++) {
		struct mlimg_node *n = t->slots[i];

		if (n)
			bigger.slots[table_slot(&bigger, n->parent, n->name, strlen(n->name))] = n;
	}
	bigger.n_used = t->n_used;
	free(t->slots);
	*t = bigger;
	return true;
}

struct mlimg_node *mlimg_tree_child(struct mlimg_tree *tree, const struct mlimg_node *parent,
	const char *name, size_t name_size)
{
	const struct table *t = &tree->table;

	return t->n_slots ? t->slots[table_slot(t, parent, name, name_size)] : NULL;
}

static struct mlimg_node *node_new(
	struct mlimg_tree *tree, struct mlimg_node *parent, const char *name)
{
	size_t size = strlen(name);
	struct mlimg_node *node = alloc_zeroed(tree, sizeof(*node) + size + 1);

	if (!node || !table_grow(&tree->table))
		return NULL;
	memcpy(node->name, name, size);
	node->parent = parent;
	tree->table.slots[table_slot(&tree->table, parent, name, size)] = node;
	tree->table.n_used++;
	tree->n_nodes++;
	if (parent) {
		node->next = parent->inode->entries;
		parent->inode->entries = node;
	}
	return node;
}

int mlimg_tree_new(enum mlimg_kind kind, struct mlimg_tree **ret_tree, struct mlimg_err *err)
{
	struct mlimg_tree *tree = calloc(1, sizeof(*tree));

	if (!tree)
		return mlimg_err_set(err, ENOMEM, "tree");
	tree->kind = kind;
	tree->arena = mlimg_arena_new();
	if (tree->arena)
		tree->root = node_new(tree, NULL, "");
	if (tree->root)
		tree->root->inode = alloc_zeroed(tree, sizeof(*tree->root->inode));
	if (!tree->root || !tree->root->inode) {
		mlimg_tree_free(tree);
		return mlimg_err_set(err, ENOMEM, "tree");
	}
	tree->root->inode->type = MLIMG_DIR;
	tree->root->inode->mode = 0755;
	tree->root->inode->nlink = 1;
	*ret_tree = tree;
	return 0;
}

void mlimg_tree_free(struct mlimg_tree *tree)
{
	if (!tree)
		return;
	for (size_t i = 0; i < tree->table.n_slots; i++) {
		const struct mlimg_node *n = tree->table.slots[i];

		if (n && n->inode && n->inode->type == MLIMG_FILE) {
			free(n->inode->file->extents);
			n->inode->file->extents = NULL; /* its other names see it freed */
		}
	}
	mlimg_arena_free(tree->arena);
	free(tree->table.slots);
	free(tree);
}

struct mlimg_node *mlimg_tree_root(struct mlimg_tree *tree)
{
	return tree->root;
}

static int xattr_cmp(const void *a, const void *b)
{
	return strcmp(((const struct mlimg_xattr *)a)->name, ((const struct mlimg_xattr *)b)->name);
}

static bool copy_xattrs(
	struct mlimg_tree *tree, struct mlimg_inode *inode, const struct mlimg_entry *entry)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < entry->n_xattrs; i++)
		n += mlimg_source_keeps_xattr(entry->xattrs[i].name);
	inode->n_xattrs = 0;
	inode->xattrs = n ? alloc_zeroed(tree, n * sizeof(*inode->xattrs)) : NULL;
	if (n && !inode->xattrs)
		return false;
	for (uint32_t i = 0; i < entry->n_xattrs; i++) {
		const struct mlimg_xattr *from = &entry->xattrs[i];
		struct mlimg_xattr *to = &inode->xattrs[inode->n_xattrs];

		if (!mlimg_source_keeps_xattr(from->name))
			continue;
		to->name = mlimg_arena_strndup(tree->arena, from->name, strlen(from->name));
		to->value = alloc_zeroed(tree, from->size + 1);
		to->size = from->size;
		if (!to->name || !to->value)
			return false;
		if (from->size)
			memcpy(to->value, from->value, from->size);
		inode->n_xattrs++;
	}
	if (n)
		qsort(inode->xattrs, n, sizeof(*inode->xattrs), xattr_cmp);
	return true;
}

static bool copy_attributes(
	struct mlimg_tree *tree, struct mlimg_inode *inode, const struct mlimg_entry *entry)
{
	inode->type = entry->type;
	inode->mode = entry->mode;
	inode->uid = entry->uid;
	inode->gid = entry->gid;
	inode->mtime_s = entry->mtime_s;
	inode->mtime_ns = entry->mtime_ns;
	inode->is_implied = false;
	if (entry->type == MLIMG_CHAR || entry->type == MLIMG_BLOCK) {
		inode->dev[0] = entry->dev_major;
		inode->dev[1] = entry->dev_minor;
	}
	if (entry->type == MLIMG_FILE)
		inode->file = alloc_zeroed(tree, sizeof(*inode->file));
	if (entry->type == MLIMG_LINK)
		inode->link = mlimg_arena_strndup(tree->arena, entry->link, strlen(entry->link));
	if ((entry->type == MLIMG_FILE && !inode->file) ||
		(entry->type == MLIMG_LINK && !inode->link))
		return false;
	return copy_xattrs(tree, inode, entry);
}

int mlimg_tree_set(struct mlimg_tree *tree, struct mlimg_node *node,
	const struct mlimg_entry *entry, struct mlimg_err *err)
{
	int r = mlimg_source_check(entry, tree->kind, err);

	if (r < 0)
		return r;
	if (!copy_attributes(tree, node->inode, entry))
		return mlimg_err_set(err, ENOMEM, "'%s'", entry->path);
	return 0;
}

/* One name less; contents that nobody names any more are forgotten. */
static void drop_name(struct mlimg_inode *inode)
{
	inode->nlink--;
	if (!inode->nlink && inode->type == MLIMG_FILE) {
		free(inode->file->extents);
		inode->file->extents = NULL;
		inode->file->n_extents = 0;
	}
}

/* The node at parent/name, new or one that may be given another inode. */
static int claim(struct mlimg_tree *tree, struct mlimg_node *parent, const char *name,
	const char *path, struct mlimg_node **ret_node, struct mlimg_err *err)
{
	struct mlimg_node *node = mlimg_tree_child(tree, parent, name, strlen(name));

	if (node && node->inode->type == MLIMG_DIR && node->inode->entries)
		return mlimg_err_refuse(
			err, "'%s': would replace a directory that is not empty", path);
	if (!node && tree->n_nodes >= MLIMG_ENTRIES_MAX)
		return mlimg_err_refuse(err, "'%s': more than %d entries", path, MLIMG_ENTRIES_MAX);
	if (!node)
		node = node_new(tree, parent, name);
	if (!node)
		return mlimg_err_set(err, ENOMEM, "'%s'", path);
	*ret_node = node;
	return 0;
}

int mlimg_tree_put(struct mlimg_tree *tree, struct mlimg_node *parent, const char *name,
	const struct mlimg_entry *entry, struct mlimg_node **ret_node, struct mlimg_err *err)
{
	struct mlimg_node *node = mlimg_tree_child(tree, parent, name, strlen(name));
	struct mlimg_inode *inode;
	int r;

	if (node && node->inode->type == MLIMG_DIR && entry->type == MLIMG_DIR) {
		*ret_node = node;
		return mlimg_tree_set(tree, node, entry, err);
	}
	r = mlimg_source_check(entry, tree->kind, err);
	if (r < 0)
		return r;
	inode = alloc_zeroed(tree, sizeof(*inode));
	if (!inode || !copy_attributes(tree, inode, entry))
		return mlimg_err_set(err, ENOMEM, "'%s'", entry->path);
	inode->nlink = 1;
	r = claim(tree, parent, name, entry->path, &node, err);
	if (r < 0)
		return r;
	if (node->inode)
		drop_name(node->inode);
	node->inode = inode;
	*ret_node = node;
	return 0;
}

int mlimg_tree_link(struct mlimg_tree *tree, struct mlimg_node *parent, const char *name,
	struct mlimg_inode *inode, const char *path, struct mlimg_err *err)
{
	struct mlimg_node *node;
	int r;

	if (inode->nlink >= MLIMG_LINKS_MAX)
		return mlimg_err_refuse(
			err, "'%s': a file with more than %d names", path, MLIMG_LINKS_MAX);
	r = claim(tree, parent, name, path, &node, err);
	if (r < 0)
		return r;
	inode->nlink++;
	if (node->inode)
		drop_name(node->inode);
	node->inode = inode;
	return 0;
}
