/* SPDX-License-Identifier: MIT */
/*
 * Inodes, their extents and xattrs (the kernel's Documentation/filesystems/ext4/inodes.rst and
 * ifork.rst). Inode tables are filled in memory and written in large pieces: libext2fs' own call
 * for one inode reads and writes a block each time.
 */
#include "tools/ext4-write-parts.h"

#include <errno.h>
#include <ext2fs/ext3_extents.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "tools/ext4-err.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "inodes are filled in the byte order of the machine, which must be little-endian"
#endif

#define EXTENTS_IN_INODE 4
#define EXTENTS_IN_BLOCK ((MLIMG_BLOCK_SIZE - sizeof(struct ext3_extent_header)) / EXTENT_SIZE)
#define EXTENT_SIZE sizeof(struct ext3_extent)
#define EXTRA_SIZE (sizeof(struct ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE)
/* What is left of an inode for xattrs, without their magic number and the mark of their end. */
#define XATTRS_IN_INODE (MLIMG_INODE_SIZE - sizeof(struct ext2_inode_large) - 8)
#define FAST_LINK_MAX 59    /* bytes of a target that lies in the inode, and a NUL */
#define DIR_LINKS_MAX 64998 /* directories in a directory; above, i_links_count says 1 */

/* As ext4 has an extent; an index has its first logical block at the same place. */
union slot {
	struct ext3_extent extent;
	struct ext3_extent_idx index;
};

/* Extents as ext4 has them: at most 2^15 blocks each. */
static uint64_t count_slots(const struct mlimg_file *file)
{
	const struct mlimg_extent *list = mlimg_file_extents(file);
	uint64_t n = 0;

	for (uint32_t i = 0; i < file->n_extents; i++)
		n += (list[i].count + EXT_INIT_MAX_LEN - 1) / EXT_INIT_MAX_LEN;
	return n;
}

uint64_t mlimg_writer_extent_blocks(const struct mlimg_file *file)
{
	uint64_t n = count_slots(file), blocks = 0;

	while (n > EXTENTS_IN_INODE) {
		n = (n + EXTENTS_IN_BLOCK - 1) / EXTENTS_IN_BLOCK;
		blocks += n;
	}
	return blocks;
}

static void fill_slots(const struct mlimg_file *file, union slot *slots)
{
	const struct mlimg_extent *list = mlimg_file_extents(file);

	for (uint32_t i = 0; i < file->n_extents; i++) {
		for (uint32_t at = 0; at < list[i].count; at += EXT_INIT_MAX_LEN) {
			uint32_t left = list[i].count - at;
			uint64_t start = list[i].start + at;

			slots++->extent = (struct ext3_extent){
				.ee_block = list[i].logical + at,
				.ee_len = (uint16_t)(left < EXT_INIT_MAX_LEN ? left
									     : EXT_INIT_MAX_LEN),
				.ee_start = (uint32_t)start,
				.ee_start_hi = (uint16_t)(start >> 32),
			};
		}
	}
}

static void fill_header(void *at, uint64_t entries, size_t max, uint16_t depth)
{
	*(struct ext3_extent_header *)at = (struct ext3_extent_header){
		.eh_magic = EXT3_EXT_MAGIC,
		.eh_entries = (uint16_t)entries,
		.eh_max = (uint16_t)max,
		.eh_depth = depth,
	};
}

/* Write up to a block's worth of slots into a block of its own, and let *up be its index. */
static int write_extent_block(struct mlimg_writer *image, uint32_t ino, const union slot *slots,
	size_t n, uint16_t depth, union slot *up, struct mlimg_err *err)
{
	uint8_t block[MLIMG_BLOCK_SIZE] = {0};
	uint32_t logical = slots[0].index.ei_block;
	uint64_t start, count;
	errcode_t code;
	int r = mlimg_writer_take_blocks(image, 1, &start, &count, err);

	if (r < 0)
		return r;
	fill_header(block, n, EXTENTS_IN_BLOCK, depth);
	memcpy(block + sizeof(struct ext3_extent_header), slots, n * EXTENT_SIZE);
	code = ext2fs_extent_block_csum_set(image->fs, ino, (void *)block);
	if (!code)
		code = io_channel_write_blk64(image->fs->io, start, 1, block);
	if (code)
		return mlimg_ext4_err_set(err, code, "write '%s'", image->name);
	up->index = (struct ext3_extent_idx){
		.ei_block = logical,
		.ei_leaf = (uint32_t)start,
		.ei_leaf_hi = (uint16_t)(start >> 32),
	};
	return 0;
}

/* Put the extents into the inode, above as many levels of blocks as are needed. */
static int put_extents(struct mlimg_writer *image, uint32_t ino, const struct mlimg_file *file,
	struct ext2_inode_large *disk, struct mlimg_err *err)
{
	mlimg_autofree union slot *slots = NULL;
	uint64_t n = count_slots(file);
	uint16_t depth = 0;
	uint8_t *root = (uint8_t *)disk->i_block;

