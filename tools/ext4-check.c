/* SPDX-License-Identifier: MIT */
/*
 * All uses of blocks are collected in a list and sorted: so memory follows what is stored, however
 * large the image says it is.
 */
#include "tools/ext4-check.h"

#include <errno.h>
#include <stdlib.h>

#include "tools/ext4-read-impl.h"

#define SHARED_XATTRS 0u /* owner of a block of xattrs: several inodes may use one */
#define TABLES 1u        /* owner of the file system's own blocks */
#define JOURNAL EXT2_JOURNAL_INO

/* Blocks that something uses. */
struct use {
	uint64_t first;
	uint32_t n_blocks;
	uint32_t owner; /* an inode, or one of the above, which are no files' numbers */
	bool is_data; /* of a regular file: where the image has the feature shared_blocks, several may have the same run */
};

/* A name of something that is no directory. */
struct name {
	uint32_t ino, nlink;
};

struct check {
	struct mlimg_ext4 *fs;
	struct mlimg_err *err;
	struct use *uses;
	size_t n_uses, uses_room;
	struct name *names;
	size_t n_names, names_room;
	struct ext4_nodes nodes;
	struct mlimg_ext4_usage usage;
};

static int grow(const struct check *c, void **array, size_t *room, size_t n, size_t size)
{
	size_t new_room = *room ? 2 * *room : 256;
	void *new_array;

	if (n < *room)
		return 0;
	new_array = realloc(*array, new_room * size);
	if (!new_array)
		return ext4_fail(c->fs, c->err, ENOMEM, "check the file system");
	*array = new_array;
	*room = new_room;
	return 0;
}

static int add_run(struct check *c, uint64_t first, uint64_t n_blocks, uint32_t owner, bool is_data)
{
	uint64_t end = c->fs->super.n_blocks;
	int ret = grow(c, (void **)&c->uses, &c->uses_room, c->n_uses, sizeof(*c->uses));

	if (ret < 0)
		return ret;
	if (first >= end || n_blocks > end - first || n_blocks > UINT32_MAX)
		return ext4_refuse(c->fs, c->err, "block %llu is not within the file system",
			(unsigned long long)first);
	c->uses[c->n_uses++] = (struct use){
		.first = first, .n_blocks = (uint32_t)n_blocks, .owner = owner, .is_data = is_data};
	return 0;
}

static int add_use(struct check *c, uint64_t first, uint64_t n_blocks, uint32_t owner)
{
	return add_run(c, first, n_blocks, owner, false);
}

static int add_extents(struct check *c, const struct mlimg_ext4_inode *inode)
{
	mlimg_autofree struct mlimg_ext4_extent *extents = NULL;
	size_t n = 0;
	int ret;

	c->nodes.n = 0;
	ret = ext4_extents_and_nodes(c->fs, inode, &extents, &n, &c->nodes, c->err);
	for (size_t i = 0; i < n && ret == 0; i++)
		ret = add_run(c, extents[i].physical, extents[i].n_blocks, inode->ino,
			inode->type == MLIMG_FILE && inode->ino != JOURNAL);
	for (size_t i = 0; i < c->nodes.n && ret == 0; i++)
		ret = add_use(c, c->nodes.blocks[i], 1, inode->ino);
	return ret;
}

static int add_inode(struct check *c, const struct mlimg_ext4_inode *inode)
{
	bool has_extents = inode->type == MLIMG_FILE || inode->type == MLIMG_DIR ||
		(inode->type == MLIMG_LINK && inode->flags & EXT4_EXTENTS_FL);
	int ret = has_extents ? add_extents(c, inode) : 0;

	if (ret == 0 && inode->xattr_block)
		ret = add_use(c, inode->xattr_block, 1, SHARED_XATTRS);
	return ret;
}

static int visit(const struct mlimg_entry *entry, const struct mlimg_ext4_inode *inode, void *ctx,
	struct mlimg_err *err)
{
	struct check *c = ctx;
	int ret;

	c->usage.n_names++;
	if (inode->type == MLIMG_DIR)
		return add_inode(c, inode);
	ret = grow(c, (void **)&c->names, &c->names_room, c->n_names, sizeof(*c->names));
	if (ret < 0)
		return ret;
	c->names[c->n_names++] = (struct name){.ino = inode->ino, .nlink = inode->nlink};
	/* Several names, one use: those come once all names are known. */
	return inode->nlink > 1 ? 0 : add_inode(c, inode);
}

