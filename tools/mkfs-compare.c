/* SPDX-License-Identifier: MIT */
#include "tools/mkfs-compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/source-tree.h"

static bool has_size(const void *ctx, uint64_t size_bytes)
{
	return mlimg_beneath_has_size(ctx, size_bytes);
}

static bool has_content(
	const void *ctx, uint64_t size_bytes, const uint8_t digest[MLIMG_SHA256_SIZE])
{
	return mlimg_beneath_find_content(ctx, size_bytes, digest);
}

struct mlimg_known mlimg_compare_known(const struct mlimg_beneath *beneath)
{
	return (struct mlimg_known){
		.ctx = beneath, .has_size = has_size, .has_content = has_content};
}

/* Those that cannot be opened have nothing; who waits is told so. */
static const struct mlimg_beneath *of_later(const void *ctx)
{
	struct mlimg_beneath *b;

	return mlimg_beneath_wait((struct mlimg_beneath_later *)ctx, &b, NULL) < 0 ? NULL : b;
}

static bool later_has_size(const void *ctx, uint64_t size_bytes)
{
	const struct mlimg_beneath *b = of_later(ctx);

	return b && mlimg_beneath_has_size(b, size_bytes);
}

static bool later_has_content(
	const void *ctx, uint64_t size_bytes, const uint8_t digest[MLIMG_SHA256_SIZE])
{
	const struct mlimg_beneath *b = of_later(ctx);

	return b && mlimg_beneath_find_content(b, size_bytes, digest);
}

static int later_wait(const void *ctx, struct mlimg_err *err)
{
	struct mlimg_beneath *b;

	return mlimg_beneath_wait((struct mlimg_beneath_later *)ctx, &b, err);
}

static bool later_is_ready(const void *ctx)
{
	return mlimg_beneath_is_open((struct mlimg_beneath_later *)ctx);
}

struct mlimg_known mlimg_compare_known_later(struct mlimg_beneath_later *later)
{
	return (struct mlimg_known){.ctx = later,
		.wait = later_wait,
		.is_ready = later_is_ready,
		.has_size = later_has_size,
		.has_content = later_has_content};
}

static int no_memory(const struct mlimg_compare *c)
{
	return mlimg_err_set(c->err, ENOMEM, "compare with what lies beneath");
}

