/* SPDX-License-Identifier: MIT */
/**
 * @file put-file.h
 * Putting things into a directory that is in use, whole or not at all: a temporary name, attributes,
 * fsync, rename, fsync of the directory. What is there goes, unless it is a directory.
 */
#ifndef MLIMG_PUT_FILE_H
#define MLIMG_PUT_FILE_H

#include "guest-agent/entry-at.h"

/**
 * Copy a file, link, device or FIFO with mode, owner, xattrs and time; overlayfs' own xattrs stay
 * behind, and so do other names of the same file. Blocks of zeros become holes.
 *
 * @param from_fd  the directory that it is in
 * @param from     its name in there
 * @param to_fd    the directory that it comes to
 * @param to       its name in there
 * @return         0; -EISDIR when one of both is a directory; -ENOTSUP of a socket; other -errno
 */
int mlimg_put_copy(int from_fd, const char *from, int to_fd, const char *to) MLIMG_MUST_CHECK;

/**
 * As mlimg_put_copy(), a directory with all that is in it, but for sockets and overlayfs' whiteouts.
 *
 * @return 0; -EEXIST when a directory is there already; other -errno
 */
int mlimg_put_tree(int from_fd, const char *from, int to_fd, const char *to) MLIMG_MUST_CHECK;

/**
 * Put a regular file with these contents.
 *
 * @param to_fd  the directory that it comes to
 * @param to     its name in there
 * @param data   contents
 * @param size   bytes
 * @param like   mode, owner, xattrs; its time is not taken: what is put is new
 * @return       0; -EISDIR; other -errno
 */
int mlimg_put_text(int to_fd, const char *to, const char *data, size_t size,
	const struct mlimg_entry *like) MLIMG_MUST_CHECK;

#endif
