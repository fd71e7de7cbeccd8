/* SPDX-License-Identifier: MIT */
/**
 * @file identify.h
 * `mlimg-agent identify`: what each disk is, in words that the initramfs can match (PROTOCOL.md).
 * Reads, and changes nothing.
 */
#ifndef MLIMG_IDENTIFY_H
#define MLIMG_IDENTIFY_H

#include <stdio.h>

#include "libmlimg/disk.h"

#define MLIMG_SERIAL_SIZE \
	65 /**< a virtio serial has at most 20 characters, other buses' are longer */

/** A device that was looked at. */
struct mlimg_device {
	const char *path;               /**< as it is printed */
	char serial[MLIMG_SERIAL_SIZE]; /**< "" when it has none */
	struct mlimg_disk disk;         /**< what is on it */
};

/**
 * A disk whose serial is a wanted id, but which is blank or something else, is a damaged layer and
 * not a disk of no concern: turn its state into MLIMG_DISK_DAMAGED.
 *
 * @param device   see there
 * @param wants    wanted ids, 20 to 64 hex digits each
 * @param n_wants  their number
 */
void mlimg_identify_apply_wants(struct mlimg_device *device, char *const *wants, size_t n_wants);

/**
 * Print the line for @p device. Whatever is not printable ASCII in names that others gave is
 * printed as '?'.
 */
void mlimg_identify_print(const struct mlimg_device *device, FILE *f);

/**
 * The serial that the host gave a disk. It need not be possible to open it.
 *
 * @param path        the disk
 * @param ret_serial  "" when it has none, or @p path is no block device
 */
void mlimg_identify_serial(const char *path, char ret_serial[MLIMG_SERIAL_SIZE]);

#endif
