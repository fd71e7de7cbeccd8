/* SPDX-License-Identifier: MIT */
/**
 * @file nbd-source.h
 * What a qcow2 image holds, without a mount and without the kernel: qemu-nbd(8) reads the format,
 * libnbd asks it.
 *
 * qemu-nbd is a process of this one's, for one image. It ends when its connection does, or when the
 * thread that opened it dies, and it is told to have it read-only, whatever the file's mode is. As
 * far as the kernel knows how, it can open no file for writing (landlock(7)), gets no new
 * privileges and makes no file larger. Its socket lies in a directory of this user's own, which is
 * removed as soon as they are connected. Nothing that it is asked is waited for longer than
 * MLIMG_NBD_WAIT_MS.
 *
 * The format is always qcow2 and never found out from what is in the file: a guest could have
 * written that. The format's own data are QEMU's, so that a backing file which they name is one
 * that somebody here has given (a linked clone's).
 */
#ifndef MLIMG_TOOLS_NBD_SOURCE_H
#define MLIMG_TOOLS_NBD_SOURCE_H

#include "tools/block-source.h"

/** A disk on a slow network file system answers within that; one that does not is an error. */
#define MLIMG_NBD_WAIT_MS 30000
extern int mlimg_nbd_wait_ms; /**< that, but for tests */

/**
 * Open a qcow2 image. One that a guest writes to is refused by its lock, unless a snapshot is
 * asked for: that does not change any more.
 *
 * @param path      the image
 * @param snapshot  the name of a snapshot in it, or NULL: what it holds now
 * @param ret       the disk, with a cache; mlimg_block_source_close() it
 * @param err       names the image and has what qemu-nbd says
 * @return          0; -EBUSY: a guest, or somebody else, writes to it; -ENOENT also when there is
 *                  no qemu-nbd; -ETIMEDOUT; other -errno
 */
int mlimg_nbd_source_open(const char *path, const char *snapshot, struct mlimg_block_source **ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Open what a qcow2 image holds now, and keep nobody from writing to it meanwhile: what is read
 * counts when nobody has, which the caller looks after (disk-quiet.h).
 *
 * @param path  as of mlimg_nbd_source_open()
 * @param ret   as there
 * @param err   as there
 * @return      as there, but for -EBUSY
 */
int mlimg_nbd_source_open_shared(
	const char *path, struct mlimg_block_source **ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