	slots = calloc(n ? n : 1, sizeof(*slots));
	if (!slots)
		return mlimg_err_set(err, ENOMEM, "write '%s'", image->name);
	fill_slots(file, slots);
	for (; n > EXTENTS_IN_INODE; depth++) {
		uint64_t n_up = 0;

		for (uint64_t at = 0; at < n; at += EXTENTS_IN_BLOCK) {
			size_t some = n - at < EXTENTS_IN_BLOCK ? n - at : EXTENTS_IN_BLOCK;
			int r = write_extent_block(
				image, ino, slots + at, some, depth, &slots[n_up++], err);

			if (r < 0)
				return r;
		}
		n = n_up;
	}
	fill_header(root, n, EXTENTS_IN_INODE, depth);
	memcpy(root + sizeof(struct ext3_extent_header), slots, n * EXTENT_SIZE);
	disk->i_flags |= EXT4_EXTENTS_FL;
	return 0;
}

static int put_contents(struct mlimg_writer *image, const struct mlimg_inode *inode,
	const struct mlimg_file *file, struct ext2_inode_large *disk, struct mlimg_err *err)
{
	const struct mlimg_extent *list = mlimg_file_extents(file);
	uint64_t blocks = mlimg_writer_extent_blocks(file);
	errcode_t code;
	int r = put_extents(image, inode->number, file, disk, err);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < file->n_extents; i++)
		blocks += list[i].count;
	code = ext2fs_iblk_set(image->fs, (struct ext2_inode *)disk, blocks);
	if (code)
		return mlimg_ext4_err_set(err, code, "write '%s'", image->name);
	disk->i_size = (uint32_t)file->size_bytes;
	disk->i_size_high = (uint32_t)(file->size_bytes >> 32);
	return 0;
}

/* new_encode_dev() of linux/kdev_t.h, and the older form where the numbers fit. */
static void put_device(const struct mlimg_inode *inode, struct ext2_inode_large *disk)
{
	uint32_t major = inode->dev[0], minor = inode->dev[1];

	if (major < 256 && minor < 256)
		disk->i_block[0] = major << 8 | minor;
	else
		disk->i_block[1] = (minor & 0xff) | major << 8 | (minor & ~UINT32_C(0xff)) << 12;
}

static void put_attributes(const struct mlimg_inode *inode, struct ext2_inode_large *disk)
{
	uint32_t seconds = (uint32_t)inode->mtime_s;
	uint32_t epoch = (uint32_t)((inode->mtime_s - (int32_t)seconds) >> 32) & EXT4_EPOCH_MASK;
	uint32_t extra = inode->mtime_ns << EXT4_EPOCH_BITS | epoch;

	disk->i_mode = mlimg_type_mode(inode->type) | inode->mode;
	disk->i_uid = (uint16_t)inode->uid;
	disk->osd2.linux2.l_i_uid_high = (uint16_t)(inode->uid >> 16);
	disk->i_gid = (uint16_t)inode->gid;
	disk->osd2.linux2.l_i_gid_high = (uint16_t)(inode->gid >> 16);
	disk->i_extra_isize = EXTRA_SIZE;
	disk->i_atime = disk->i_ctime = disk->i_mtime = disk->i_crtime = seconds;
	disk->i_atime_extra = disk->i_ctime_extra = extra;
	disk->i_mtime_extra = disk->i_crtime_extra = extra;
	if (inode->type == MLIMG_DIR)
		disk->i_links_count =
			inode->nlink > DIR_LINKS_MAX ? 1 : (uint16_t)(2 + inode->nlink);
	else
		disk->i_links_count = (uint16_t)inode->nlink;
}

static int fill_inode(struct mlimg_writer *image, const struct mlimg_inode *inode,
	const struct mlimg_file *contents, struct ext2_inode_large *disk, struct mlimg_err *err)
{
	put_attributes(inode, disk);
	switch (inode->type) {
	case MLIMG_LINK:
		if (mlimg_writer_is_long_link(inode))
			return put_contents(image, inode, contents, disk, err);
		disk->i_size = (uint32_t)strlen(inode->link);
		memcpy(disk->i_block, inode->link, disk->i_size);
		return 0;
	case MLIMG_DIR:
	case MLIMG_FILE: return put_contents(image, inode, contents, disk, err);
	case MLIMG_CHAR:
	case MLIMG_BLOCK: put_device(inode, disk); return 0;
	default: return 0;
	}
}

bool mlimg_writer_is_long_link(const struct mlimg_inode *inode)
{
	return strlen(inode->link) > FAST_LINK_MAX;
}

int mlimg_writer_put_link(struct mlimg_writer *image, const struct mlimg_inode *inode,
	struct mlimg_file *ret_file, struct mlimg_err *err)
{
	uint8_t block[MLIMG_BLOCK_SIZE] = {0};
	uint64_t start, count;
	errcode_t code;
	int r = mlimg_writer_take_blocks(image, 1, &start, &count, err);

