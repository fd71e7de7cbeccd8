/* SPDX-License-Identifier: MIT */
/**
 * @file erofs-super.h
 * Just enough of an EROFS image (erofs-format.h) to say what a disk holds before it is mounted: its
 * superblock and its device table. As with superblock.h nothing else is looked at, nothing is
 * allocated, and no number is believed before it is checked.
 *
 * Sound is only what mlimg-index may have written: 4096-byte blocks, a checksum, no features but
 * chunk-based files and a device table, which a joined image has without the feature. Other makers'
 * images are not for mlimg to judge.
 *
 * The checksum covers block 0 alone. A device table of more than 23 devices goes on behind it, so
 * whoever reads a slot checks what is in it.
 */
#ifndef MLIMG_EROFS_SUPER_H
#define MLIMG_EROFS_SUPER_H

#include <stdbool.h>
#include <stdint.h>

#include "libmlimg/err.h"
#include "libmlimg/superblock.h"

#define MLIMG_EROFS_FIRST_BLOCK 4096 /**< bytes from the disk's beginning that are looked at */
#define MLIMG_EROFS_TAG_SIZE 64      /**< bytes of a device's tag */

/**
 * A superblock. Of one that is not sound, label and UUID are what is written there, true or not.
 */
struct mlimg_erofs_super {
	enum mlimg_superblock_state state; /**< NONE: no magic number of EROFS */
	const char *flaw; /**< what is wrong, a few static words; NULL unless damaged */
	char label[17];   /**< up to 16 bytes as they are on disk, NUL-terminated */
	uint8_t uuid[MLIMG_UUID_SIZE]; /**< of the file system */
	bool is_joined;                /**< its devices lie behind it on the same disk */
	uint64_t size_bytes;           /**< of the image itself, without its devices */
	uint64_t
		room_bytes; /**< up to device 1 of a joined image, its hash tree included, else size_bytes */
	uint64_t disk_bytes;     /**< of a joined image with its devices, else size_bytes */
	uint64_t devices_offset; /**< bytes; the device table lies within the image */
	unsigned n_devices;      /**< slots of it, 0..65535 */
};

/** A slot of the device table. */
struct mlimg_erofs_device {
	char tag[MLIMG_EROFS_TAG_SIZE + 1]; /**< as it is on disk, NUL-terminated */
	uint32_t n_blocks;                  /**< of 4096 bytes */
	uint32_t first_block;               /**< on the disk of a joined image, else 0 */
	uint8_t places[MLIMG_PLACES_SIZE];  /**< see erofs-format.h */
};

/**
 * Look at the first block of a disk.
 *
 * @param data       MLIMG_EROFS_FIRST_BLOCK bytes
 * @param ret_super  always filled
 */
void mlimg_erofs_super_parse(
	const uint8_t data[MLIMG_EROFS_FIRST_BLOCK], struct mlimg_erofs_super *ret_super);

/**
 * Read a slot of the device table.
 *
 * @param fd          the image
 * @param super       its superblock, sound
 * @param i           which, from 0, below super->n_devices
 * @param ret_device  the slot
 * @return            0 or -errno; -EIO when the disk ends before it
 */
int mlimg_erofs_device_read(int fd, const struct mlimg_erofs_super *super, unsigned i,
	struct mlimg_erofs_device *ret_device) MLIMG_MUST_CHECK;

#endif
