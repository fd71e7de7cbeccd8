/* SPDX-License-Identifier: MIT */
/**
 * @file walk-xattr.h
 * Reads all xattrs of a thing into buffers that are used again for the next one. Part of walk.h's
 * walker. Where the kernel has no listxattrat(2), or MLIMG_NO_LISTXATTRAT is in the environment,
 * /proc is needed.
 */
#ifndef MLIMG_WALK_XATTR_H
#define MLIMG_WALK_XATTR_H

#include "libmlimg/arena.h"
#include "libmlimg/manifest.h"

/** The buffers. Zero it to begin with. */
struct mlimg_xattr_reader {
	struct mlimg_xattr *xattrs;
	uint8_t *values;
	char *names;
	size_t xattrs_room, values_room, names_room; /**< bytes */
};

/**
 * Read them, sorted by name.
 *
 * @param reader     holds the result until the next call
 * @param dir        the directory that the thing is in
 * @param name       its name in there; a symbolic link is not followed. "": the directory itself
 * @param fd         the thing itself, opened for reading, which is quicker; or -1
 * @param ret_count  xattrs in @p reader; 0 too where the file system has none
 * @return           0, -E2BIG (over the limits of manifest.h), or -errno
 */
int mlimg_xattr_read_all(struct mlimg_xattr_reader *reader, int dir, const char *name, int fd,
	uint32_t *ret_count) MLIMG_MUST_CHECK;

/** Free the buffers. */
void mlimg_xattr_reader_done(struct mlimg_xattr_reader *reader);

#endif
