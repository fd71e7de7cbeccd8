/* SPDX-License-Identifier: MIT */
/**
 * @file verity-devices.h
 * The devices that verity.h names, made of what has been checked.
 */
#ifndef MLIMG_VERITY_DEVICES_H
#define MLIMG_VERITY_DEVICES_H

#include "libmlimg/index.h"
#include "libmlimg/verity.h"

/** A file system with its hash tree, and what was found of it. */
struct mlimg_verified {
	char name[256]; /**< where it lies, for messages */
	struct mlimg_verity_part part;
	struct mlimg_verity verity;
};

/**
 * Make the devices; those of an earlier attempt are removed.
 *
 * @param layers    bottom first
 * @param n_layers  their number
 * @param index     the index, or NULL
 * @param joined    what the index says, where it is joined; else NULL
 * @param err       names the disk
 * @return          0, -EUCLEAN, other -errno
 */
int mlimg_verity_devices(const struct mlimg_verified *layers, size_t n_layers,
	const struct mlimg_verified *index, const struct mlimg_index *joined,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
