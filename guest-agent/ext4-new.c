/* SPDX-License-Identifier: MIT */
#include "guest-agent/ext4-new-impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/crc32c.h"
#include "libmlimg/disk.h"
#include "libmlimg/le.h"

#define GROUP_BLOCKS 32768u /* one block of bitmap */
#define INODE_SIZE 256u
#define DESC_SIZE 64u
#define BYTES_PER_INODE 16384u
#define DIR_TAIL 12u /* bytes at the end of a directory block, which hold its checksum */

/* Inodes: the format's own, then in the order in which they are made. */
enum {
	ROOT_INO = 2,
	RESIZE_INO = 7,
	JOURNAL_INO = 8,
	LOST_INO = 11,
	UPPER_INO,
	WORK_INO,
	OWN_INO,
	MANIFEST_INO,
	JSON_INO,
	END_INO,
};

enum { COMPAT = 0x3c, INCOMPAT = 0x2c2, RO_COMPAT = 0x46b };
#define EXTENTS_FL 0x80000u

static uint8_t *inode(const struct ext4_new_image *image, uint32_t ino)
{
	return ext4_new_block(image, INODE_TABLE) + (size_t)(ino - 1) * INODE_SIZE;
}

/* As mke2fs has it: a journal of 4, 16, 32 or 64 MiB. */
static uint32_t journal_blocks(uint64_t disk_blocks)
{
	return disk_blocks < 32768     ? 1024
		: disk_blocks < 262144 ? 4096
		: disk_blocks < 524288 ? 8192
				       : 16384;
}

/* Of everything that belongs to an inode: its number and its generation, which is 0, come first. */
static uint32_t inode_crc(const struct ext4_new_image *image, uint32_t ino)
{
	uint8_t head[8] = {0};

	mlimg_put_le32(head, ino);
	return mlimg_crc32c(image->seed, head, sizeof(head));
}

/* The checksum comes when all else is there. */
static uint8_t *begin_inode(const struct ext4_new_image *image, uint32_t ino, uint32_t mode,
	uint32_t links, uint64_t size, uint32_t blocks)
{
	uint8_t *p = inode(image, ino);

	mlimg_put_le16(p, mode);
	mlimg_put_le32(p + 0x04, (uint32_t)size);
	mlimg_put_le16(p + 0x1a, links);
	mlimg_put_le32(p + 0x1c, blocks * (BS / 512));
	mlimg_put_le32(p + 0x6c, (uint32_t)(size >> 32));
	mlimg_put_le16(p + 0x80, 32); /* bytes of the fields behind the first 128 */
	return p;
}

static void end_inode(const struct ext4_new_image *image, uint32_t ino)
{
	uint8_t *p = inode(image, ino);
	uint32_t crc = mlimg_crc32c(inode_crc(image, ino), p, INODE_SIZE);

	mlimg_put_le16(p + 0x7c, crc);
	mlimg_put_le16(p + 0x82, crc >> 16);
}

/* A file or directory that lies in one piece. */
static void put_extent_inode(const struct ext4_new_image *image, uint32_t ino, uint32_t mode,
	uint32_t links, uint64_t size, uint32_t start, uint32_t blocks)
{
	uint8_t *p = begin_inode(image, ino, mode, links, size, blocks);
	uint8_t *header = p + 0x28, *extent = header + 12;

	mlimg_put_le32(p + 0x20, EXTENTS_FL);
	mlimg_put_le16(header, 0xf30a);
	mlimg_put_le16(header + 2, 1); /* of at most */
	mlimg_put_le16(header + 4, 4);
	mlimg_put_le16(extent + 4, blocks);
	mlimg_put_le32(extent + 8, start);
	end_inode(image, ino);
}

/* An entry of a directory block; @room is what is left of it, all of which the last one takes. */
static uint32_t put_name(
	uint8_t *p, uint32_t room, const char *name, uint32_t ino, bool is_file, bool is_last)
{
	size_t len = strlen(name);
	uint32_t size = is_last ? room : (uint32_t)(8 + len + 3) & ~3u;

	mlimg_put_le32(p, ino);
	mlimg_put_le16(p + 4, size);
	p[6] = (uint8_t)len;
	p[7] = is_file ? 1 : 2;
	memcpy(p + 8, name, len);
	return size;
}

struct name {
	const char *name;
	uint32_t ino;
	bool is_file;
};

static void put_dir(struct ext4_new_image *image, uint32_t ino, uint32_t parent, uint32_t mode,
	const struct name *names, size_t n_names)
{
	uint32_t start = image->next++, used = 0, links = 2;
	uint8_t *p = ext4_new_block(image, start), *tail = p + BS - DIR_TAIL;

	used += put_name(p, BS - DIR_TAIL, ".", ino, false, false);
	used += put_name(p + used, BS - DIR_TAIL - used, "..", parent, false, n_names == 0);
	for (size_t i = 0; i < n_names; i++) {
		used += put_name(p + used, BS - DIR_TAIL - used, names[i].name, names[i].ino,
			names[i].is_file, i + 1 == n_names);
		links += !names[i].is_file;
	}
	mlimg_put_le16(tail + 4, DIR_TAIL);
	tail[7] = 0xde;
	mlimg_put_le32(tail + 8, mlimg_crc32c(inode_crc(image, ino), p, BS - DIR_TAIL));
	put_extent_inode(image, ino, S_IFDIR | mode, links, BS, start, 1);
}

