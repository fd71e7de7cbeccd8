/* SPDX-License-Identifier: MIT */
/**
 * @file entry-at.h
 * One thing by its directory and name: read as an entry, and given an entry's attributes. Symbolic
 * links are not followed. overlayfs' own xattrs (libmlimg/whiteout.h) are read; of what is there
 * they are never changed.
 */
#ifndef MLIMG_ENTRY_AT_H
#define MLIMG_ENTRY_AT_H

#include "libmlimg/walk-xattr.h"

/** What an entry that was read points to. Zero it to begin with. */
struct mlimg_entry_reader {
	struct mlimg_xattr_reader xattrs;
	char link[MLIMG_LINK_MAX + 1];
};

/**
 * Read it.
 *
 * @param reader      holds the result until the next call
 * @param dirfd       the directory that it is in
 * @param name        its name in there; "" is the directory itself
 * @param path        becomes the entry's path
 * @param has_digest  whether to read a regular file for its digest
 * @param ret_entry   filled on success
 * @return            0, -ENOENT, -errno
 */
int mlimg_entry_at_read(struct mlimg_entry_reader *reader, int dirfd, const char *name,
	const char *path, bool has_digest, struct mlimg_entry *ret_entry) MLIMG_MUST_CHECK;

/**
 * Set owner, mode, xattrs and time.
 *
 * @param reader  its buffers are used
 * @param dirfd   the directory that it is in
 * @param name    its name in there; "" is the directory itself
 * @param entry   what to set; of the thing's type
 * @return        0, -errno
 */
int mlimg_entry_at_set(struct mlimg_entry_reader *reader, int dirfd, const char *name,
	const struct mlimg_entry *entry) MLIMG_MUST_CHECK;

/** Set all xattrs of @p entry, overlayfs' own too, of something new. @return 0, -errno */
int mlimg_entry_at_set_all_xattrs(
	int dirfd, const char *name, const struct mlimg_entry *entry) MLIMG_MUST_CHECK;

/**
 * Make something that is no regular file, without attributes, for its owner alone.
 *
 * @param dirfd  the directory that it is to be in
 * @param name   its name in there
 * @param entry  type, link target, device
 * @return       0, -errno
 */
int mlimg_entry_at_make(
	int dirfd, const char *name, const struct mlimg_entry *entry) MLIMG_MUST_CHECK;

/** Set the time alone. @return 0, -errno */
int mlimg_entry_at_set_time(int dirfd, const char *name, int64_t s, uint32_t ns) MLIMG_MUST_CHECK;

/** Free the buffers. */
void mlimg_entry_reader_done(struct mlimg_entry_reader *reader);

#endif
