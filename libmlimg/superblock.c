/* SPDX-License-Identifier: MIT */
#include "libmlimg/superblock.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/io.h"

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

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) | (uint32_t)get16(p + 2) << 16;
}

/* CRC-32C (RFC 3720, appendix B.4) bit by bit: one kilobyte a disk needs no table. */
static uint32_t crc32c(uint32_t crc, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return crc;
}

static bool is_power_of_2(uint32_t n)
{
	return n && !(n & (n - 1));
}

static const char *find_checksum_flaw(const uint8_t *data)
{
	if (!(get32(data + S_FEATURE_RO_COMPAT) & RO_COMPAT_METADATA_CSUM))
		return NULL;
	if (data[S_CHECKSUM_TYPE] != CHECKSUM_CRC32C)
		return "unknown checksum type";
	if (crc32c(~0u, data, S_CHECKSUM) != get32(data + S_CHECKSUM))
		return "superblock checksum is wrong";
	return NULL;
}

/* The group count follows from the blocks, the inode count from the groups: a superblock that was hit rarely keeps both. */
static bool is_inode_count_right(const uint8_t *data, uint64_t blocks)
{
	uint64_t first = get32(data + S_FIRST_DATA_BLOCK);
	uint64_t per_group = get32(data + S_BLOCKS_PER_GROUP);
	uint64_t groups = (blocks - first + per_group - 1) / per_group;
	uint64_t inodes;

	return mlimg_mul_fits(groups, get32(data + S_INODES_PER_GROUP), &inodes) &&
		inodes == get32(data + S_INODES_COUNT);
}

/* What the kernel checks before it mounts (fs/ext4/super.c) as far as the superblock alone can tell. */
static const char *find_geometry_flaw(const uint8_t *data, struct mlimg_superblock *sb)
{
	bool is_64bit = get32(data + S_FEATURE_INCOMPAT) & INCOMPAT_64BIT;
	bool is_bigalloc = get32(data + S_FEATURE_RO_COMPAT) & RO_COMPAT_BIGALLOC;
	uint64_t blocks = get32(data + S_BLOCKS_COUNT_LO);
	uint32_t per_group = get32(data + S_BLOCKS_PER_GROUP);
	uint16_t inode_size = get16(data + S_INODE_SIZE), desc_size = get16(data + S_DESC_SIZE);

	if (get32(data + S_LOG_BLOCK_SIZE) > LOG_BLOCK_SIZE_MAX)
		return "impossible block size";
	sb->block_size = 1024u << get32(data + S_LOG_BLOCK_SIZE);
	if (is_64bit)
		blocks |= (uint64_t)get32(data + S_BLOCKS_COUNT_HI) << 32;
	if (blocks <= get32(data + S_FIRST_DATA_BLOCK) ||
		!mlimg_mul_fits(blocks, sb->block_size, &sb->size_bytes) ||
		sb->size_bytes > INT64_MAX)
		return "impossible size";
	if (get32(data + S_REV_LEVEL) >= 1 &&
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
	if (get16(data + S_MAGIC) != EXT4_MAGIC)
		return;
	memcpy(ret_sb->uuid, data + S_UUID, sizeof(ret_sb->uuid));
	memcpy(ret_sb->label, data + S_VOLUME_NAME, sizeof(ret_sb->label) - 1);
	ret_sb->flaw = find_checksum_flaw(data);
	if (!ret_sb->flaw)
		ret_sb->flaw = find_geometry_flaw(data, ret_sb);
	ret_sb->state = ret_sb->flaw ? MLIMG_SUPERBLOCK_DAMAGED : MLIMG_SUPERBLOCK_SOUND;
}

const char *mlimg_disk_state_name(enum mlimg_disk_state state)
{
	static const char *const names[] = {
		[MLIMG_DISK_LAYER] = "layer",
		[MLIMG_DISK_EXT4] = "ext4",
		[MLIMG_DISK_DAMAGED] = "damaged",
		[MLIMG_DISK_TRUNCATED] = "truncated",
		[MLIMG_DISK_BLANK] = "blank",
		[MLIMG_DISK_OTHER] = "other",
		[MLIMG_DISK_UNREADABLE] = "unreadable",
	};

	return names[state];
}

static int get_size(int fd, uint64_t *ret_size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISBLK(st.st_mode))
		return ioctl(fd, BLKGETSIZE64, ret_size) < 0 ? -errno : 0;
	if (!S_ISREG(st.st_mode))
		return -ENOTBLK;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

/* Bytes read, fewer than @p size only at the end of the disk; or -errno. */
static ssize_t read_at(int fd, void *buf, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (char *)buf + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static bool is_zero(const uint8_t *data, size_t size)
{
	return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

static enum mlimg_kind kind_of_label(const char *label)
{
	for (enum mlimg_kind kind = MLIMG_SYSTEM; kind <= MLIMG_KIND_LAST; kind++)
		if (strcmp(label, mlimg_kind_label(kind)) == 0)
			return kind;
	return 0;
}

/*
 * The first backup lies at the beginning of group 1, and a group has 8 * block size blocks unless mke2fs was told otherwise. Only a
 * sound one counts: the magic number alone is two bytes that any file may have there.
 */
static bool find_backup(int fd, struct mlimg_disk *disk)
{
	for (uint32_t block_size = 1024; block_size <= 4096; block_size *= 2) {
		uint64_t block = (uint64_t)block_size * 8 + (block_size == 1024);
		uint8_t data[MLIMG_SUPERBLOCK_SIZE];
		struct mlimg_superblock sb;

		if (read_at(fd, data, sizeof(data), block * block_size) != sizeof(data))
			continue;
		mlimg_superblock_parse(data, &sb);
		if (sb.state != MLIMG_SUPERBLOCK_SOUND || sb.block_size != block_size)
			continue;
		disk->sb = sb;
		disk->backup_offset = block * block_size;
		return true;
	}
	return false;
}

static enum mlimg_disk_state judge(
	int fd, const uint8_t *data, size_t size, struct mlimg_disk *disk)
{
	if (size >= MLIMG_SUPERBLOCK_OFFSET + MLIMG_SUPERBLOCK_SIZE)
		mlimg_superblock_parse(data + MLIMG_SUPERBLOCK_OFFSET, &disk->sb);
	if (disk->sb.state == MLIMG_SUPERBLOCK_SOUND) {
		if (disk->sb.size_bytes > disk->size_bytes)
			return MLIMG_DISK_TRUNCATED;
		return kind_of_label(disk->sb.label) ? MLIMG_DISK_LAYER : MLIMG_DISK_EXT4;
	}
	if (find_backup(fd, disk) || disk->sb.state == MLIMG_SUPERBLOCK_DAMAGED)
		return MLIMG_DISK_DAMAGED;
	return is_zero(data, size) ? MLIMG_DISK_BLANK : MLIMG_DISK_OTHER;
}

void mlimg_disk_probe(int fd, struct mlimg_disk *ret_disk)
{
	uint8_t data[MLIMG_DISK_BLANK_BYTES];
	ssize_t n;
	int r;

	memset(ret_disk, 0, sizeof(*ret_disk));
	r = get_size(fd, &ret_disk->size_bytes);
	n = r < 0 ? r : read_at(fd, data, sizeof(data), 0);
	if (n < 0) {
		ret_disk->state = MLIMG_DISK_UNREADABLE;
		ret_disk->error = (int)-n;
		return;
	}
	ret_disk->state = judge(fd, data, (size_t)n, ret_disk);
	ret_disk->kind = kind_of_label(ret_disk->sb.label);
}