static void put_file(struct ext4_new_image *image, uint32_t ino, const char *text)
{
	size_t size = strlen(text);
	uint32_t start = image->next, blocks = (uint32_t)((size + BS - 1) / BS);

	memcpy(ext4_new_block(image, start), text, size);
	image->next += blocks;
	put_extent_inode(image, ino, S_IFREG | 0644, 1, size, start, blocks);
}

/*
 * Descriptor blocks to come are blocks of a file, so that nothing else takes them: an old, double
 * indirect one whose length means nothing. Entry N of its list is descriptor block N.
 */
static void put_resize_inode(struct ext4_new_image *image)
{
	const uint64_t per_block = BS / 4;
	uint32_t list = image->next++;
	uint8_t *p = begin_inode(image, RESIZE_INO, S_IFREG | 0600, 1,
		(per_block * per_block + per_block + 12) * BS, 1 + RESERVED_GDT);

	mlimg_put_le32(p + 0x28 + 13 * 4, list);
	for (uint32_t i = 0; i < RESERVED_GDT; i++)
		mlimg_put_le32(ext4_new_block(image, list) + 4 * (size_t)(1 + i), RESERVED + i);
	end_inode(image, RESIZE_INO);
}

static void put_tree(
	struct ext4_new_image *image, const struct mlimg_user_layer *layer, const char *json)
{
	static const struct name top[] = {{"lost+found", LOST_INO, false},
		{"upper", UPPER_INO, false}, {"work", WORK_INO, false}, {"mlimg", OWN_INO, false}};
	static const struct name own[] = {
		{"manifest", MANIFEST_INO, true}, {"layer.json", JSON_INO, true}};

	put_resize_inode(image);
	put_dir(image, ROOT_INO, ROOT_INO, 0755, top, 4);
	put_dir(image, LOST_INO, ROOT_INO, 0700, NULL, 0);
	put_dir(image, UPPER_INO, ROOT_INO, 0755, NULL, 0);
	put_dir(image, WORK_INO, ROOT_INO, 0700, NULL, 0);
	put_dir(image, OWN_INO, ROOT_INO, 0700, own, 2);
	put_file(image, MANIFEST_INO, layer->manifest);
	put_file(image, JSON_INO, json);
	put_extent_inode(image, JOURNAL_INO, S_IFREG | 0600, 1,
		(uint64_t)image->journal_blocks * BS, image->next, image->journal_blocks);
}

static void set_bits(uint8_t *bitmap, uint32_t from, uint32_t end)
{
	for (uint32_t i = from; i < end; i++)
		bitmap[i / 8] |= (uint8_t)(1u << i % 8);
}

/* What a bitmap has beyond the group's end counts as taken. */
static void put_group(struct ext4_new_image *image)
{
	uint32_t used_blocks = image->next + image->journal_blocks, crc;
	uint8_t *p = ext4_new_block(image, GDT), head[4] = {0};

	set_bits(ext4_new_block(image, BLOCK_BITMAP), 0, used_blocks);
	set_bits(ext4_new_block(image, BLOCK_BITMAP), image->n_blocks, GROUP_BLOCKS);
	set_bits(ext4_new_block(image, INODE_BITMAP), 0, END_INO - 1);
	set_bits(ext4_new_block(image, INODE_BITMAP), image->n_inodes, BS * 8);
	mlimg_put_le32(p, BLOCK_BITMAP);
	mlimg_put_le32(p + 4, INODE_BITMAP);
	mlimg_put_le32(p + 8, INODE_TABLE);
	mlimg_put_le16(p + 0x0c, image->n_blocks - used_blocks);
	mlimg_put_le16(p + 0x0e, image->n_inodes - (END_INO - 1));
	mlimg_put_le16(p + 0x10, 5); /* directories */
	mlimg_put_le16(p + 0x12, 4); /* the inode table is zero where nothing is in it */
	crc = mlimg_crc32c(image->seed, ext4_new_block(image, BLOCK_BITMAP), GROUP_BLOCKS / 8);
	mlimg_put_le16(p + 0x18, crc);
	mlimg_put_le16(p + 0x38, crc >> 16);
	crc = mlimg_crc32c(image->seed, ext4_new_block(image, INODE_BITMAP), image->n_inodes / 8);
	mlimg_put_le16(p + 0x1a, crc);
	mlimg_put_le16(p + 0x3a, crc >> 16);
	mlimg_put_le16(p + 0x1c, image->n_inodes - (END_INO - 1));
	/* With its own field as zero. */
	crc = mlimg_crc32c(image->seed, head, sizeof(head));
	mlimg_put_le16(p + 0x1e, mlimg_crc32c(crc, p, DESC_SIZE));
}