static int by_ino(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static int check_names(struct check *c)
{
	struct mlimg_ext4_inode inode;
	int ret = 0;

	if (c->n_names)
		qsort(c->names, c->n_names, sizeof(*c->names), by_ino);
	for (size_t i = 0, n; i < c->n_names && ret == 0; i += n) {
		const struct name *name = &c->names[i];

		for (n = 1; i + n < c->n_names && name[n].ino == name->ino;)
			n++;
		if (n != name->nlink)
			return ext4_refuse(c->fs, c->err,
				"inode %u: its link count is %u, its names are %zu", name->ino,
				name->nlink, n);
		if (n > 1)
			ret = mlimg_ext4_inode_read(c->fs, name->ino, &inode, c->err);
		if (n > 1 && ret == 0)
			ret = add_inode(c, &inode);
	}
	return ret;
}

/* Superblock and its copies, descriptors, bitmaps, tables of inodes. */
static int add_group(struct check *c, dgrp_t group)
{
	ext2_filsys ext2 = c->fs->ext2;
	blk64_t super, old_desc, new_desc;
	blk_t used;
	int ret = 0;

	if (ext2fs_super_and_bgd_loc2(ext2, group, &super, &old_desc, &new_desc, &used))
		return ext4_refuse(c->fs, c->err, "block group %u is damaged", group);
	if (super || group == 0)
		ret = add_use(c, super, 1, TABLES);
	if (ret == 0 && old_desc)
		ret = add_use(c, old_desc, used - 1 - (new_desc ? 1u : 0u), TABLES);
	if (ret == 0 && new_desc)
		ret = add_use(c, new_desc, 1, TABLES);
	if (ret == 0)
		ret = add_use(c, ext2fs_block_bitmap_loc(ext2, group), 1, TABLES);
	if (ret == 0)
		ret = add_use(c, ext2fs_inode_bitmap_loc(ext2, group), 1, TABLES);
	if (ret == 0)
		ret = add_use(c, ext2fs_inode_table_loc(ext2, group), ext2->inode_blocks_per_group,
			TABLES);
	return ret;
}

/* What is kept free for descriptors counts as descriptors; this is the block that lists it. */
static int add_resize(struct check *c)
{
	struct ext2_inode raw;
	errcode_t code;

	if (!ext2fs_has_feature_resize_inode(c->fs->ext2->super))
		return 0;
	code = ext2fs_read_inode(c->fs->ext2, EXT2_RESIZE_INO, &raw);
	if (code)
		return ext4_refuse_code(c->fs, c->err, code, "inode %u", EXT2_RESIZE_INO);
	return raw.i_block[EXT2_DIND_BLOCK] ? add_use(c, raw.i_block[EXT2_DIND_BLOCK], 1, TABLES)
					    : 0;
}

static int add_journal(struct check *c)
{
	struct ext2_inode raw;
	struct mlimg_ext4_inode inode = {.ino = JOURNAL, .type = MLIMG_FILE};
	errcode_t code;

	if (!ext2fs_has_feature_journal(c->fs->ext2->super))
		return 0;
	code = ext2fs_read_inode(c->fs->ext2, JOURNAL, &raw);
	if (code)
		return ext4_refuse_code(c->fs, c->err, code, "inode %u", JOURNAL);
	inode.flags = raw.i_flags;
	inode.size_bytes = raw.i_size | (uint64_t)raw.i_size_high << 32;
	memcpy(inode.block, raw.i_block, sizeof(inode.block));
	return add_extents(c, &inode);
}

static int by_place(const void *a, const void *b)
{
	const struct use *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return x->owner < y->owner ? -1 : x->owner > y->owner;
}

static void name_owner(uint32_t owner, char text[32])
{
	if (owner == SHARED_XATTRS)
		snprintf(text, 32, "xattrs");
	else if (owner == TABLES)
		snprintf(text, 32, "the file system itself");
	else if (owner == JOURNAL)
		snprintf(text, 32, "the journal");
	else
		snprintf(text, 32, "inode %u", owner);
}

/* Runs are shared as a whole, by several files. */
static bool may_share(const struct check *c, const struct use *a, const struct use *b)
{
	if (a->owner == SHARED_XATTRS && b->owner == SHARED_XATTRS)
		return true;
	return ext2fs_has_feature_shared_blocks(c->fs->ext2->super) && a->is_data && b->is_data &&
		a->owner != b->owner && a->first == b->first && a->n_blocks == b->n_blocks;
}

static int check_uses(struct check *c)
{
	const struct use *last = NULL; /* the one that reaches furthest */
	char a[32], b[32];

	qsort(c->uses, c->n_uses, sizeof(*c->uses), by_place);
	for (size_t i = 0; i < c->n_uses; i++) {
		const struct use *use = &c->uses[i];

		if (last && use->first < last->first + last->n_blocks) {
			if (may_share(c, last, use))
				continue;
			name_owner(last->owner, a);
			name_owner(use->owner, b);
			return ext4_refuse(c->fs, c->err, "block %llu is used by %s and by %s",
				(unsigned long long)use->first, a, b);
		}
		last = use;
		c->usage.n_blocks += use->n_blocks;
	}
	return 0;
}

int mlimg_ext4_check(
	struct mlimg_ext4 *fs, struct mlimg_ext4_usage *ret_usage, struct mlimg_err *err)
{
	struct check c = {.fs = fs, .err = err};
	struct mlimg_ext4_inode root;
	int ret = mlimg_ext4_inode_read(fs, MLIMG_EXT4_ROOT_INO, &root, err);

	if (ret == 0)
		ret = mlimg_ext4_walk(fs, &root, visit, &c, err);
	if (ret == 0)
		ret = check_names(&c);
	for (dgrp_t group = 0; group < fs->ext2->group_desc_count && ret == 0; group++)
		ret = add_group(&c, group);
	if (ret == 0)
		ret = add_resize(&c);
	if (ret == 0)
		ret = add_journal(&c);
	if (ret == 0)
		ret = check_uses(&c);
	if (ret == 0)
		*ret_usage = c.usage;
	free(c.uses);
	free(c.names);
	free(c.nodes.blocks);
	return ret;
}
