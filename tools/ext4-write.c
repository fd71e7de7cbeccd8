/* SPDX-License-Identifier: MIT */
#include "tools/ext4-write-parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/ext4-err.h"

int mlimg_writer_begin(int fd, const char *tmp_path, const char *name, enum mlimg_kind kind,
	uint64_t size_bytes, struct mlimg_writer **ret_image, struct mlimg_err *err)
{
	struct mlimg_writer *image = calloc(1, sizeof(*image));
	int r;

	if (!image)
		return mlimg_err_set(err, ENOMEM, "write '%s'", name);
	*image = (struct mlimg_writer){.fd = fd,
		.tmp_path = tmp_path,
		.name = name,
		.kind = kind,
		.size_bytes = size_bytes};
	image->run.bytes = malloc(MLIMG_RUN_BLOCKS * MLIMG_BLOCK_SIZE);
	if (!image->run.bytes)
		r = mlimg_err_set(err, ENOMEM, "write '%s'", name);
	else if (size_bytes > MLIMG_WRITER_SIZE_MAX)
		r = mlimg_err_usage(err, "an image has at most %llu bytes",
			(unsigned long long)MLIMG_WRITER_SIZE_MAX);
	else
		r = kind == MLIMG_USER ? mlimg_writer_layout_user(image, err) : 0;
	if (r == 0)
		r = mlimg_data_new(fd, name,
			kind == MLIMG_USER ? mlimg_writer_alloc_between : mlimg_writer_alloc_linear,
			image, &image->data, err);
	if (r < 0) {
		mlimg_writer_free(image);
		return r;
	}
	*ret_image = image;
	return 0;
}

struct mlimg_data *mlimg_writer_data(struct mlimg_writer *image)
{
	return image->data;
}

void mlimg_writer_free(struct mlimg_writer *image)
{
	if (!image)
		return;
	mlimg_data_free(image->data);
	if (image->fs)
		ext2fs_free(image->fs);
	free(image->run.bytes);
	free(image);
}

typedef int inode_fn(struct mlimg_writer *image, struct mlimg_inode *inode,
	const struct mlimg_node *node, void *ctx, struct mlimg_err *err);

/*
 * Visit every inode once, in the order of their numbers, which are given on the first visit: what a
 * directory holds has consecutive numbers, so that listing it with attributes reads few blocks.
 */
static int for_each_inode(struct mlimg_writer *image, struct mlimg_tree *tree, inode_fn *fn,
	void *ctx, struct mlimg_err *err)
{
	struct mlimg_node *root = mlimg_tree_root(tree);
	uint32_t next = EXT2_GOOD_OLD_FIRST_INO;
	int r;

	root->inode->number = EXT2_ROOT_INO;
	r = fn(image, root->inode, root, ctx, err);
	for (struct mlimg_node *dir = root; dir && r == 0; dir = mlimg_tree_next(dir, root)) {
		if (dir->inode->type != MLIMG_DIR)
			continue;
		for (struct mlimg_node *e = dir->inode->entries; e && r == 0; e = e->next) {
			if (!e->inode->number)
				e->inode->number = next;
			if (e->inode->number != next)
				continue; /* a further name */
			next++;
			r = fn(image, e->inode, e, ctx, err);
		}
	}
	return r;
}

/* @param ctx  digest of where contents lie */
static int add_place(struct mlimg_writer *image, struct mlimg_inode *inode,
	const struct mlimg_node *node, void *ctx, struct mlimg_err *err)
{
	const struct mlimg_extent *list;

	if (inode->type != MLIMG_FILE)
		return 0;
	list = mlimg_file_extents(inode->file);
	for (uint32_t i = 0; i < inode->file->n_extents; i++) {
		uint64_t place[] = {inode->number, list[i].start, list[i].logical, list[i].count};

		mlimg_sha256_add(ctx, place, sizeof(place));
	}
	return 0;
}

