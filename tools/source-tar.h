/* SPDX-License-Identifier: MIT */
/**
 * @file source-tar.h
 * The two halves of the tar reader among themselves: source-tar.c (the archive, paths, contents)
 * and source-tar-entry.c (what libarchive says of an entry, as a struct mlimg_entry).
 */
#ifndef MLIMG_TOOLS_SOURCE_TAR_H
#define MLIMG_TOOLS_SOURCE_TAR_H

#include "libmlimg/manifest.h"

struct archive_entry;

#define MLIMG_ACL_SIZE(n) (4 + 8 * (size_t)(n)) /**< bytes of an ACL xattr with so many entries */

/** Buffers for entries, used again for each one. Zero it to begin with. */
struct mlimg_tar_entry {
	struct mlimg_entry entry; /**< valid until the next call */
	struct mlimg_xattr *xattrs;
	size_t xattrs_room; /**< elements */
	uint8_t *acls[2];   /**< access, default */
};

/**
 * Attributes of an entry that is no hard link.
 *
 * @param te      its ->entry is filled
 * @param from    libarchive's
 * @param path    the entry's path as it shall be, for ->entry.path and messages
 */
int mlimg_tar_entry_fill(struct mlimg_tar_entry *te, struct archive_entry *from, const char *path,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free the buffers. */
void mlimg_tar_entry_done(struct mlimg_tar_entry *te);

#endif