	if (r < 0)
		return r;
	ret_file->size_bytes = strlen(inode->link);
	ret_file->n_extents = 1;
	ret_file->one = (struct mlimg_extent){.start = start, .count = 1};
	memcpy(block, inode->link, ret_file->size_bytes);
	code = io_channel_write_blk64(image->fs->io, start, 1, block);
	return code ? mlimg_ext4_err_set(err, code, "write '%s'", image->name) : 0;
}

int mlimg_writer_flush_inodes(struct mlimg_writer *image, struct mlimg_err *err)
{
	struct mlimg_inode_table *t = &image->table;
	errcode_t code;

	if (!t->n_blocks)
		return 0;
	code = io_channel_write_blk64(image->fs->io, t->block, (int)t->n_blocks, t->bytes);
	t->n_blocks = 0;
	if (!code)
		code = ext2fs_flush_icache(image->fs);
	if (code)
		return mlimg_ext4_err_set(err, code, "write '%s'", image->name);
	return 0;
}

/* Where the inode lies in the table's buffer, which is made to hold its block. */
static int find_slot(
	struct mlimg_writer *image, uint32_t number, uint8_t **ret_slot, struct mlimg_err *err)
{
	struct mlimg_inode_table *t = &image->table;
	uint32_t per_group = image->fs->super->s_inodes_per_group;
	uint32_t index = (number - 1) % per_group;
	uint64_t block = ext2fs_inode_table_loc(image->fs, (number - 1) / per_group) +
		index / MLIMG_INODES_PER_BLOCK;

	if (!t->n_blocks || block != t->block + t->n_blocks - 1) {
		uint8_t *at;
		errcode_t code = 0;
		int r;

		if (!t->n_blocks || block != t->block + t->n_blocks ||
			t->n_blocks == MLIMG_TABLE_BUFFER / MLIMG_BLOCK_SIZE) {
			r = mlimg_writer_flush_inodes(image, err);
			if (r < 0)
				return r;
			t->block = block;
		}
		at = t->bytes + (size_t)t->n_blocks++ * MLIMG_BLOCK_SIZE;
		memset(at, 0, MLIMG_BLOCK_SIZE);
		/* libext2fs has put the journal's inode and others among the first ones. */
		if (number <= MLIMG_INODES_PER_BLOCK)
			code = io_channel_read_blk64(image->fs->io, block, 1, at);
		if (code)
			return mlimg_ext4_err_set(err, code, "read '%s'", image->name);
	}
	*ret_slot = t->bytes + (size_t)(block - t->block) * MLIMG_BLOCK_SIZE +
		(size_t)(index % MLIMG_INODES_PER_BLOCK) * MLIMG_INODE_SIZE;
	return 0;
}

int mlimg_writer_put_inode(struct mlimg_writer *image, const struct mlimg_inode *inode,
	const struct mlimg_file *contents, uint32_t flags, struct mlimg_err *err)
{
	uint8_t disk[MLIMG_INODE_SIZE] = {0};
	uint8_t *slot = NULL;
	errcode_t code;
	int r = fill_inode(image, inode, contents, (void *)disk, err);

	if (r < 0)
		return r;
	((struct ext2_inode_large *)disk)->i_flags |= flags;
	code = ext2fs_inode_csum_set(image->fs, inode->number, (void *)disk);
	if (code)
		return mlimg_ext4_err_set(err, code, "write '%s'", image->name);
	r = find_slot(image, inode->number, &slot, err);
	if (r < 0)
		return r;
	memcpy(slot, disk, sizeof(disk));
	ext2fs_inode_alloc_stats2(image->fs, inode->number, 1, inode->type == MLIMG_DIR);
	return 0;
}

bool mlimg_writer_needs_xattr_block(const struct mlimg_inode *inode)
{
	size_t total = 0;

	for (uint32_t i = 0; i < inode->n_xattrs; i++)
		total += mlimg_xattr_stored_size(&inode->xattrs[i]);
	return total > XATTRS_IN_INODE;
}

int mlimg_writer_put_xattrs(struct mlimg_writer *image, const struct mlimg_inode *inode,
	const struct mlimg_node *node, struct mlimg_err *err)
{
	struct ext2_xattr_handle *h;
	char path[MLIMG_PATH_MAX + 1];
	errcode_t code = ext2fs_xattrs_open(image->fs, inode->number, &h);

	if (code)
		return mlimg_ext4_err_set(err, code, "write '%s'", image->name);
	for (uint32_t i = 0; i < inode->n_xattrs && !code; i++)
		code = ext2fs_xattr_set(
			h, inode->xattrs[i].name, inode->xattrs[i].value, inode->xattrs[i].size);
	ext2fs_xattrs_close(&h);
	if (code == EXT2_ET_EA_NO_SPACE)
		return mlimg_err_refuse(err, "'%s': xattrs are too large for ext4",
			mlimg_node_path(node, NULL, path, sizeof(path)));
	if (code)
		return mlimg_ext4_err_set(err, code, "write xattrs of '%s'",
			mlimg_node_path(node, NULL, path, sizeof(path)));
	return 0;
}
