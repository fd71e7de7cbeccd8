/* SPDX-License-Identifier: MIT */
/**
 * @file grow.h
 * A mounted ext4 grows to the size of its disk. The kernel does it (EXT4_IOC_RESIZE_FS; documented
 * in ext4(5) as online resizing, and in the kernel's fs/ext4/resize.c): no tool is needed, and a
 * power cut leaves the old size or one in between.
 */
#ifndef MLIMG_GROW_H
#define MLIMG_GROW_H

#include <stdint.h>

#include "libmlimg/superblock.h"

/**
 * @return how many blocks the file system is to have: as many as the disk holds, or 0 where growing
 *         is not worth while. Less than a mebibyte is not: a disk need not be a whole number of
 *         blocks or of anything, and the kernel leaves away a last group of a few blocks.
 * @param sb          its superblock
 * @param disk_bytes  of its disk
 */
uint64_t mlimg_grow_blocks(const struct mlimg_superblock *sb, uint64_t disk_bytes);

/**
 * Let it grow. Where it has its size already, only the superblock is read.
 *
 * @param dev       its disk
 * @param mount_fd  its top directory; it must be mounted writable
 * @param ret_from  bytes before
 * @param ret_to    bytes now; both 0 when it did not grow
 * @param err       names the disk
 * @return          0 or -errno
 */
int mlimg_grow(const char *dev, int mount_fd, uint64_t *ret_from, uint64_t *ret_to,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