static int add_needs(struct mlimg_writer *image, struct mlimg_inode *inode,
	const struct mlimg_node *node, void *ctx, struct mlimg_err *err)
{
	struct mlimg_needs *needs = ctx;
	bool is_indexed = false;
	uint64_t blocks = 0;
	int r = 0;

	if (inode->number > needs->inodes)
		needs->inodes = inode->number;
	if (inode->type == MLIMG_DIR)
		r = mlimg_writer_dir_blocks(image, node, &blocks, &is_indexed, err);
	if (inode->type == MLIMG_FILE)
		blocks = mlimg_writer_extent_blocks(inode->file);
	if (inode->type == MLIMG_LINK)
		blocks = mlimg_writer_is_long_link(inode);
	needs->dir_index |= is_indexed;
	needs->blocks += blocks + mlimg_writer_needs_xattr_block(inode);
	return r;
}

static int mark_contents(struct mlimg_writer *image, struct mlimg_inode *inode,
	const struct mlimg_node *node, void *ctx, struct mlimg_err *err)
{
	const struct mlimg_extent *list;

	if (inode->type != MLIMG_FILE)
		return 0;
	list = mlimg_file_extents(inode->file);
	for (uint32_t i = 0; i < inode->file->n_extents; i++) {
		/* Of files that share, the first one has marked them, and all of them. */
		if (mlimg_data_is_shared(image->data) &&
			ext2fs_test_block_bitmap2(image->fs->block_map, list[i].start))
			continue;
		ext2fs_block_alloc_stats_range(image->fs, list[i].start, list[i].count, 1);
	}
	return 0;
}

static int write_one(struct mlimg_writer *image, struct mlimg_inode *inode,
	const struct mlimg_node *node, void *ctx, struct mlimg_err *err)
{
	struct mlimg_file contents = {0};
	bool is_indexed = false;
	int r = 0;

	if (inode->type == MLIMG_FILE)
		contents = *inode->file;
	else if (inode->type == MLIMG_DIR)
		r = mlimg_writer_put_dir(image, node, &contents, &is_indexed, err);
	else if (inode->type == MLIMG_LINK && mlimg_writer_is_long_link(inode))
		r = mlimg_writer_put_link(image, inode, &contents, err);
	if (r == 0)
		r = mlimg_writer_put_inode(
			image, inode, &contents, is_indexed ? EXT2_INDEX_FL : 0, err);
	if (inode->type == MLIMG_DIR)
		free(contents.extents);
	return r;
}

static int write_xattrs(struct mlimg_writer *image, struct mlimg_inode *inode,
	const struct mlimg_node *node, void *ctx, struct mlimg_err *err)
{
	return inode->n_xattrs ? mlimg_writer_put_xattrs(image, inode, node, err) : 0;
}

static void set_identity(struct mlimg_writer *image, const struct mlimg_writer_identity *identity)
{
	struct ext2_super_block *sb = image->fs->super;

	/*
	 * A constant, and layer.json has the time that counts: e2fsck calls a superblock from the
	 * future damaged, so a time of the source could only be used after a look at the clock, and
	 * then the bytes would depend on when the image was made. libext2fs takes 0 for "now".
	 */
	image->fs->now = 1;
	sb->s_mkfs_time = sb->s_lastcheck = sb->s_wtime = (uint32_t)image->fs->now;
	memcpy(sb->s_uuid, identity->uuid, sizeof(sb->s_uuid));
	strncpy((char *)sb->s_volume_name, identity->label, sizeof(sb->s_volume_name));
	memcpy(sb->s_hash_seed, image->hash_seed, sizeof(sb->s_hash_seed));
	sb->s_def_hash_version = EXT2_HASH_HALF_MD4;
	/* Signedness of char on the machine that made the image must not show in it. */
	sb->s_flags = (sb->s_flags & ~(uint32_t)EXT2_FLAGS_UNSIGNED_HASH) | EXT2_FLAGS_SIGNED_HASH;
	sb->s_default_mount_opts = EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL;
	sb->s_max_mnt_count = (uint16_t)-1;
	if (image->kind == MLIMG_USER)
		sb->s_errors = EXT2_ERRORS_RO;
	ext2fs_init_csum_seed(image->fs);
}

