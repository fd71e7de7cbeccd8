/* SPDX-License-Identifier: MIT */
/**
 * @file disk-quiet.h
 * Whether somebody writes to a disk image, or has, found out without being in anybody's way: nothing
 * is locked, nobody is kept from opening it. A disk is read so between two looks: when nobody wrote
 * to it at the first, and it is the same at the second, what was read is what it holds.
 */
#ifndef MLIMG_TOOLS_DISK_QUIET_H
#define MLIMG_TOOLS_DISK_QUIET_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "libmlimg/err.h"

/** What a file is at one moment. A plain value. */
struct mlimg_disk_look {
	bool is_written; /**< a guest, or a tool, has it open for writing */
	dev_t dev;
	ino_t ino;
	off_t size_bytes;
	struct timespec mtime, ctime; /**< as exact as the kernel keeps them: some milliseconds */
};

/** @return whether a program of QEMU's has the file open for writing; false where that is not known */
bool mlimg_disk_is_written(int fd);

/**
 * Look at an image.
 *
 * @param path      the image
 * @param ret_look  what it is
 * @param err       names it
 * @return          0 or -errno
 */
int mlimg_disk_look(
	const char *path, struct mlimg_disk_look *ret_look, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return whether nobody writes to it, and nobody has since @p before, which is an earlier look */
bool mlimg_disk_is_quiet(const struct mlimg_disk_look *before, const struct mlimg_disk_look *now);

#endif