bool mlimg_entry_has_same_contents(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	return a->type == MLIMG_FILE && b->type == MLIMG_FILE && a->size_bytes == b->size_bytes &&
		a->has_digest && b->has_digest &&
		memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

/* All but hard links. */
static bool is_same(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	return mlimg_entry_has_same_attrs(a, b) && a->mtime_s == b->mtime_s &&
		a->mtime_ns == b->mtime_ns &&
		(a->type != MLIMG_FILE || mlimg_entry_has_same_contents(a, b));
}

const char *mlimg_compare_path(struct mlimg_compare *c, const struct mlimg_node *node)
{
	return mlimg_node_path(node, c->top, c->path, sizeof(c->path));
}

/* ---- which files with several names are the same ---- */

/*
 * All names of a group have been names of one group beneath, and there are as many: so it is the
 * same group.
 */
static void compare_name(struct mlimg_compare *c, const struct mlimg_node *node)
{
	struct mlimg_compare_group *g = &c->groups[node->inode->hardlink];
	const char *path = mlimg_compare_path(c, node);
	const struct mlimg_entry *old = mlimg_beneath_find(c->beneath, path);
	struct mlimg_entry entry;

	if (!old || !old->hardlink || (g->beneath && g->beneath != old->hardlink)) {
		g->has_changed = true;
		return;
	}
	g->beneath = old->hardlink;
	mlimg_inode_entry(node->inode, (char *)path, &entry);
	g->has_changed |= old->nlink != entry.nlink || !is_same(&entry, old);
}

int mlimg_compare_groups(struct mlimg_compare *c)
{
	uint32_t n = 0;

	for (struct mlimg_node *e = c->top; e; e = mlimg_tree_next(e, c->top))
		if (e->inode->hardlink > n)
			n = e->inode->hardlink;
	c->groups = calloc((size_t)n + 1, sizeof(*c->groups));
	if (!c->groups)
		return no_memory(c);
	for (struct mlimg_node *e = c->top; n && e; e = mlimg_tree_next(e, c->top))
		if (e->inode->hardlink)
			compare_name(c, e);
	return 0;
}

/* ---- what is kept ---- */

void mlimg_compare_keep(struct mlimg_node *node)
{
	for (; node && !node->is_kept; node = node->parent)
		node->is_kept = true;
}

bool mlimg_compare_differs(
	const struct mlimg_compare *c, const struct mlimg_node *node, const struct mlimg_entry *old)
{
	struct mlimg_entry entry;

	if (node->inode->hardlink)
		return c->groups[node->inode->hardlink].has_changed;
	mlimg_inode_entry(node->inode, old->path, &entry);
	return old->hardlink || !is_same(&entry, old);
}

/*
 * The directory of the new tree that has held @path; everything else has ended the comparison above
 * it.
 */
static struct mlimg_node *parent_of(
	const struct mlimg_compare *c, const char *path, const char **ret_name)
{
	struct mlimg_node *dir = c->top;
	const char *slash;

	for (; (slash = strchr(path, '/')); path = slash + 1)
		dir = mlimg_tree_child(c->tree, dir, path, (size_t)(slash - path));
	*ret_name = path;
	return dir;
}

int mlimg_compare_whiteout(struct mlimg_compare *c, const struct mlimg_entry *old)
{
	struct mlimg_inode *inode = mlimg_tree_alloc(c->tree, sizeof(*inode));
	struct mlimg_node *dir, *node;
	const char *name;

	if (c->tree->n_nodes >= MLIMG_ENTRIES_MAX)
		return mlimg_err_refuse(
			c->err, "'%s': more than %d entries", old->path, MLIMG_ENTRIES_MAX);
	dir = parent_of(c, old->path, &name);
	node = inode ? mlimg_tree_node_new(c->tree, dir, name) : NULL;
	if (!node)
		return no_memory(c);
	inode->type = MLIMG_CHAR;
	inode->mtime_s = c->time_s;
	inode->is_implied = true;
	inode->nlink = 1;
	node->inode = inode;
	mlimg_compare_keep(node);
	return 0;
}

size_t mlimg_compare_after(const struct mlimg_manifest *m, size_t at)
{
	const char *path = m->entries[at++].path;
	size_t size = strlen(path);

	while (at < m->n_entries && strncmp(m->entries[at].path, path, size) == 0 &&
		m->entries[at].path[size] == '/')
		at++;
	return at;
}

static int copy_piece(const void *bytes, uint64_t size, void *ctx, struct mlimg_err *err)
{
	return bytes ? mlimg_data_write(ctx, bytes, size, err) : mlimg_data_hole(ctx, size, err);
}

int mlimg_compare_fetch(
	struct mlimg_compare *c, struct mlimg_file *file, const struct mlimg_entry *from)
{
	int r;

	file->is_left_out = false;
	mlimg_data_begin(c->data, file, true);
	r = mlimg_beneath_read(c->beneath, from, copy_piece, c->data, c->err);
	if (r == 0)
		r = mlimg_data_end(c->data, c->err);
	if (r == 0)
		r = mlimg_data_sync(c->data, NULL, c->err);
	if (r == 0 && memcmp(file->digest, from->digest, sizeof(file->digest)) != 0)
		r = mlimg_err_refuse(c->err,
			"'%s': what lies beneath has not the contents that its manifest says",
			from->path);
	return r;
}

void mlimg_compare_prune(struct mlimg_node *top)
{
	for (struct mlimg_node *n = top; n; n = mlimg_tree_next(n, top)) {
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
