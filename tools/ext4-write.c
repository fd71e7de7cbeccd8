/* SPDX-License-Identifier: MIT */
#include "tools/ext4-write-parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "tools/ext4-err.h"

#define BS MLIMG_BLOCK_SIZE
#define GROUP_BLOCKS (8 * BS) /* one block of bitmap */
#define GROUP_INODES (8 * BS)
#define DESC_SIZE EXT2_MIN_DESC_SIZE /* no 64bit: a read-only image has less than 2^32 blocks */
#define DESCS_PER_BLOCK (BS / DESC_SIZE)
/* Where contents begin in a read-only image: the superblock, and descriptors for 1008 GiB. What
 * the descriptors do not need is used for metadata. */
#define CONTENTS_START 64
#define GROUPS_MAX ((CONTENTS_START - 1) * DESCS_PER_BLOCK)
#define USER_SIZE_MIN (16 << 20)   /* below, no journal fits */
#define USER_BYTES_PER_INODE 16384 /* as mke2fs.conf has it */

#define INCOMPAT                                                          \
	(EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS | \
		EXT4_FEATURE_INCOMPAT_FLEX_BG)
#define RO_COMPAT                                                                       \
	(EXT2_FEATURE_RO_COMPAT_LARGE_FILE | EXT4_FEATURE_RO_COMPAT_HUGE_FILE |         \
		EXT4_FEATURE_RO_COMPAT_DIR_NLINK | EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE | \
		EXT4_FEATURE_RO_COMPAT_METADATA_CSUM)
#define LOG_GROUPS_PER_FLEX 4 /* as mke2fs has it */

/* What the metadata of a tree needs. */
struct needs {
	uint64_t inodes; /* the reserved ones included */
	uint64_t blocks; /* of directories, extent trees and xattrs */
};

/* How a read-only image is divided. */
struct geometry {
	uint64_t groups, blocks_per_group, inodes_per_group;
};

static int fail(const struct mlimg_writer *image, errcode_t code, struct mlimg_err *err)
{
	return mlimg_ext4_err_set(err, code, "write '%s'", image->name);
}

static uint64_t div_up(uint64_t n, uint64_t by)
{
	return (n + by - 1) / by;
}

static int too_small(const struct mlimg_writer *image, struct mlimg_err *err)
{
	return mlimg_err_set(err, 0, "'%s': %llu bytes are too small for the contents", image->name,
		(unsigned long long)image->size_bytes);
}

/* Next run of free blocks from the goal on, and if there is none from the beginning. */
static int find_run(struct mlimg_writer *image, uint64_t want, uint64_t *ret_start,
	uint64_t *ret_count, struct mlimg_err *err)
{
	uint64_t last = ext2fs_blocks_count(image->fs->super) - 1;
	ext2fs_block_bitmap map = image->fs->block_map;
	blk64_t start, end;

	if (image->goal > last ||
		ext2fs_find_first_zero_block_bitmap2(map, image->goal, last, &start)) {
		if (ext2fs_find_first_zero_block_bitmap2(map, 0, last, &start))
			return too_small(image, err);
	}
	if (want > last - start + 1)
		want = last - start + 1;
	if (want == 1 || ext2fs_find_first_set_block_bitmap2(map, start, start + want - 1, &end))
		end = start + want;
	image->goal = end;
	*ret_start = start;
	*ret_count = end - start;
	return 0;
}

int mlimg_writer_take_blocks(struct mlimg_writer *image, uint64_t want, uint64_t *ret_start,
	uint64_t *ret_count, struct mlimg_err *err)
{
	int r = find_run(image, want, ret_start, ret_count, err);

	if (r < 0)
		return r;
	ext2fs_block_alloc_stats_range(image->fs, *ret_start, (blk_t)*ret_count, 1);
	return 0;
}

/* Blocks for contents, of a read-only image: one run without an end. */
static int alloc_linear(void *ctx, uint64_t *ret_start, uint64_t *ret_count, struct mlimg_err *err)
{
	*ret_start = CONTENTS_START;
	*ret_count = UINT32_MAX;
	return 0;
}

/*
 * Of a user layer: the free runs between its metadata. They are marked as used later, with their
 * inodes, so the search never goes back to the beginning.
 */
static int alloc_between(void *ctx, uint64_t *ret_start, uint64_t *ret_count, struct mlimg_err *err)
{
	struct mlimg_writer *image = ctx;
	uint64_t goal = image->goal;
	int r = find_run(image, UINT32_MAX, ret_start, ret_count, err);

	if (r == 0 && *ret_start < goal)
		return too_small(image, err);
	return r;
}