static void put_superblock(const struct ext4_new_image *image)
{
	const uint8_t *group = ext4_new_block(image, GDT), *journal = inode(image, JOURNAL_INO);
	uint8_t *p = image->bytes + MLIMG_SUPERBLOCK_OFFSET;

	mlimg_put_le32(p + 0x00, image->n_inodes);
	mlimg_put_le32(p + 0x04, image->n_blocks);
	memcpy(p + 0x0c, group + 0x0c, 2); /* free blocks */
	memcpy(p + 0x10, group + 0x0e, 2); /* free inodes */
	mlimg_put_le32(p + 0x18, 2);       /* 1024 << 2 bytes a block, and a cluster */
	mlimg_put_le32(p + 0x1c, 2);
	mlimg_put_le32(p + 0x20, GROUP_BLOCKS);
	mlimg_put_le32(p + 0x24, GROUP_BLOCKS);
	mlimg_put_le32(p + 0x28, image->n_inodes);
	/* Written, checked and made at a time that is in nobody's future. */
	mlimg_put_le32(p + 0x30, 1);
	mlimg_put_le16(p + 0x36, 0xffff); /* no check after so many mounts */
	mlimg_put_le16(p + 0x38, 0xef53);
	mlimg_put_le16(p + 0x3a, 1); /* clean */
	mlimg_put_le16(p + 0x3c, 2); /* on errors: read-only */
	mlimg_put_le32(p + 0x40, 1);
	mlimg_put_le32(p + 0x4c, 1);
	mlimg_put_le32(p + 0x54, LOST_INO);
	mlimg_put_le16(p + 0x58, INODE_SIZE);
	mlimg_put_le32(p + 0x5c, COMPAT);
	mlimg_put_le32(p + 0x60, INCOMPAT);
	mlimg_put_le32(p + 0x64, RO_COMPAT);
	memcpy(p + 0x68, image->uuid, MLIMG_UUID_SIZE);
	memcpy(p + 0x78, mlimg_kind_label(MLIMG_USER), strlen(mlimg_kind_label(MLIMG_USER)));
	mlimg_put_le16(p + 0xce, RESERVED_GDT);
	mlimg_put_le32(p + 0xe0, JOURNAL_INO);
	memcpy(p + 0xec, image->uuid, MLIMG_PLACES_SIZE); /* any hash seed will do */
	p[0xfc] = 1;                                      /* half MD4 */
	p[0xfd] = 1;                                      /* the journal's inode is below */
	mlimg_put_le16(p + 0xfe, DESC_SIZE);
	mlimg_put_le32(p + 0x100, 0xc); /* user_xattr, acl */
	mlimg_put_le32(p + 0x108, 1);
	memcpy(p + 0x10c, journal + 0x28, 60);
	memcpy(p + 0x10c + 60, journal + 0x6c, 4);
	memcpy(p + 0x10c + 64, journal + 0x04, 4);
	mlimg_put_le16(p + 0x15c, 32);
	mlimg_put_le16(p + 0x15e, 32);
	mlimg_put_le32(p + 0x160, 1); /* hashes of signed characters */
	p[0x174] = 4;                 /* 16 groups to a flexible one */
	p[0x175] = 1;                 /* CRC-32C */
	mlimg_put_le32(p + 0x3fc, mlimg_crc32c(~0u, p, 0x3fc));
}

int mlimg_ext4_new(int fd, const char *name, uint64_t disk_bytes,
	const struct mlimg_user_layer *layer, struct mlimg_err *err)
{
	uint64_t disk_blocks = disk_bytes / BS;
	struct ext4_new_image image = {
		.n_blocks = disk_blocks < GROUP_BLOCKS ? (uint32_t)disk_blocks : GROUP_BLOCKS,
		.journal_blocks = journal_blocks(disk_blocks)};
	mlimg_autofree uint8_t *bytes = calloc(1, MLIMG_EXT4_NEW_AREA_BYTES);
	mlimg_autofree char *json = NULL;
	int r;

	if (disk_bytes < MLIMG_EXT4_NEW_MIN_BYTES ||
		!mlimg_layer_uuid(layer->info.build_id, image.uuid))
		return mlimg_err_set(err, EINVAL, "make a user layer on %s", name);
	if (!bytes)
		return mlimg_err_set(err, ENOMEM, "make a user layer on %s", name);
	r = mlimg_layer_to_json(&layer->info, &json, err);
	if (r < 0)
		return r;
	image.bytes = bytes;
	image.n_inodes = image.n_blocks / (BYTES_PER_INODE / BS) & ~15u;
	image.next = INODE_TABLE + image.n_inodes * INODE_SIZE / BS;
	image.seed = mlimg_crc32c(~0u, image.uuid, sizeof(image.uuid));
	put_tree(&image, layer, json);
	put_group(&image);
	put_superblock(&image);
	return ext4_new_write(fd, name, &image, err);
}
