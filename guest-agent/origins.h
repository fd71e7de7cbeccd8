/* SPDX-License-Identifier: MIT */
/**
 * @file origins.h
 * trusted.overlay.origin, by which overlayfs finds the layer's file that a copy in the upper was
 * made of, for its inode number, wherever the copy is by now (the kernel's fs/overlayfs/namei.c,
 * ovl_check_origin()). When that file shows in its own place as well, both have one inode in the
 * overlay: one of them is a stale handle, or shows the other's contents. Without the handle a copy
 * is a file as any other, whose inode number is its own.
 */
#ifndef MLIMG_ORIGINS_H
#define MLIMG_ORIGINS_H

#include "libmlimg/walk.h"

/**
 * Make one thing forget what it is a copy of.
 *
 * @param entry  of a walk over the upper, no directory
 * @param at     where it is
 * @param err    names the path
 * @return       0, -errno
 */
int mlimg_origin_forget(const struct mlimg_entry *entry, const struct mlimg_walk_at *at,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Make all that an upper holds forget it, but for directories, which overlayfs finds by their
 * paths. What cannot be read stays as it is: the kernel cannot show it either. Done twice it
 * changes nothing.
 *
 * @param upper_fd  the upper, written by overlayfs
 * @param err       names the path
 * @return          0, -errno
 */
int mlimg_origins_forget(int upper_fd, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