static int initialize(
	struct mlimg_writer *image, struct ext2_super_block *param, struct mlimg_err *err)
{
	errcode_t code;

	param->s_log_block_size = 2;
	param->s_rev_level = EXT2_DYNAMIC_REV;
	param->s_inode_size = MLIMG_INODE_SIZE;
	param->s_log_groups_per_flex = LOG_GROUPS_PER_FLEX;
	param->s_feature_compat |= EXT2_FEATURE_COMPAT_EXT_ATTR;
	param->s_feature_incompat |= INCOMPAT;
	param->s_feature_ro_compat |= RO_COMPAT;
	code = ext2fs_initialize(
		image->tmp_path, EXT2_FLAG_64BITS, param, unix_io_manager, &image->fs);
	/*
	 * Writes of several blocks go past the channel's cache and leave clean blocks in it (seen
	 * in e2fsprogs 1.47.0): parts of the inode table would come back from there as zeros.
	 */
	if (!code)
		code = io_channel_set_options(image->fs->io, "cache=off");
	if (code)
		return fail(image, code, err);
	image->fs->super->s_checksum_type = EXT2_CRC32C_CHKSUM;
	return 0;
}

static int layout_user(struct mlimg_writer *image, struct mlimg_err *err)
{
	struct ext2_super_block param = {0};
	errcode_t code;
	int r;

	if (image->size_bytes < USER_SIZE_MIN)
		return mlimg_err_usage(
			err, "a user layer needs a size of at least %d bytes", USER_SIZE_MIN);
	ext2fs_blocks_count_set(&param, image->size_bytes / BS);
	param.s_inodes_count = (uint32_t)(image->size_bytes / USER_BYTES_PER_INODE);
	param.s_feature_compat = EXT2_FEATURE_COMPAT_DIR_INDEX | EXT2_FEATURE_COMPAT_RESIZE_INODE;
	param.s_feature_incompat = EXT4_FEATURE_INCOMPAT_64BIT;
	param.s_feature_ro_compat = EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER;
	r = initialize(image, &param, err);
	if (r < 0)
		return r;
	code = ext2fs_allocate_tables(image->fs);
	return code ? fail(image, code, err) : 0;
}

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
	image->dir_block = calloc(1, BS);
	if (!image->dir_block)
		r = mlimg_err_set(err, ENOMEM, "write '%s'", name);
	else if (size_bytes > MLIMG_WRITER_SIZE_MAX)
		r = mlimg_err_usage(err, "an image has at most %llu bytes",
			(unsigned long long)MLIMG_WRITER_SIZE_MAX);
	else
		r = kind == MLIMG_USER ? layout_user(image, err) : 0;
	if (r == 0)
		r = mlimg_data_new(fd, name, kind == MLIMG_USER ? alloc_between : alloc_linear,
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
	free(image->dir_block);
	free(image);
}

typedef int inode_fn(struct mlimg_writer *image, struct mlimg_inode *inode,
	const struct mlimg_node *node, void *ctx, struct mlimg_err *err);

/*
 * Visit every inode once, in the order of their numbers, which are given on the first visit: what a directory
 * holds has consecutive numbers, so that listing it with attributes reads few blocks.
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

static int add_needs(struct mlimg_writer *image, struct mlimg_inode *inode,
	const struct mlimg_node *node, void *ctx, struct mlimg_err *err)
{
	struct needs *needs = ctx;

	if (inode->number > needs->inodes)
		needs->inodes = inode->number;
	if (inode->type == MLIMG_DIR)
		needs->blocks += mlimg_writer_dir_blocks(node);
	if (inode->type == MLIMG_FILE)
		needs->blocks += mlimg_writer_extent_blocks(inode->file);
	if (inode->type == MLIMG_LINK)
		needs->blocks += mlimg_writer_is_long_link(inode);
	needs->blocks += mlimg_writer_needs_xattr_block(inode);
	return 0;
}

/* @return blocks of a read-only image that has its contents up to @p end and so many groups */
static uint64_t blocks_needed(const struct needs *needs, uint64_t end, struct geometry *g)
{
	uint64_t tables;

	g->inodes_per_group = div_up(div_up(needs->inodes, g->groups), MLIMG_INODES_PER_BLOCK) *
		MLIMG_INODES_PER_BLOCK;
	tables = 2 + g->inodes_per_group / MLIMG_INODES_PER_BLOCK;
	return end + needs->blocks + g->groups * tables;
}

