/* SPDX-License-Identifier: MIT */
#include "tools/mkfs-delta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/patch.h"
#include "libmlimg/whiteout.h"
#include "tools/ext4-write.h"
#include "tools/source-tree.h"

#define XATTRS_BLOCK_SIZE (4096 - 32 - 4) /* what fits into one block for sure */

/* A file with several names. */
struct group {
	uint32_t beneath;  /* its group there; 0: none of its names was looked at */
	bool has_changed;  /* in anything, its names included */
	bool is_reference; /* decided about already */
};

struct delta {
	struct mlimg_tree *tree;
	struct mlimg_node *top;
	const struct mlimg_beneath *beneath;
	const struct mlimg_manifest *old;
	struct mlimg_data *data;
	int64_t time_s;
	struct group *groups; /* by number */
	struct mlimg_err *err;
	char path[MLIMG_PATH_MAX + 1];
};

static bool has_size(const void *ctx, uint64_t size_bytes)
{
	return mlimg_beneath_has_size(ctx, size_bytes);
}

static bool has_content(
	const void *ctx, uint64_t size_bytes, const uint8_t digest[MLIMG_SHA256_SIZE])
{
	return mlimg_beneath_find_content(ctx, size_bytes, digest);
}

struct mlimg_known mlimg_delta_known(const struct mlimg_beneath *beneath)
{
	return (struct mlimg_known){
		.ctx = beneath, .has_size = has_size, .has_content = has_content};
}

static int no_memory(const struct delta *d)
{
	return mlimg_err_set(d->err, ENOMEM, "compare with what lies beneath");
}

