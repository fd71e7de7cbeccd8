/* SPDX-License-Identifier: MIT */
/* A finished tree: its order, its sums, its manifest. */
#include "tools/source-tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"

static bool is_dir(const struct mlimg_node *node)
{
	return node->inode->type == MLIMG_DIR;
}

struct mlimg_node *mlimg_tree_next(const struct mlimg_node *node, const struct mlimg_node *top)
{
	if (is_dir(node) && node->inode->entries)
		return node->inode->entries;
	while (node != top && !node->next)
		node = node->parent;
	return node == top ? NULL : node->next;
}

const char *mlimg_node_path(
	const struct mlimg_node *node, const struct mlimg_node *top, char *buf, size_t size)
{
	char *p = buf + size - 1;

	*p = '\0';
	for (; node && node != top; node = node->parent) {
		size_t n = strlen(node->name);
		bool is_last = *p == '\0';

		if ((size_t)(p - buf) < n + 1) {
			memcpy(buf, "...", 3);
			return buf;
		}
		if (!is_last)
			*--p = '/';
		p -= n;
		memcpy(p, node->name, n);
	}
	return p;
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(
		(*(struct mlimg_node *const *)a)->name, (*(struct mlimg_node *const *)b)->name);
}

/* Nothing lies beneath a system layer, so a whiteout has done its work among the sources. */
static bool is_spent(const struct mlimg_tree *tree, const struct mlimg_inode *inode)
{
	return tree->kind == MLIMG_SYSTEM && inode->type == MLIMG_CHAR && !inode->dev[0] &&
		!inode->dev[1];
}

/* The entries as an array, grown to hold them. @return their number, or SIZE_MAX: no memory */
static size_t entries_of(const struct mlimg_tree *tree, const struct mlimg_node *dir,
	struct mlimg_node ***list, size_t *room)
{
	size_t n = 0;

	for (struct mlimg_node *e = dir->inode->entries; e; e = e->next) {
		if (e->is_spent || is_spent(tree, e->inode))
			continue;
		if (n == *room) {
			size_t more = *room ? 2 * *room : 256;
			void *p = realloc(*list, more * sizeof(**list));

			if (!p)
				return SIZE_MAX;
			*list = p;
			*room = more;
		}
		(*list)[n++] = e;
	}
	return n;
}

static void relink(struct mlimg_node *dir, struct mlimg_node **list, size_t n)
{
	dir->inode->entries = n ? list[0] : NULL;
	dir->inode->nlink = 0;
	for (size_t i = 0; i < n; i++) {
		list[i]->next = i + 1 < n ? list[i + 1] : NULL;
		dir->inode->nlink += is_dir(list[i]);
	}
}

int mlimg_tree_finish(struct mlimg_tree *tree, struct mlimg_node *top, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_node **list = NULL;
	struct mlimg_node *root = mlimg_tree_root(tree);
	uint32_t group = 0;
	size_t room = 0;
	int r;

	/* Each directory is sorted when the walk comes to it, so the walk goes on in order. */
	for (struct mlimg_node *n = root; n; n = mlimg_tree_next(n, root)) {
		size_t count;

		if (!is_dir(n))
			continue;
		count = entries_of(tree, n, &list, &room);
		if (count == SIZE_MAX)
			return mlimg_err_set(err, ENOMEM, "sort '%s'", n->name);
		r = mlimg_tree_mark_opaque(tree, n, top, err);
		if (r < 0)
			return r;
		if (count)
			qsort(list, count, sizeof(*list), name_cmp);
		relink(n, list, count);
	}
	for (struct mlimg_node *n = top; n; n = mlimg_tree_next(n, top))
		if (!is_dir(n) && n->inode->nlink > 1 && !n->inode->hardlink)
			n->inode->hardlink = ++group;
	return 0;
}

int64_t mlimg_tree_newest(const struct mlimg_node *top)
{
	int64_t newest = 0;

	for (const struct mlimg_node *n = top; n; n = mlimg_tree_next(n, top))
		if (!n->inode->is_implied && n->inode->mtime_s > newest)
			newest = n->inode->mtime_s;
	return newest;
}

void mlimg_tree_set_implied(struct mlimg_node *top, int64_t time_s)
{
	for (struct mlimg_node *n = top; n; n = mlimg_tree_next(n, top))
		if (n->inode->is_implied)
			n->inode->mtime_s = time_s;
}

void mlimg_inode_entry(const struct mlimg_inode *inode, char *path, struct mlimg_entry *entry)
{
	*entry = (struct mlimg_entry){
		.path = path,
		.link = inode->type == MLIMG_LINK ? inode->link : NULL,
		.xattrs = inode->xattrs,
		.n_xattrs = inode->n_xattrs,
		.mtime_s = inode->mtime_s,
		.mtime_ns = inode->mtime_ns,
		.uid = inode->uid,
		.gid = inode->gid,
		.mode = inode->mode,
		.type = inode->type,
		.hardlink = inode->hardlink,
		.nlink = inode->hardlink ? inode->nlink : 1,
	};
	if (inode->type == MLIMG_CHAR || inode->type == MLIMG_BLOCK) {
		entry->dev_major = inode->dev[0];
		entry->dev_minor = inode->dev[1];
	}
	if (inode->type == MLIMG_FILE) {
		entry->size_bytes = inode->file->size_bytes;
		entry->has_digest = true;
		memcpy(entry->digest, inode->file->digest, sizeof(entry->digest));
	}
}

void mlimg_tree_manifest(
	const struct mlimg_node *top, mlimg_sink *sink, void *ctx, struct mlimg_tree_sums *ret_sums)
{
	struct mlimg_tree_sums sums = {0};
	char path[MLIMG_PATH_MAX + 1];
	struct mlimg_entry entry;
	uint32_t last_group = 0;

	for (const struct mlimg_node *n = top; n; n = mlimg_tree_next(n, top)) {
		const char *p = mlimg_node_path(n, top, path, sizeof(path));

		mlimg_inode_entry(n->inode, (char *)p, &entry);
		mlimg_manifest_put_entry(&entry, sink, ctx);
		sums.entries++;
		/* Groups are numbered by first appearance, so a higher number is a first one. */
		if (entry.hardlink > last_group || !entry.hardlink)
			sums.size_bytes += entry.size_bytes;
		if (entry.hardlink > last_group)
			last_group = entry.hardlink;
	}
	*ret_sums = sums;
}
