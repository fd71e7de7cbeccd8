/* SPDX-License-Identifier: MIT */
/**
 * @file room.h
 * What overlayfs needs of a user layer in order to be mounted on it: a full disk must come up
 * writable, or nobody could make room.
 *
 * At each mount overlayfs removes its work directory, makes it anew, and tries in there what the
 * file system can do (fs/overlayfs/super.c, ovl_get_workdir()). That takes a block, and up to four
 * inodes at once. Without the directory it mounts read-only, with a line in the kernel's log alone;
 * without the inodes of its trials it does not mount.
 *
 * - Blocks. ext4 keeps 2% of a file system back for itself, 4096 blocks at most, as large as it is
 *   when it is mounted (fs/ext4/super.c; /sys/fs/ext4/DISK/reserved_clusters). So there are free
 *   ones even when nothing can be written, more than are free where the file system grew since it
 *   was mounted last. For the mount nothing is kept back. Where not even that has one, the block of
 *   the work directory is: removed, and the removal committed.
 * - Inodes. Empty files in /mlimg/spare, which are removed for the mount, and made again after it.
 *
 * All of it is for the moment of the mount. Without success the boot goes on as it would.
 */
#ifndef MLIMG_ROOM_H
#define MLIMG_ROOM_H

#include <stdbool.h>

#define MLIMG_ROOM_INODES 4 /**< spare ones: work directory, trial file, its new name, whiteout */

/**
 * Before the mount.
 *
 * @param run_fd   /run/mlimg, where `commit` reads what to put back
 * @param user_fd  the user layer, which the union is going to write to
 */
void mlimg_room_lend(int run_fd, int user_fd);

/**
 * After the mount, or after one that failed: what ext4 keeps back is as before, and spare inodes
 * are there again as far as there are any.
 *
 * @param run_fd     /run/mlimg
 * @param can_write  the user layer is written to in this boot
 */
void mlimg_room_take_back(int run_fd, bool can_write);

#endif
