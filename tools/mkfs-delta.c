/* SPDX-License-Identifier: MIT */
#include "tools/mkfs-delta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/patch.h"
#include "libmlimg/whiteout.h"
#include "tools/ext4-write.h"
#include "tools/mkfs-compare.h"
#include "tools/source-tree.h"

#define XATTRS_BLOCK_SIZE (4096 - 32 - 4) /* what fits into one block for sure */

/* ---- what is kept ---- */

/* Both trees side by side, in the order of manifests. */
static int compare_trees(struct mlimg_compare *c)
{
	const struct mlimg_manifest *m = c->old;
	struct mlimg_node *node = c->top;
	size_t at = 0;

	while (node || at < m->n_entries) {
		const struct mlimg_entry *old = at < m->n_entries ? &m->entries[at] : NULL;
		int order = !node ? 1
			: !old    ? -1
				  : mlimg_manifest_path_cmp(mlimg_compare_path(c, node), old->path);

		if (order > 0) {
			int r = mlimg_compare_whiteout(c, old);

			if (r < 0)
				return r;
			at = mlimg_compare_after(m, at);
			continue;
		}
		if (order < 0 || mlimg_compare_differs(c, node, old))
			mlimg_compare_keep(node);
		if (order == 0)
			at = node->inode->type == MLIMG_DIR ? at + 1 : mlimg_compare_after(m, at);
		node = mlimg_tree_next(node, c->top);
	}
	mlimg_compare_keep(c->top);
	return 0;
}

/* ---- references ---- */

static int no_memory(const struct mlimg_compare *c)
{
	return mlimg_err_set(c->err, ENOMEM, "compare with what lies beneath");
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct mlimg_xattr *)a)->name, ((const struct mlimg_xattr *)b)->name);
}

static uint64_t blocks_of(const struct mlimg_inode *inode, bool has_contents)
{
	uint64_t blocks = (inode->file->size_bytes + MLIMG_BLOCK_SIZE - 1) / MLIMG_BLOCK_SIZE;

	return (has_contents ? blocks : 0) + mlimg_writer_needs_xattr_block(inode);
}

/* Give @inode the marks in @ret_marked, which shares all else. @path: NULL for its own */
static bool mark(struct mlimg_compare *c, const struct mlimg_inode *inode, const char *path,
	struct mlimg_inode *ret_marked)
{
	uint32_t n = inode->n_xattrs;
	struct mlimg_xattr *xattrs = mlimg_tree_alloc(c->tree, ((size_t)n + 2) * sizeof(*xattrs));
	char *value = path ? mlimg_tree_alloc(c->tree, strlen(path) + 2) : NULL;

	if (!xattrs || (path && !value))
		return false;
	if (n)
		memcpy(xattrs, inode->xattrs, n * sizeof(*xattrs));
	xattrs[n++] = (struct mlimg_xattr){.name = (char *)MLIMG_XATTR_METACOPY};
	if (path) {
		value[0] = '/';
		strcpy(value + 1, path);
		xattrs[n++] = (struct mlimg_xattr){.name = (char *)MLIMG_XATTR_REDIRECT,
			.value = (uint8_t *)value,
			.size = strlen(value)};
	}
	qsort(xattrs, n, sizeof(*xattrs), by_name);
	*ret_marked = *inode;
	ret_marked->xattrs = xattrs;
	ret_marked->n_xattrs = n;
	return true;
}

static bool has_room(const struct mlimg_inode *inode)
{
	size_t total = 0;

	for (uint32_t i = 0; i < inode->n_xattrs; i++)
		total += mlimg_xattr_stored_size(&inode->xattrs[i]);
	return total <= XATTRS_BLOCK_SIZE;
}

/* Where a file's contents lie beneath. @return NULL: nowhere; @ret_is_own : at its own path */
static const struct mlimg_entry *find_contents(
	struct mlimg_compare *c, const struct mlimg_node *node, bool *ret_is_own)
{
	const char *path = mlimg_compare_path(c, node);
	const struct mlimg_entry *old = mlimg_beneath_find(c->beneath, path);
	struct mlimg_entry entry;

	mlimg_inode_entry(node->inode, (char *)path, &entry);
	*ret_is_own = !entry.hardlink && old && mlimg_entry_has_same_contents(&entry, old);
	if (*ret_is_own)
		return old;
	return mlimg_beneath_find_content(c->beneath, entry.size_bytes, entry.digest);
}

static int settle(struct mlimg_compare *c, struct mlimg_node *node)
{
	struct mlimg_inode *inode = node->inode, marked;
	struct mlimg_file *file = inode->file;
	const struct mlimg_entry *from;
	bool is_own;

	/* Nothing, and nothing but a hole, take no blocks. */
	if (!file->n_extents && !file->is_left_out)
		return 0;
	from = find_contents(c, node, &is_own);
	if (!from)
		return 0;
	if (is_own || strlen(from->path) + 1 <= MLIMG_REDIRECT_MAX) {
		if (!mark(c, inode, is_own ? NULL : from->path, &marked))
			return no_memory(c);
		if (has_room(&marked) && blocks_of(&marked, false) < blocks_of(inode, true)) {
			*inode = marked;
			free(file->n_extents > 1 ? file->extents : NULL);
			file->extents = NULL;
			file->n_extents = 0;
			return 0;
		}
	}
	return file->is_left_out ? mlimg_compare_fetch(c, file, from) : 0;
}

static int settle_all(struct mlimg_compare *c)
{
	int r = 0;

	for (struct mlimg_node *n = c->top; n && r == 0; n = mlimg_tree_next(n, c->top)) {
		struct mlimg_compare_group *g = &c->groups[n->inode->hardlink];

		if (n->inode->type != MLIMG_FILE || !n->is_kept)
			continue;
		if (!n->inode->hardlink || !g->is_reference)
			r = settle(c, n);
		g->is_reference = n->inode->hardlink;
	}
	return r;
}

/* ---- the whole ---- */

int mlimg_delta_apply(struct mlimg_tree *tree, struct mlimg_node *top,
	const struct mlimg_beneath *beneath, int64_t time_s, struct mlimg_data *data,
	struct mlimg_err *err)
{
	struct mlimg_compare c = {.tree = tree,
		.top = top,
		.beneath = beneath,
		.old = mlimg_beneath_manifest(beneath),
		.data = data,
		.time_s = time_s,
		.err = err};
	int r = mlimg_compare_groups(&c);

	if (r == 0)
		r = compare_trees(&c);
	if (r == 0)
		r = settle_all(&c);
	free(c.groups);
	if (r < 0)
		return r;
	mlimg_compare_prune(top);
	tree->kind = MLIMG_PATCH;
	return mlimg_tree_finish(tree, top, err);
}
