/* SPDX-License-Identifier: MIT */
/**
 * @file extract-attrs.h
 * Attributes of what has been extracted. Not for other modules.
 *
 * Everything goes through a file descriptor that is open on the very thing, so that nothing can
 * take its place. As O_PATH descriptors know neither chmod(2) nor setxattr(2), that is by
 * /proc/self/fd.
 */
#ifndef MLIMG_TOOLS_EXTRACT_ATTRS_H
#define MLIMG_TOOLS_EXTRACT_ATTRS_H

#include "tools/extract-impl.h"

/**
 * Set owner, xattrs, mode and time, as far as the options say. @param fd may be O_PATH
 *
 * @return 0 or -errno
 */
int extract_set_attributes(struct extract *x, int fd, const struct mlimg_entry *entry,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Let the owner of a directory write to it. @param fd  may be O_PATH @return 0 or -errno */
int extract_make_writable(int fd, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
