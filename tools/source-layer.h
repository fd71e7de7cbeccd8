/* SPDX-License-Identifier: MIT */
/**
 * @file source-layer.h
 * A layer image as source: the tree of a system or software layer, or the upper of a user layer.
 * Images may be a stranger's; they are read through ext4-read.h.
 */
#ifndef MLIMG_TOOLS_SOURCE_LAYER_H
#define MLIMG_TOOLS_SOURCE_LAYER_H

#include "tools/source.h"

/**
 * Read an image.
 *
 * Of a system or software layer, every entry is compared with the stored manifest, and every digest
 * once the contents are hashed; what differs is refused. A user layer changes after its manifest
 * was written, so of that only the upper is taken, as source-upper.h takes one; it is refused while
 * its journal holds changes, or whose upper is being changed (user-pending.h).
 *
 * @param path      the image
 * @param is_user   whether a user layer is wanted; the other kinds are refused then, and it is else
 * @param to        where it goes
 * @param ret_kind  which kind it is; may be NULL
 */
int mlimg_source_read_layer(const char *path, bool is_user, const struct mlimg_source_to *to,
	enum mlimg_kind *ret_kind, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
