/* SPDX-License-Identifier: MIT */
/**
 * @file file-flags.h
 * Flags of an upper's own file system by which things are immutable or append-only (chattr(1)).
 * Nothing with them can be renamed, nor what is in such a directory, and no attribute be set: a
 * change of the stack would not get further. So overlayfs' mark takes their place before it
 * (trusted.overlay.protattr; kernels since 5.15, which set no flags themselves). Of the upper's own
 * top directory the kernel sets the mark, and does not heed it when the union is mounted again: it
 * gets it all the same.
 */
#ifndef MLIMG_FILE_FLAGS_H
#define MLIMG_FILE_FLAGS_H

#include <stddef.h>

#include "libmlimg/manifest.h"

/**
 * Put the mark in the place of the flags. Cut short, it may leave one thing without either.
 *
 * @param upper_fd  the upper
 * @param upper     what is in it, with marks (libmlimg/upper-source.h)
 * @param ret_n     how many had flags
 * @param err       names the path
 * @return          0, -errno
 */
int mlimg_file_flags_lift(int upper_fd, const struct mlimg_manifest *upper, size_t *ret_n,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The same with an upper that is not in memory; of whatever else is in there, as unionfs-fuse's
 * marks, too. Mount points of other file systems are not entered.
 *
 * @param upper_fd  the upper
 * @param ret_n     how many had flags
 * @param err       names the path
 * @return          0, -errno
 */
int mlimg_file_flags_lift_all(int upper_fd, size_t *ret_n, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Take the flags of one thing away, without a mark.
 *
 * @param fd  of a file or directory, readable
 * @return    1 when it had any, 0, -errno
 */
int mlimg_file_flags_clear(int fd);

#endif
