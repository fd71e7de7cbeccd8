/* SPDX-License-Identifier: MIT */
/**
 * @file superblock.h
 * Just enough of ext4's superblock to say what a disk holds before it is mounted (disk.h): whether
 * an ext4 file system is there, whether its superblock is sound, its label, UUID and size. Nothing
 * else of the file system is looked at, nothing is allocated, and no number of the superblock is
 * believed before it is checked; the disk may be a stranger's.
 *
 * Source of the format: the kernel's Documentation/filesystems/ext4/super.rst (field offsets),
 * checksums.rst in the same place (crc32c with the seed ~0 over all that comes before the
 * checksum).
 */
#ifndef MLIMG_SUPERBLOCK_H
#define MLIMG_SUPERBLOCK_H

#include <stdint.h>

#include "libmlimg/layer.h"

#define MLIMG_SUPERBLOCK_SIZE 1024   /**< bytes of a superblock */
#define MLIMG_SUPERBLOCK_OFFSET 1024 /**< where the primary one begins */
#define MLIMG_PLACES_SIZE 16         /**< bytes of the hash seed */

/** What 1024 bytes turned out to be. */
enum mlimg_superblock_state {
	MLIMG_SUPERBLOCK_NONE = 0, /**< no ext magic number */
	/** checksum (where the file system has them) and geometry are right */
	MLIMG_SUPERBLOCK_SOUND,
	MLIMG_SUPERBLOCK_DAMAGED, /**< the magic number, but something else is wrong: see @p flaw */
};

/**
 * A superblock. Of one that is not sound, label and UUID are what is written there, true or not.
 */
struct mlimg_superblock {
	enum mlimg_superblock_state state;
	const char *flaw; /**< what is wrong, a few static words; NULL unless damaged */
	char label[17];   /**< up to 16 bytes as they are on disk, NUL-terminated */
	uint8_t uuid[MLIMG_UUID_SIZE]; /**< of the file system */
	uint32_t block_size;           /**< bytes of a block, 1024..65536 */
	uint64_t size_bytes;           /**< of the whole file system: blocks times block size */
	uint8_t hash_seed[MLIMG_PLACES_SIZE]; /**< in a layer a digest of where its contents lie */
};

/**
 * Look at the bytes of a superblock.
 *
 * @param data      MLIMG_SUPERBLOCK_SIZE bytes
 * @param ret_sb    always filled
 */
void mlimg_superblock_parse(
	const uint8_t data[MLIMG_SUPERBLOCK_SIZE], struct mlimg_superblock *ret_sb);

#endif
