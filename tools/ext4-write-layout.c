/* SPDX-License-Identifier: MIT */
/* Where everything lies in an image, and which blocks are free. */
#include "tools/ext4-write-parts.h"

#include <errno.h>
#include <string.h>

#include "tools/ext4-err.h"

#define BS MLIMG_BLOCK_SIZE
#define GROUP_BLOCKS (8 * BS) /* one block of bitmap */
#define GROUP_INODES (8 * BS)
#define DESC_SIZE EXT2_MIN_DESC_SIZE /* no 64bit: a read-only image has less than 2^32 blocks */
#define DESCS_PER_BLOCK (BS / DESC_SIZE)
#define GROUPS_MAX ((MLIMG_CONTENTS_START - 1) * DESCS_PER_BLOCK)
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

/* How a read-only image is divided. */
struct geometry {
	uint64_t groups, blocks_per_group, inodes_per_group;
	uint64_t blocks; /* in all; the last group may have fewer than the others */
};

int mlimg_writer_fail(const struct mlimg_writer *image, errcode_t code, struct mlimg_err *err)
{
	return mlimg_ext4_err_set(err, code, "write '%s'", image->name);
}

static uint64_t div_up(uint64_t n, uint64_t by)
{
	return (n + by - 1) / by;
}

int mlimg_writer_too_small(const struct mlimg_writer *image, struct mlimg_err *err)
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
			return mlimg_writer_too_small(image, err);
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

int mlimg_writer_flush_blocks(struct mlimg_writer *image, struct mlimg_err *err)
{
	struct mlimg_block_run *run = &image->run;
	errcode_t code;

	if (!run->n_blocks)
		return 0;
	code = io_channel_write_blk64(image->fs->io, run->block, (int)run->n_blocks, run->bytes);
	run->n_blocks = 0;
	return code ? mlimg_writer_fail(image, code, err) : 0;
}

int mlimg_writer_room_for(
	struct mlimg_writer *image, uint64_t block, uint8_t **ret_room, struct mlimg_err *err)
{
	struct mlimg_block_run *run = &image->run;

	if (run->n_blocks == MLIMG_RUN_BLOCKS || block != run->block + run->n_blocks) {
		int r = mlimg_writer_flush_blocks(image, err);

		if (r < 0)
			return r;
	}
	if (!run->n_blocks)
		run->block = block;
	*ret_room = run->bytes + (size_t)run->n_blocks++ * BS;
	memset(*ret_room, 0, BS);
	return 0;
}

int mlimg_writer_alloc_linear(
	void *ctx, uint64_t *ret_start, uint64_t *ret_count, struct mlimg_err *err)
{
	*ret_start = MLIMG_CONTENTS_START;
	*ret_count = UINT32_MAX;
	return 0;
}

int mlimg_writer_alloc_between(
	void *ctx, uint64_t *ret_start, uint64_t *ret_count, struct mlimg_err *err)
{
	struct mlimg_writer *image = ctx;
	uint64_t goal = image->goal;
	int r = find_run(image, UINT32_MAX, ret_start, ret_count, err);

	if (r == 0 && *ret_start < goal)
		return mlimg_writer_too_small(image, err);
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
		return mlimg_writer_fail(image, code, err);
	image->fs->super->s_checksum_type = EXT2_CRC32C_CHKSUM;
	return 0;
}

int mlimg_writer_layout_user(struct mlimg_writer *image, struct mlimg_err *err)
{
	struct ext2_super_block param = {0};
	errcode_t code;
	int r;

	if (image->size_bytes < USER_SIZE_MIN)
		return mlimg_err_usage(
			err, "a user layer needs a size of at least %d bytes", USER_SIZE_MIN);
	image->size_bytes -= image->size_bytes % BS;
	ext2fs_blocks_count_set(&param, image->size_bytes / BS);
	param.s_inodes_count = (uint32_t)(image->size_bytes / USER_BYTES_PER_INODE);
	param.s_feature_compat = EXT2_FEATURE_COMPAT_DIR_INDEX | EXT2_FEATURE_COMPAT_RESIZE_INODE;
	param.s_feature_incompat = EXT4_FEATURE_INCOMPAT_64BIT;
	param.s_feature_ro_compat = EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER;
	r = initialize(image, &param, err);
	if (r < 0)
		return r;
	code = ext2fs_allocate_tables(image->fs);
	return code ? mlimg_writer_fail(image, code, err) : 0;
}

