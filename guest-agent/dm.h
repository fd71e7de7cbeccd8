/* SPDX-License-Identifier: MIT */
/**
 * @file dm.h
 * Read-only device-mapper devices by the kernel's own interface, so that an initramfs needs neither
 * libdevmapper nor veritysetup. What a target's parameters mean is the caller's affair.
 *
 * Source: the kernel's include/uapi/linux/dm-ioctl.h.
 */
#ifndef MLIMG_DM_H
#define MLIMG_DM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libmlimg/err.h"

#define MLIMG_DM_NAME_MAX 63     /**< characters of a device's name */
#define MLIMG_DM_PARAMS_MAX 1023 /**< characters of a target's parameters */
#define MLIMG_DM_TARGETS_MAX 256 /**< of one device */
#define MLIMG_DM_UUID_PREFIX \
	"mlimg-" /**< of each of our devices' UUID, which is that and the name */

/** One of the targets that a device consists of. */
struct mlimg_dm_target {
	const char *type;    /**< as "verity"; shorter than 16 characters */
	const char *params;  /**< up to MLIMG_DM_PARAMS_MAX characters */
	uint64_t size_bytes; /**< of its part of the device, a multiple of 512 */
};

/**
 * Make a read-only device and /dev/mapper/NAME, a link to its node as udev makes it. One of this
 * name, left by an earlier attempt, is replaced.
 *
 * @param name       up to MLIMG_DM_NAME_MAX of [a-z0-9-]
 * @param targets    what it consists of, one behind the other
 * @param n_targets  1..MLIMG_DM_TARGETS_MAX
 * @param ret_dev    its number
 * @param err        what the kernel could not do, and with which device
 * @return           0, -errno; then there is no such device
 */
int mlimg_dm_create(const char *name, const struct mlimg_dm_target *targets, size_t n_targets,
	dev_t *ret_dev, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Remove a device that an earlier attempt has left. That there is none, or no device-mapper, is no
 * failure.
 *
 * @param name  of the device
 * @param err   names it
 * @return      0, -errno
 */
int mlimg_dm_remove(const char *name, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
