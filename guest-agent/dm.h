/* SPDX-License-Identifier: MIT */
/**
 * @file dm.h
 * Read-only device-mapper devices by the kernel's own interface, so that an initramfs needs neither libdevmapper nor veritysetup. What a target's
 * parameters mean is the caller's affair.
 *
 * Source: the kernel's include/uapi/linux/dm-ioctl.h.
 */
#ifndef MLIMG_DM_H
#define MLIMG_DM_H

#include <stdint.h>

#include "libmlimg/err.h"

#define MLIMG_DM_NAME_MAX 63     /**< characters of a device's name */
#define MLIMG_DM_PARAMS_MAX 1023 /**< characters of a target's parameters */
#define MLIMG_DM_UUID_PREFIX \
	"mlimg-" /**< of each of our devices' UUID, which is that and the name */

/** The one target that a device consists of. */
struct mlimg_dm_target {
	const char *type;    /**< as "verity"; shorter than 16 characters */
	const char *params;  /**< up to MLIMG_DM_PARAMS_MAX characters */
	uint64_t size_bytes; /**< of the device, a multiple of 512 */
};

/**
 * Make a read-only device and /dev/mapper/NAME, a link to its node as udev makes it. One of this name, left by an earlier attempt, is replaced.
 *
 * @param name    up to MLIMG_DM_NAME_MAX of [a-z0-9-]
 * @param target  what it consists of
 * @param err     what the kernel could not do, and with which device
 * @return        0, -errno; then there is no such device
 */
int mlimg_dm_create(const char *name, const struct mlimg_dm_target *target,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
