/* SPDX-License-Identifier: MIT */
/**
 * @file superblock.h
 * Just enough of ext4's superblock to say what a disk holds before it is mounted: whether an ext4 file system is
 * there, whether its superblock is sound, its label, UUID and size. Nothing else of the file system is looked at, nothing is
 * allocated, and no number of the superblock is believed before it is checked; the disk may be a stranger's.
 *
 * Source of the format: the kernel's Documentation/filesystems/ext4/super.rst (field offsets),
 * checksums.rst in the same place (crc32c with the seed ~0 over all that comes before the checksum).
 */
#ifndef MLIMG_SUPERBLOCK_H
#define MLIMG_SUPERBLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/layer.h"

#define MLIMG_SUPERBLOCK_SIZE 1024   /**< bytes of a superblock */
#define MLIMG_SUPERBLOCK_OFFSET 1024 /**< where the primary one begins */

/** What 1024 bytes turned out to be. */
enum mlimg_superblock_state {
	MLIMG_SUPERBLOCK_NONE = 0, /**< no ext magic number */
	MLIMG_SUPERBLOCK_SOUND, /**< checksum (where the file system has them) and geometry are right */
	MLIMG_SUPERBLOCK_DAMAGED, /**< the magic number, but something else is wrong: see @p flaw */
};

/** A superblock. Of one that is not sound, label and UUID are what is written there, true or not. */
struct mlimg_superblock {
	enum mlimg_superblock_state state;
	const char *flaw; /**< what is wrong, a few static words; NULL unless damaged */
	char label[17];   /**< up to 16 bytes as they are on disk, NUL-terminated */
	uint8_t uuid[MLIMG_UUID_SIZE]; /**< of the file system */
	uint32_t block_size;           /**< bytes of a block, 1024..65536 */
	uint64_t size_bytes;           /**< of the whole file system: blocks times block size */
};

/**
 * Look at the bytes of a superblock.
 *
 * @param data      MLIMG_SUPERBLOCK_SIZE bytes
 * @param ret_sb    always filled
 */
void mlimg_superblock_parse(
	const uint8_t data[MLIMG_SUPERBLOCK_SIZE], struct mlimg_superblock *ret_sb);

/** What a disk turned out to be; the states of `mlimg-agent identify`. */
enum mlimg_disk_state {
	MLIMG_DISK_LAYER = 1,  /**< a sound superblock with the label of a layer */
	MLIMG_DISK_EXT4,       /**< a sound superblock, not one of ours */
	MLIMG_DISK_DAMAGED,    /**< traces of ext4, but no sound primary superblock */
	MLIMG_DISK_TRUNCATED,  /**< sound, but the file system is larger than the disk */
	MLIMG_DISK_BLANK,      /**< the first MLIMG_DISK_BLANK_BYTES are zero */
	MLIMG_DISK_OTHER,      /**< none of these */
	MLIMG_DISK_UNREADABLE, /**< cannot be opened or read */
};

/** How much must be zero for a disk to count as blank: all that partition tables, boot sectors and the common file systems'
 * superblocks lie in (btrfs' is the farthest, at 64 KiB). */
#define MLIMG_DISK_BLANK_BYTES 131072

/** A disk that was looked at. */
struct mlimg_disk {
	enum mlimg_disk_state state;
	enum mlimg_kind kind; /**< by the label; 0 when it is no layer's */
	struct mlimg_superblock
		sb; /**< the primary one; of a damaged disk a sound backup where there is one */
	uint64_t backup_offset; /**< bytes; not 0 where @p sb is a backup */
	uint64_t size_bytes;    /**< of the disk */
	int error;              /**< errno value when unreadable */
};

/** @return "layer", "ext4", "damaged", "truncated", "blank", "other", "unreadable" */
const char *mlimg_disk_state_name(enum mlimg_disk_state state);

/**
 * Look at a disk. Reads at most the first MLIMG_DISK_BLANK_BYTES and three places where ext4 keeps its first backup.
 *
 * @param fd        a block device or a regular file, readable
 * @param ret_disk  always filled; a failure to read is a state, no error
 */
void mlimg_disk_probe(int fd, struct mlimg_disk *ret_disk);

#endif