/*
 * ext2fs_initialize() drops a last group that cannot hold metadata of its own, though with flex_bg
 * none needs to; and it wants this much of every group.
 */
static uint64_t group_blocks_min(const struct geometry *g)
{
	return 64 + g->inodes_per_group / MLIMG_INODES_PER_BLOCK + CONTENTS_START;
}

/* The least image: groups of one size, a multiple of 8 blocks (bytes of the bitmap). */
static struct geometry least_geometry(const struct needs *needs, uint64_t end)
{
	struct geometry g = {.groups = div_up(needs->inodes, GROUP_INODES)};
	uint64_t blocks;

	if (!g.groups)
		g.groups = 1;
	while ((blocks = blocks_needed(needs, end, &g)) > g.groups * GROUP_BLOCKS)
		g.groups++;
	g.blocks_per_group = div_up(div_up(blocks, g.groups), 8) * 8;
	if (g.blocks_per_group < group_blocks_min(&g))
		g.blocks_per_group = div_up(group_blocks_min(&g), 8) * 8;
	return g;
}

/* An image of the wanted size. */
static int wanted_geometry(const struct mlimg_writer *image, const struct needs *needs,
	uint64_t end, struct geometry *g, struct mlimg_err *err)
{
	struct geometry least = *g;
	uint64_t blocks = image->size_bytes / BS;

	g->groups = div_up(blocks, GROUP_BLOCKS);
	if (g->groups < least.groups)
		g->groups = least.groups;
	g->blocks_per_group = blocks / g->groups & ~UINT64_C(7);
	if (blocks_needed(needs, end, g) > g->groups * g->blocks_per_group ||
		g->blocks_per_group < group_blocks_min(g))
		return mlimg_err_set(err, 0, "'%s' needs at least %llu bytes, not %llu",
			image->name,
			(unsigned long long)(least.groups * least.blocks_per_group * BS),
			(unsigned long long)image->size_bytes);
	return 0;
}

/* Put the groups' bitmaps and inode tables behind the contents. */
static void place_tables(struct mlimg_writer *image, const struct geometry *g, uint64_t end)
{
	uint64_t table_blocks = g->inodes_per_group / MLIMG_INODES_PER_BLOCK;
	ext2_filsys fs = image->fs;

	for (dgrp_t i = 0; i < g->groups; i++) {
		ext2fs_block_bitmap_loc_set(fs, i, end + i);
		ext2fs_inode_bitmap_loc_set(fs, i, end + g->groups + i);
		ext2fs_inode_table_loc_set(fs, i, end + 2 * g->groups + i * table_blocks);
	}
	for (dgrp_t i = 0; i < g->groups; i++) {
		ext2fs_block_alloc_stats_range(fs, end + i, 1, 1);
		ext2fs_block_alloc_stats_range(fs, end + g->groups + i, 1, 1);
		ext2fs_block_alloc_stats_range(
			fs, ext2fs_inode_table_loc(fs, i), (blk_t)table_blocks, 1);
	}
}

/* @param end  block after the contents */
static int layout_read_only(
	struct mlimg_writer *image, const struct needs *needs, uint64_t end, struct mlimg_err *err)
{
	struct ext2_super_block param = {0};
	struct geometry g = least_geometry(needs, end);
	int r;

	if (image->size_bytes) {
		r = wanted_geometry(image, needs, end, &g, err);
		if (r < 0)
			return r;
	}
	if (g.groups > GROUPS_MAX)
		return mlimg_err_set(err, 0, "'%s': a read-only layer has at most %llu bytes",
			image->name, (unsigned long long)GROUPS_MAX * GROUP_BLOCKS * BS);
	ext2fs_blocks_count_set(&param, g.groups * g.blocks_per_group);
	param.s_blocks_per_group = (uint32_t)g.blocks_per_group;
	param.s_inodes_count = (uint32_t)(g.groups * g.inodes_per_group);
	param.s_feature_compat = EXT4_FEATURE_COMPAT_SPARSE_SUPER2;
	r = initialize(image, &param, err);
	if (r < 0)
		return r;
	place_tables(image, &g, end);
	if (!image->size_bytes)
		image->size_bytes = g.groups * g.blocks_per_group * BS;
	return 0;
}