/*
 * What libext2fs makes itself: reserved inodes, and in a user layer the journal and room to grow.
 */
static int write_own_inodes(struct mlimg_writer *image, struct mlimg_err *err)
{
	ext2_filsys fs = image->fs;
	int journal_blocks = ext2fs_default_journal_size(ext2fs_blocks_count(fs->super));
	errcode_t code;

	for (ext2_ino_t i = 1; i < EXT2_GOOD_OLD_FIRST_INO; i++)
		if (i != EXT2_ROOT_INO)
			ext2fs_inode_alloc_stats2(fs, i, 1, 0);
	if (image->kind != MLIMG_USER)
		return 0;
	code = ext2fs_create_resize_inode(fs);
	/* The file is new, so the journal's blocks are zero without being written. */
	if (!code)
		code = ext2fs_add_journal_inode2(
			fs, (blk_t)journal_blocks, ~0ULL, EXT2_MKJOURNAL_LAZYINIT);
	if (!code)
		code = ext2fs_flush_icache(fs);
	if (code == EXT2_ET_BLOCK_ALLOC_FAIL)
		return mlimg_writer_too_small(image, err);
	return code ? mlimg_writer_fail(image, code, err) : 0;
}

static int close_file_system(struct mlimg_writer *image, struct mlimg_err *err)
{
	errcode_t code;

	/* Inode tables are zero where they are not written: the kernel need not clear them. */
	for (dgrp_t i = 0; i < image->fs->group_desc_count; i++) {
		ext2fs_bg_flags_set(image->fs, i, EXT2_BG_INODE_ZEROED);
		ext2fs_group_desc_csum_set(image->fs, i);
	}
	ext2fs_mark_super_dirty(image->fs);
	/* Whoever commits the image syncs it, once. */
	code = ext2fs_close2(image->fs, EXT2_FLAG_FLUSH_NO_SYNC);
	if (code)
		return mlimg_writer_fail(image, code, err);
	image->fs = NULL;
	return 0;
}

/* Number the inodes and make the layout, or see that all fits into the one that is there. */
static int prepare(struct mlimg_writer *image, struct mlimg_tree *tree, struct mlimg_err *err)
{
	struct mlimg_needs needs = {.inodes = EXT2_GOOD_OLD_FIRST_INO};
	uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_sha256 places;
	uint64_t end;
	int r = mlimg_data_sync(image->data, &end, err);

	if (r < 0)
		return r;
	mlimg_sha256_init(&places);
	r = for_each_inode(image, tree, add_place, &places, err);
	mlimg_sha256_end(&places, digest);
	memcpy(image->hash_seed, digest, sizeof(image->hash_seed));
	if (r == 0)
		r = for_each_inode(image, tree, add_needs, &needs, err);
	if (r < 0)
		return r;
	if (image->kind != MLIMG_USER)
		return mlimg_writer_layout_read_only(image, &needs, end, err);
	if (needs.inodes > image->fs->super->s_inodes_count)
		return mlimg_writer_too_small(image, err);
	image->goal = end;
	return 0;
}

int mlimg_writer_finish(struct mlimg_writer *image, struct mlimg_tree *tree,
	const struct mlimg_writer_identity *identity, struct mlimg_err *err)
{
	int r = prepare(image, tree, err);

	if (r < 0)
		return r;
	/* libext2fs reads blocks before it changes them, so they have to be there. */
	if (ftruncate(image->fd, (off_t)image->size_bytes) < 0)
		return mlimg_err_set(err, errno, "write '%s'", image->name);
	set_identity(image, identity);
	r = for_each_inode(image, tree, mark_contents, NULL, err);
	if (r == 0)
		r = write_own_inodes(image, err);
	if (r == 0)
		r = for_each_inode(image, tree, write_one, NULL, err);
	if (r == 0)
		r = mlimg_writer_flush_inodes(image, err);
	if (r == 0)
		r = mlimg_writer_flush_blocks(image, err);
	if (r == 0)
		r = for_each_inode(image, tree, write_xattrs, NULL, err);
	return r < 0 ? r : close_file_system(image, err);
}
