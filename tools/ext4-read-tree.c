/* SPDX-License-Identifier: MIT */
/* An ext4 image as a tree (itree.h), and the same functions in ext4's words. */
#include <errno.h>
#include <stdlib.h>

#include "tools/ext4-read-impl.h"
#include "tools/itree.h"

_Static_assert(sizeof(struct mlimg_ext4_inode) <= MLIMG_ITREE_INODE_MAX, "room for an inode");

static struct mlimg_itree_node node_of(const struct mlimg_ext4_inode *inode)
{
	return (struct mlimg_itree_node){.ino = inode->ino,
		.nlink = inode->nlink,
		.size_bytes = inode->size_bytes,
		.type = inode->type,
		.inode = inode};
}

static int op_inode(void *image, uint32_t ino, void *ret_inode, struct mlimg_itree_node *ret_node,
	struct mlimg_err *err)
{
	int ret = mlimg_ext4_inode_read(image, ino, ret_inode, err);

	if (ret == 0)
		*ret_node = node_of(ret_inode);
	return ret;
}

static int op_dir(
	void *image, const void *inode, struct mlimg_ext4_dir *ret_dir, struct mlimg_err *err)
{
	return mlimg_ext4_dir_read(image, inode, ret_dir, err);
}

static int op_recent_dir(void *image, const void *inode_, const struct mlimg_ext4_dir **ret_dir,
	struct mlimg_err *err)
{
	const struct mlimg_ext4_inode *inode = inode_;
	struct mlimg_ext4 *fs = image;
	struct ext4_recent *oldest = &fs->recent[0];
	int ret;

	fs->n_lookups++;
	for (size_t i = 0; i < EXT4_RECENT_DIRS; i++) {
		struct ext4_recent *r = &fs->recent[i];

		if (r->ino == inode->ino) {
			r->used = fs->n_lookups;
			*ret_dir = &r->dir;
			return 0;
		}
		if (r->used < oldest->used)
			oldest = r;
	}
	mlimg_ext4_dir_done(&oldest->dir);
	oldest->ino = 0;
	ret = mlimg_ext4_dir_read(fs, inode, &oldest->dir, err);
	if (ret < 0)
		return ret;
	oldest->ino = inode->ino;
	oldest->used = fs->n_lookups;
	*ret_dir = &oldest->dir;
	return 0;
}

static int op_entry(void *image, const void *inode, void *attrs, struct mlimg_entry *ret_entry,
	struct mlimg_err *err)
{
	return mlimg_ext4_entry(image, inode, attrs, ret_entry, err);
}

static int op_read(
	void *image, const void *inode, mlimg_ext4_data_fn *fn, void *ctx, struct mlimg_err *err)
{
	return mlimg_ext4_read(image, inode, fn, ctx, err);
}

static int op_data(void *image, const void *inode_, struct mlimg_itree_run **ret_runs,
	size_t *ret_n, struct mlimg_err *err)
{
	const struct mlimg_ext4_inode *inode = inode_;
	mlimg_autofree struct mlimg_ext4_extent *extents = NULL;
	struct mlimg_itree_run *runs;
	size_t n = 0, n_runs = 0;
	int ret = mlimg_ext4_extents(image, inode, &extents, &n, err);

	if (ret < 0)
		return ret;
	runs = calloc(n + 1, sizeof(*runs));
	if (!runs)
		return ext4_fail(image, err, ENOMEM, "inode %u", inode->ino);
	for (size_t i = 0; i < n; i++) {
		uint64_t begin = extents[i].logical * MLIMG_EXT4_BLOCK;
		uint64_t end = begin + (uint64_t)extents[i].n_blocks * MLIMG_EXT4_BLOCK;

		if (extents[i].is_unwritten || begin >= inode->size_bytes)
			continue;
		if (end > inode->size_bytes)
			end = inode->size_bytes;
		runs[n_runs++] = (struct mlimg_itree_run){.offset = begin, .size = end - begin};
	}
	*ret_runs = runs;
	*ret_n = n_runs;
	return 0;
}