/* @param ctx  digest of where they lie */
static int mark_contents(struct mlimg_writer *image, struct mlimg_inode *inode,
	const struct mlimg_node *node, void *ctx, struct mlimg_err *err)
{
	const struct mlimg_extent *list;

	if (inode->type != MLIMG_FILE)
		return 0;
	list = inode->file->n_extents > 1 ? inode->file->extents : &inode->file->one;
	for (uint32_t i = 0; i < inode->file->n_extents; i++) {
		uint64_t place[] = {inode->number, list[i].start, list[i].logical, list[i].count};

		mlimg_sha256_add(ctx, place, sizeof(place));
		ext2fs_block_alloc_stats_range(image->fs, list[i].start, list[i].count, 1);
	}
	return 0;
}

static int write_one(struct mlimg_writer *image, struct mlimg_inode *inode,
	const struct mlimg_node *node, void *ctx, struct mlimg_err *err)
{
	struct mlimg_file contents = {0};
	int r = 0;

	if (inode->type == MLIMG_FILE)
		contents = *inode->file;
	else if (inode->type == MLIMG_DIR)
		r = mlimg_writer_put_dir(image, node, &contents, err);
	else if (inode->type == MLIMG_LINK && mlimg_writer_is_long_link(inode))
		r = mlimg_writer_put_link(image, inode, &contents, err);
	if (r == 0)
		r = mlimg_writer_put_inode(image, inode, &contents, err);
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
	/* e2fsck calls a superblock from the future damaged, and libext2fs takes 0 for "now". */
	bool is_possible = identity->time_s > 0 && identity->time_s <= UINT32_MAX &&
		identity->time_s <= time(NULL);

	image->fs->now = is_possible ? identity->time_s : 1;
	sb->s_mkfs_time = sb->s_lastcheck = sb->s_wtime = (uint32_t)image->fs->now;
	memcpy(sb->s_uuid, identity->uuid, sizeof(sb->s_uuid));
	strncpy((char *)sb->s_volume_name, identity->label, sizeof(sb->s_volume_name));
	sb->s_def_hash_version = EXT2_HASH_HALF_MD4;
	/* Signedness of char on the machine that made the image must not show in it. */
	sb->s_flags = (sb->s_flags & ~(uint32_t)EXT2_FLAGS_UNSIGNED_HASH) | EXT2_FLAGS_SIGNED_HASH;
	sb->s_default_mount_opts = EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL;
	sb->s_max_mnt_count = (uint16_t)-1;
	if (image->kind == MLIMG_USER)
		sb->s_errors = EXT2_ERRORS_RO;
	ext2fs_init_csum_seed(image->fs);
}

/* What libext2fs makes itself: reserved inodes, and in a user layer the journal and room to grow. */
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
		return too_small(image, err);
	return code ? fail(image, code, err) : 0;
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
		return fail(image, code, err);
	image->fs = NULL;
	return 0;
}

/* Number the inodes and make the layout, or see that all fits into the one that is there. */
static int prepare(struct mlimg_writer *image, struct mlimg_tree *tree, struct mlimg_err *err)
{
	struct needs needs = {.inodes = EXT2_GOOD_OLD_FIRST_INO};
	uint64_t end;
	int r = mlimg_data_sync(image->data, &end, err);

	if (r == 0)
		r = for_each_inode(image, tree, add_needs, &needs, err);
	if (r < 0)
		return r;
	if (image->kind != MLIMG_USER)
		return layout_read_only(
			image, &needs, end > CONTENTS_START ? end : CONTENTS_START, err);
	if (needs.inodes > image->fs->super->s_inodes_count)
		return too_small(image, err);
	image->goal = end;
	return 0;
}

int mlimg_writer_finish(struct mlimg_writer *image, struct mlimg_tree *tree,
	const struct mlimg_writer_identity *identity, struct mlimg_err *err)
{
	uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_sha256 places;
	int r = prepare(image, tree, err);

	if (r < 0)
		return r;
	/* libext2fs reads blocks before it changes them, so they have to be there. */
	if (ftruncate(image->fd, (off_t)image->size_bytes) < 0)
		return mlimg_err_set(err, errno, "write '%s'", image->name);
	set_identity(image, identity);
	mlimg_sha256_init(&places);
	r = for_each_inode(image, tree, mark_contents, &places, err);
	mlimg_sha256_end(&places, digest);
	memcpy(image->fs->super->s_hash_seed, digest, sizeof(image->fs->super->s_hash_seed));
	if (r == 0)
		r = write_own_inodes(image, err);
	if (r == 0)
		r = for_each_inode(image, tree, write_one, NULL, err);
	if (r == 0)
		r = mlimg_writer_flush_inodes(image, err);
	if (r == 0)
		r = for_each_inode(image, tree, write_xattrs, NULL, err);
	return r < 0 ? r : close_file_system(image, err);
}
