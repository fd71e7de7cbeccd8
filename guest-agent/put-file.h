/* SPDX-License-Identifier: MIT */
/**
 * @file put-file.h
 * Putting things into a directory that is in use, whole or not at all: a temporary name, attributes,
 * fsync, rename, fsync of the directory.
 *
 * Nothing is replaced but what the caller has looked at: where nothing was there it is
 * RENAME_NOREPLACE of renameat2(2), else RENAME_EXCHANGE, after which what was there goes if it is
 * still the same, and else has its name again. unionfs-fuse knows no such flags: there it is looked
 * just before the rename, and what is written in between is replaced. In the same way nothing is
 * removed but what the caller has looked at.
 */
#ifndef MLIMG_PUT_FILE_H
#define MLIMG_PUT_FILE_H

#include <sys/stat.h>

#include "guest-agent/entry-at.h"

/**
 * Copy a file, link, device or FIFO with mode, owner, xattrs and time; overlayfs' own xattrs stay
 * behind, and so do other names of the same file. Blocks of zeros become holes.
 *
 * @param from_fd   the directory that it is in
 * @param from      its name in there
 * @param to_fd     the directory that it comes to
 * @param to        its name in there
 * @param replaces  what it replaces, as it was; NULL: nothing is there
 * @return          0; -EISDIR when one of both is a directory; -ENOTSUP of a socket; -EEXIST when
 *                  something is there after all, -ESTALE when it is not what it was, and then it
 *                  stays; other -errno
 */
int mlimg_put_copy(int from_fd, const char *from, int to_fd, const char *to,
	const struct stat *replaces) MLIMG_MUST_CHECK;

/**
 * As mlimg_put_copy(), a directory with all that is in it, but for sockets and overlayfs' whiteouts.
 * Names in it of one file stay names of one file.
 *
 * @param from_fd        as there
 * @param from           as there
 * @param to_fd          as there
 * @param to             as there
 * @param replaces       as there
 * @param ret_n_sockets  how many were left behind
 * @return               as there
 */
int mlimg_put_tree(int from_fd, const char *from, int to_fd, const char *to,
	const struct stat *replaces, uint64_t *ret_n_sockets) MLIMG_MUST_CHECK;

/**
 * Put a regular file with these contents.
 *
 * @param to_fd     the directory that it comes to
 * @param to        its name in there
 * @param replaces  as in mlimg_put_copy()
 * @param data      contents
 * @param size      bytes
 * @param like      mode, owner, xattrs; its time is not taken: what is put is new
 * @return          as mlimg_put_copy()
 */
int mlimg_put_text(int to_fd, const char *to, const struct stat *replaces, const char *data,
	size_t size, const struct mlimg_entry *like) MLIMG_MUST_CHECK;

/**
 * Remove what is no directory, if it is still what it was: under a temporary name, which nobody
 * writes to, it is looked once more, and has its name again where it is not. Where something new has
 * come there by then, what was there keeps the temporary name.
 *
 * @param dir_fd  the directory that it is in
 * @param name    its name in there
 * @param seen    what it was before it was read
 * @return        0; -ESTALE when it is not what it was, and then it stays; -EISDIR; -ENOENT; other
 *                -errno
 */
int mlimg_put_away(int dir_fd, const char *name, const struct stat *seen) MLIMG_MUST_CHECK;

#endif
