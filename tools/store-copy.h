/* SPDX-License-Identifier: MIT */
/**
 * @file store-copy.h
 * Copying of an image: its blocks are shared where the file system can, else the kernel copies,
 * else this program. Holes stay holes.
 */
#ifndef MLIMG_TOOLS_STORE_COPY_H
#define MLIMG_TOOLS_STORE_COPY_H

#include <stdint.h>

#include "libmlimg/err.h"

/** How the bytes get there; each falls back to the next. */
enum mlimg_copy_how {
	MLIMG_COPY_SHARE,  /**< ioctl_ficlone(2) */
	MLIMG_COPY_KERNEL, /**< copy_file_range(2) */
	MLIMG_COPY_BYTES,  /**< read(2) and write(2) */
};

/**
 * Copy a whole file into an empty one; not synced.
 *
 * @param from        a regular file
 * @param to          an empty regular file, writable
 * @param size_bytes  of the file; what is behind is not copied, what has gone meanwhile is zeros
 * @param how         what to begin with
 * @param name        of what is copied, for messages
 * @param err         names it
 * @return            0 or -errno
 */
int mlimg_copy_file(int from, int to, uint64_t size_bytes, enum mlimg_copy_how how,
	const char *name, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