/* @return blocks of a read-only image that has its contents up to @p end and so many groups */
static uint64_t blocks_needed(const struct mlimg_needs *needs, uint64_t end, struct geometry *g)
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
	return 64 + g->inodes_per_group / MLIMG_INODES_PER_BLOCK + MLIMG_CONTENTS_START;
}

/* The least image: groups of one size, a multiple of 8 blocks (bytes of the bitmap). */
static struct geometry least_geometry(const struct mlimg_needs *needs, uint64_t end)
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
	g.blocks = g.groups * g.blocks_per_group;
	return g;
}

/*
 * Divide the wanted blocks. Where nothing is left for the last group, all get fewer, and some
 * blocks remain unused.
 */
static void divide(struct geometry *g, uint64_t blocks)
{
	g->blocks_per_group = div_up(div_up(blocks, g->groups), 8) * 8;
	g->blocks = blocks;
	if (blocks >= (g->groups - 1) * g->blocks_per_group + group_blocks_min(g))
		return;
	g->blocks_per_group = blocks / g->groups & ~UINT64_C(7);
	g->blocks = g->groups * g->blocks_per_group;
}

/* What @least can be cut down to, which is only done where a size is wanted. */
static uint64_t least_blocks(const struct mlimg_needs *needs, uint64_t end, struct geometry least)
{
	struct geometry g = least;
	uint64_t blocks = blocks_needed(needs, end, &g);

	if (blocks < group_blocks_min(&g))
		blocks = group_blocks_min(&g);
	divide(&g, blocks);
	return g.blocks == blocks ? blocks : least.blocks;
}

/* An image of the wanted size. */
static int wanted_geometry(const struct mlimg_writer *image, const struct mlimg_needs *needs,
	uint64_t end, struct geometry *g, struct mlimg_err *err)
{
	struct geometry least = *g;
	uint64_t blocks = image->size_bytes / BS, needed;

	g->groups = div_up(blocks, GROUP_BLOCKS);
	if (g->groups < least.groups)
		g->groups = least.groups;
	needed = blocks_needed(needs, end, g); /* sets inodes_per_group, too */
	divide(g, blocks);
	if (needed > g->blocks || g->blocks_per_group < group_blocks_min(g))
		return mlimg_err_set(err, 0, "'%s' needs at least %llu bytes, not %llu",
			image->name, (unsigned long long)least_blocks(needs, end, least) * BS,
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

int mlimg_writer_layout_read_only(struct mlimg_writer *image, const struct mlimg_needs *needs,
	uint64_t end, struct mlimg_err *err)
{
	struct ext2_super_block param = {0};
	struct geometry g;
	int r;

	if (end < MLIMG_CONTENTS_START)
		end = MLIMG_CONTENTS_START; /* there are none */
	g = least_geometry(needs, end);
	if (image->size_bytes) {
		r = wanted_geometry(image, needs, end, &g, err);
		if (r < 0)
			return r;
	}
	if (g.groups > GROUPS_MAX)
		return mlimg_err_set(err, 0, "'%s': a read-only layer has at most %llu bytes",
			image->name, (unsigned long long)GROUPS_MAX * GROUP_BLOCKS * BS);
	ext2fs_blocks_count_set(&param, g.blocks);
	param.s_blocks_per_group = (uint32_t)g.blocks_per_group;
	param.s_inodes_count = (uint32_t)(g.groups * g.inodes_per_group);
	param.s_feature_compat = EXT4_FEATURE_COMPAT_SPARSE_SUPER2;
	if (mlimg_data_is_shared(image->data))
		param.s_feature_ro_compat |= EXT4_FEATURE_RO_COMPAT_SHARED_BLOCKS;
	if (needs->dir_index)
		param.s_feature_compat |= EXT2_FEATURE_COMPAT_DIR_INDEX;
	r = initialize(image, &param, err);
	if (r < 0)
		return r;
	place_tables(image, &g, end);
	image->size_bytes = g.blocks * BS;
	return 0;
}