static bool has_extents(const struct mlimg_ext4_inode *inode)
{
	return inode->type == MLIMG_FILE || inode->type == MLIMG_DIR ||
		(inode->type == MLIMG_LINK && inode->size_bytes > EXT4_FAST_LINK_MAX);
}

static int op_used(void *image, const void *inode_, uint64_t *ret_bytes, struct mlimg_err *err)
{
	const struct mlimg_ext4_inode *inode = inode_;
	mlimg_autofree struct mlimg_ext4_extent *extents = NULL;
	struct ext4_nodes nodes = {0};
	uint64_t n_blocks = inode->xattr_block != 0;
	size_t n = 0;
	int ret = has_extents(inode)
		? ext4_extents_and_nodes(image, inode, &extents, &n, &nodes, err)
		: 0;

	for (size_t i = 0; ret == 0 && i < n; i++)
		n_blocks += extents[i].n_blocks;
	*ret_bytes = (n_blocks + nodes.n) * MLIMG_EXT4_BLOCK;
	free(nodes.blocks);
	return ret;
}

static void *op_attrs_new(void)
{
	return mlimg_ext4_attrs_new();
}

static void op_attrs_free(void *attrs)
{
	mlimg_ext4_attrs_free(attrs);
}

static const char *op_at(void *image, const char *path)
{
	struct mlimg_ext4 *fs = image;
	const char *former = fs->at;

	fs->at = path;
	return former;
}

static struct mlimg_itree tree_at(struct mlimg_ext4 *fs, const char *root)
{
	static const struct mlimg_itree_ops ops = {
		.inode = op_inode,
		.dir = op_dir,
		.recent_dir = op_recent_dir,
		.entry = op_entry,
		.read = op_read,
		.data = op_data,
		.used = op_used,
		.attrs_new = op_attrs_new,
		.attrs_free = op_attrs_free,
		.at = op_at,
	};

	return (struct mlimg_itree){.ops = &ops,
		.image = fs,
		.name = fs->name,
		.root = root,
		.root_ino = MLIMG_EXT4_ROOT_INO};
}

struct mlimg_itree mlimg_ext4_tree(struct mlimg_ext4 *fs)
{
	return tree_at(fs, mlimg_kind_tree(fs->super.kind));
}

int mlimg_ext4_lookup(struct mlimg_ext4 *fs, const char *root, const char *path, bool follow,
	struct mlimg_ext4_inode *ret_inode, struct mlimg_err *err)
{
	const struct mlimg_itree tree = tree_at(fs, root);
	struct mlimg_itree_room room;
	struct mlimg_itree_node node;
	int ret = mlimg_itree_lookup(&tree, path, follow, &room, &node, err);

	if (ret == 0)
		memcpy(ret_inode, &room, sizeof(*ret_inode));
	return ret;
}

struct visitor {
	mlimg_ext4_walk_fn *fn;
	mlimg_walk_skip_fn *skip;
	void *ctx;
};

static int visit(const struct mlimg_entry *entry, const struct mlimg_itree_node *node, void *ctx,
	struct mlimg_err *err)
{
	const struct visitor *v = ctx;

	return v->fn(entry, node->inode, v->ctx, err);
}

static void pass_over(const char *path, int error, bool was_visited, void *ctx)
{
	const struct visitor *v = ctx;

	v->skip(path, error, was_visited, v->ctx);
}

int mlimg_ext4_walk_lenient(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *root,
	mlimg_ext4_walk_fn *fn, mlimg_walk_skip_fn *skip, void *ctx, struct mlimg_err *err)
{
	const struct mlimg_itree tree = tree_at(fs, "/");
	const struct mlimg_itree_node node = node_of(root);
	struct visitor v = {.fn = fn, .skip = skip, .ctx = ctx};

	return mlimg_itree_walk_lenient(&tree, &node, visit, skip ? pass_over : NULL, &v, err);
}

int mlimg_ext4_walk(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *root,
	mlimg_ext4_walk_fn *fn, void *ctx, struct mlimg_err *err)
{
	return mlimg_ext4_walk_lenient(fs, root, fn, NULL, ctx, err);
}