static bool has_same_contents(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	return a->type == MLIMG_FILE && b->type == MLIMG_FILE && a->size_bytes == b->size_bytes &&
		a->has_digest && b->has_digest &&
		memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

/* All but hard links. */
static bool is_same(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	return mlimg_entry_has_same_attrs(a, b) && a->mtime_s == b->mtime_s &&
		a->mtime_ns == b->mtime_ns && (a->type != MLIMG_FILE || has_same_contents(a, b));
}

static const char *path_of(struct delta *d, const struct mlimg_node *node)
{
	return mlimg_node_path(node, d->top, d->path, sizeof(d->path));
}

/* ---- which files with several names are the same ---- */

/*
 * All names of a group have been names of one group beneath, and there are as many: so it is the same group.
 */
static void compare_name(struct delta *d, const struct mlimg_node *node)
{
	struct group *g = &d->groups[node->inode->hardlink];
	const char *path = path_of(d, node);
	const struct mlimg_entry *old = mlimg_beneath_find(d->beneath, path);
	struct mlimg_entry entry;

	if (!old || !old->hardlink || (g->beneath && g->beneath != old->hardlink)) {
		g->has_changed = true;
		return;
	}
	g->beneath = old->hardlink;
	mlimg_inode_entry(node->inode, (char *)path, &entry);
	g->has_changed |= old->nlink != entry.nlink || !is_same(&entry, old);
}

static int compare_groups(struct delta *d)
{
	uint32_t n = 0;

	for (struct mlimg_node *e = d->top; e; e = mlimg_tree_next(e, d->top))
		if (e->inode->hardlink > n)
			n = e->inode->hardlink;
	d->groups = calloc((size_t)n + 1, sizeof(*d->groups));
	if (!d->groups)
		return no_memory(d);
	for (struct mlimg_node *e = d->top; n && e; e = mlimg_tree_next(e, d->top))
		if (e->inode->hardlink)
			compare_name(d, e);
	return 0;
}

/* ---- what is kept ---- */

static void keep(struct mlimg_node *node)
{
	for (; node && !node->is_kept; node = node->parent)
		node->is_kept = true;
}

static bool has_changed(
	const struct delta *d, const struct mlimg_node *node, const struct mlimg_entry *old)
{
	struct mlimg_entry entry;

	if (node->inode->hardlink)
		return d->groups[node->inode->hardlink].has_changed;
	mlimg_inode_entry(node->inode, old->path, &entry);
	return old->hardlink || !is_same(&entry, old);
}

/* The directory of the new tree that has held @path; everything else has ended the comparison above it. */
static struct mlimg_node *parent_of(const struct delta *d, const char *path, const char **ret_name)
{
	struct mlimg_node *dir = d->top;
	const char *slash;

	for (; (slash = strchr(path, '/')); path = slash + 1)
		dir = mlimg_tree_child(d->tree, dir, path, (size_t)(slash - path));
	*ret_name = path;
	return dir;
}

static int put_whiteout(struct delta *d, const struct mlimg_entry *old)
{
	struct mlimg_inode *inode = mlimg_tree_alloc(d->tree, sizeof(*inode));
	struct mlimg_node *dir, *node;
	const char *name;

	if (d->tree->n_nodes >= MLIMG_ENTRIES_MAX)
		return mlimg_err_refuse(
			d->err, "'%s': more than %d entries", old->path, MLIMG_ENTRIES_MAX);
	dir = parent_of(d, old->path, &name);
	node = inode ? mlimg_tree_node_new(d->tree, dir, name) : NULL;
	if (!node)
		return no_memory(d);
	inode->type = MLIMG_CHAR;
	inode->mtime_s = d->time_s;
	inode->nlink = 1;
	node->inode = inode;
	keep(node);
	return 0;
}

/* The entry after @at and all that is in it. */
static size_t after(const struct mlimg_manifest *m, size_t at)
{
	const char *path = m->entries[at++].path;
	size_t size = strlen(path);

	while (at < m->n_entries && strncmp(m->entries[at].path, path, size) == 0 &&
		m->entries[at].path[size] == '/')
		at++;
	return at;
}

/* Both trees side by side, in the order of manifests. */
static int compare_trees(struct delta *d)
{
	const struct mlimg_manifest *m = d->old;
	struct mlimg_node *node = d->top;
	size_t at = 0;

	while (node || at < m->n_entries) {
		const struct mlimg_entry *old = at < m->n_entries ? &m->entries[at] : NULL;
		int order = !node ? 1
			: !old    ? -1
				  : mlimg_manifest_path_cmp(path_of(d, node), old->path);

		if (order > 0) {
			int r = put_whiteout(d, old);

			if (r < 0)
				return r;
			at = after(m, at);
			continue;
		}
		if (order < 0 || has_changed(d, node, old))
			keep(node);
		if (order == 0)
			at = node->inode->type == MLIMG_DIR ? at + 1 : after(m, at);
		node = mlimg_tree_next(node, d->top);
	}
	keep(d->top);
	return 0;
}

/* ---- references ---- */

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
static bool mark(struct delta *d, const struct mlimg_inode *inode, const char *path,
	struct mlimg_inode *ret_marked)
{
	uint32_t n = inode->n_xattrs;
	struct mlimg_xattr *xattrs = mlimg_tree_alloc(d->tree, ((size_t)n + 2) * sizeof(*xattrs));
	char *value = path ? mlimg_tree_alloc(d->tree, strlen(path) + 2) : NULL;

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
	struct delta *d, const struct mlimg_node *node, bool *ret_is_own)
{
	const char *path = path_of(d, node);
	const struct mlimg_entry *old = mlimg_beneath_find(d->beneath, path);
	struct mlimg_entry entry;

	mlimg_inode_entry(node->inode, (char *)path, &entry);
	*ret_is_own = !entry.hardlink && old && has_same_contents(&entry, old);
	if (*ret_is_own)
		return old;
	return mlimg_beneath_find_content(d->beneath, entry.size_bytes, entry.digest);
}

static int copy_piece(const void *bytes, uint64_t size, void *ctx, struct mlimg_err *err)
{
	return bytes ? mlimg_data_write(ctx, bytes, size, err) : mlimg_data_hole(ctx, size, err);
}

/* Contents that were left out have to be written after all. */
static int fetch(struct delta *d, struct mlimg_file *file, const struct mlimg_entry *from)
{
	int r;

	file->is_left_out = false;
	mlimg_data_begin(d->data, file, true);
	r = mlimg_beneath_read(d->beneath, from, copy_piece, d->data, d->err);
	if (r == 0)
		r = mlimg_data_end(d->data, d->err);
	if (r == 0)
		r = mlimg_data_sync(d->data, NULL, d->err);
	if (r == 0 && memcmp(file->digest, from->digest, sizeof(file->digest)) != 0)
		r = mlimg_err_refuse(d->err,
			"'%s': what lies beneath has not the contents that its manifest says",
			from->path);
	return r;
}

static int settle(struct delta *d, struct mlimg_node *node)
{
	struct mlimg_inode *inode = node->inode, marked;
	struct mlimg_file *file = inode->file;
	const struct mlimg_entry *from;
	bool is_own;

	/* Nothing, and nothing but a hole, take no blocks. */
	if (!file->n_extents && !file->is_left_out)
		return 0;
	from = find_contents(d, node, &is_own);
	if (!from)
		return 0;
	if (is_own || strlen(from->path) + 1 <= MLIMG_REDIRECT_MAX) {
		if (!mark(d, inode, is_own ? NULL : from->path, &marked))
			return no_memory(d);
		if (has_room(&marked) && blocks_of(&marked, false) < blocks_of(inode, true)) {
			*inode = marked;
			free(file->n_extents > 1 ? file->extents : NULL);
			file->extents = NULL;
			file->n_extents = 0;
			return 0;
		}
	}
	return file->is_left_out ? fetch(d, file, from) : 0;
}

static int settle_all(struct delta *d)
{
	int r = 0;

	for (struct mlimg_node *n = d->top; n && r == 0; n = mlimg_tree_next(n, d->top)) {
		struct group *g = &d->groups[n->inode->hardlink];

		if (n->inode->type != MLIMG_FILE || !n->is_kept)
			continue;
		if (!n->inode->hardlink || !g->is_reference)
			r = settle(d, n);
		g->is_reference = n->inode->hardlink;
	}
	return r;
}

/* ---- the whole ---- */

/* What is not kept leaves the tree; groups get new numbers, and no directory is marked as opaque. */
static void prune(struct delta *d)
{
	for (struct mlimg_node *n = d->top; n; n = mlimg_tree_next(n, d->top)) {
		struct mlimg_node **link = &n->inode->entries;

		n->sealed = 0;
		n->inode->hardlink = 0;
		if (n->inode->type != MLIMG_DIR)
			continue;
		while (*link) {
			if ((*link)->is_kept)
				link = &(*link)->next;
			else
				*link = (*link)->next;
		}
	}
}

int mlimg_delta_apply(struct mlimg_tree *tree, struct mlimg_node *top,
	const struct mlimg_beneath *beneath, int64_t time_s, struct mlimg_data *data,
	struct mlimg_err *err)
{
	mlimg_autofree struct delta *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return mlimg_err_set(err, ENOMEM, "compare with what lies beneath");
	d->tree = tree;
	d->top = top;
	d->beneath = beneath;
	d->old = mlimg_beneath_manifest(beneath);
	d->data = data;
	d->time_s = time_s;
	d->err = err;
	r = compare_groups(d);
	if (r == 0)
		r = compare_trees(d);
	if (r == 0)
		r = settle_all(d);
	free(d->groups);
	if (r < 0)
		return r;
	prune(d);
	tree->kind = MLIMG_PATCH;
	return mlimg_tree_finish(tree, top, err);
}
