/* SPDX-License-Identifier: MIT */
/* Names and directories of a tree in memory. */
#include "tools/source-tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_MIN 1024 /* slots; a power of two */

void *mlimg_tree_alloc(struct mlimg_tree *tree, size_t size)
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

static size_t table_slot(const struct mlimg_tree_table *t, const struct mlimg_node *parent,
	const char *name, size_t size)
{
	size_t i = hash_of(parent, name, size) & (t->n_slots - 1);

	while (t->slots[i] &&
		(t->slots[i]->parent != parent || strncmp(t->slots[i]->name, name, size) != 0 ||
			t->slots[i]->name[size]))
		i = (i + 1) & (t->n_slots - 1);
	return i;
}

static bool table_grow(struct mlimg_tree_table *t)
{
	struct mlimg_tree_table bigger = {.n_slots = t->n_slots ? 2 * t->n_slots : TABLE_MIN};

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
	const struct mlimg_tree_table *t = &tree->table;

	return t->n_slots ? t->slots[table_slot(t, parent, name, name_size)] : NULL;
}

struct mlimg_node *mlimg_tree_node_new(
	struct mlimg_tree *tree, struct mlimg_node *parent, const char *name)
{
	size_t size = strlen(name);
	struct mlimg_node *node = mlimg_tree_alloc(tree, sizeof(*node) + size + 1);

	if (!node || !table_grow(&tree->table))
		return NULL;
	memcpy(node->name, name, size);
	node->parent = parent;
	node->level = tree->level;
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
	tree->level = 1;
	tree->arena = mlimg_arena_new();
	if (tree->arena)
		tree->root = mlimg_tree_node_new(tree, NULL, "");
	if (tree->root)
		tree->root->inode = mlimg_tree_alloc(tree, sizeof(*tree->root->inode));
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

bool mlimg_tree_has_above(const struct mlimg_tree *tree)
{
	return tree->level > 1;
}

struct mlimg_node *mlimg_tree_root(struct mlimg_tree *tree)
{
	return tree->root;
}
