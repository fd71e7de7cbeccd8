/* SPDX-License-Identifier: MIT */
#include "libmlimg/superblock.h"

#include <string.h>

#include "libmlimg/crc32c.h"
#include "libmlimg/io.h"
#include "libmlimg/le.h"

/* Offsets of the fields, from super.rst. */
enum {
	S_INODES_COUNT = 0x0,
	S_BLOCKS_COUNT_LO = 0x4,
	S_FIRST_DATA_BLOCK = 0x14,
	S_LOG_BLOCK_SIZE = 0x18,
	S_BLOCKS_PER_GROUP = 0x20,
	S_INODES_PER_GROUP = 0x28,
	S_MAGIC = 0x38,
	S_REV_LEVEL = 0x4c,
	S_INODE_SIZE = 0x58,
	S_FEATURE_INCOMPAT = 0x60,
	S_FEATURE_RO_COMPAT = 0x64,
	S_UUID = 0x68,
	S_VOLUME_NAME = 0x78,
	S_HASH_SEED = 0xec,
	S_DESC_SIZE = 0xfe,
	S_BLOCKS_COUNT_HI = 0x150,
	S_CHECKSUM_TYPE = 0x175,
	S_CHECKSUM = 0x3fc,
};

#define EXT4_MAGIC 0xef53
#define INCOMPAT_64BIT 0x80u
#define RO_COMPAT_BIGALLOC 0x200u
#define RO_COMPAT_METADATA_CSUM 0x400u
#define CHECKSUM_CRC32C 1
#define LOG_BLOCK_SIZE_MAX 6 /* 64 KiB, the format's limit */

static bool is_power_of_2(uint32_t n)
{
	return n && !(n & (n - 1));
}

static const char *find_checksum_flaw(const uint8_t *data)
{
	if (!(mlimg_get_le32(data + S_FEATURE_RO_COMPAT) & RO_COMPAT_METADATA_CSUM))
		return NULL;
	if (data[S_CHECKSUM_TYPE] != CHECKSUM_CRC32C)
		return "unknown checksum type";
	if (mlimg_crc32c(~0u, data, S_CHECKSUM) != mlimg_get_le32(data + S_CHECKSUM))
		return "superblock checksum is wrong";
	return NULL;
}

/*
 * The group count follows from the blocks, the inode count from the groups: a superblock that was
 * hit rarely keeps both.
 */
static bool is_inode_count_right(const uint8_t *data, uint64_t blocks)
{
	uint64_t first = mlimg_get_le32(data + S_FIRST_DATA_BLOCK);
	uint64_t per_group = mlimg_get_le32(data + S_BLOCKS_PER_GROUP);
	uint64_t groups = (blocks - first + per_group - 1) / per_group;
	uint64_t inodes;

	return mlimg_mul_fits(groups, mlimg_get_le32(data + S_INODES_PER_GROUP), &inodes) &&
		inodes == mlimg_get_le32(data + S_INODES_COUNT);
}

/*
 * What the kernel checks before it mounts (fs/ext4/super.c) as far as the superblock alone can
 * tell.
 */
static const char *find_geometry_flaw(const uint8_t *data, struct mlimg_superblock *sb)
{
	bool is_64bit = mlimg_get_le32(data + S_FEATURE_INCOMPAT) & INCOMPAT_64BIT;
	bool is_bigalloc = mlimg_get_le32(data + S_FEATURE_RO_COMPAT) & RO_COMPAT_BIGALLOC;
	uint64_t blocks = mlimg_get_le32(data + S_BLOCKS_COUNT_LO);
	uint32_t per_group = mlimg_get_le32(data + S_BLOCKS_PER_GROUP);
	uint16_t inode_size = mlimg_get_le16(data + S_INODE_SIZE),
		 desc_size = mlimg_get_le16(data + S_DESC_SIZE);

	if (mlimg_get_le32(data + S_LOG_BLOCK_SIZE) > LOG_BLOCK_SIZE_MAX)
		return "impossible block size";
	sb->block_size = 1024u << mlimg_get_le32(data + S_LOG_BLOCK_SIZE);
	if (is_64bit)
		blocks |= (uint64_t)mlimg_get_le32(data + S_BLOCKS_COUNT_HI) << 32;
	if (blocks <= mlimg_get_le32(data + S_FIRST_DATA_BLOCK) ||
		!mlimg_mul_fits(blocks, sb->block_size, &sb->size_bytes) ||
		sb->size_bytes > INT64_MAX)
		return "impossible size";
	if (mlimg_get_le32(data + S_REV_LEVEL) >= 1 &&
		(!is_power_of_2(inode_size) || inode_size < 128 || inode_size > sb->block_size))
		return "impossible inode size";
	if (is_64bit && (!is_power_of_2(desc_size) || desc_size < 64 || desc_size > sb->block_size))
		return "impossible group descriptor size";
	if (!per_group || (!is_bigalloc && per_group > sb->block_size * 8))
		return "impossible group size";
	if (!is_inode_count_right(data, blocks))
		return "inode count does not fit the size";
	return NULL;
}

void mlimg_superblock_parse(
	const uint8_t data[MLIMG_SUPERBLOCK_SIZE], struct mlimg_superblock *ret_sb)
{
	memset(ret_sb, 0, sizeof(*ret_sb));
	if (mlimg_get_le16(data + S_MAGIC) != EXT4_MAGIC)
		return;
	memcpy(ret_sb->uuid, data + S_UUID, sizeof(ret_sb->uuid));
	memcpy(ret_sb->label, data + S_VOLUME_NAME, sizeof(ret_sb->label) - 1);
	memcpy(ret_sb->hash_seed, data + S_HASH_SEED, sizeof(ret_sb->hash_seed));
	ret_sb->flaw = find_checksum_flaw(data);
	if (!ret_sb->flaw)
		ret_sb->flaw = find_geometry_flaw(data, ret_sb);
	ret_sb->state = ret_sb->flaw ? MLIMG_SUPERBLOCK_DAMAGED : MLIMG_SUPERBLOCK_SOUND;
}
