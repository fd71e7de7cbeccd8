/* SPDX-License-Identifier: MIT */
/**
 * @file hidden.h
 * What layers hide, said so that unionfs-fuse understands it (libmlimg/unionfs.h): directories that
 * hold nothing but markers, to be branches between those of the layers.
 */
#ifndef MLIMG_HIDDEN_H
#define MLIMG_HIDDEN_H

#include "guest-agent/mounted.h"

#define MLIMG_HIDDEN_DIR "hidden" /**< beneath /run/mlimg; in it N is the branch above layer N */

/**
 * Write the markers of mounted layers: hidden/N/.unionfs-fuse/… for each layer N that needs any.
 * What a former attempt left is removed.
 *
 * @param root      /run/mlimg
 * @param layers    bottom first, each with its own manifest
 * @param n_layers  their number
 * @param err       names the layer, or the path that unionfs-fuse cannot hide
 * @return          0, -EUCLEAN, -errno
 */
int mlimg_hidden_write(const char *root, const struct mlimg_mounted *layers, size_t n_layers,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
