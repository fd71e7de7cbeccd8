/* SPDX-License-Identifier: MIT */
/**
 * @file bootfiles.h
 * The kernel and initramfs of a system, found in its /boot and copied out, so that a guest always
 * boots with the kernel that its modules belong to. The system is a layer's tree, or what a layer
 * and its patches show (beneath-tree.h).
 */
#ifndef MLIMG_TOOLS_BOOTFILES_H
#define MLIMG_TOOLS_BOOTFILES_H

#include "libmlimg/err.h"
#include "tools/itree.h"

#define MLIMG_BOOTFILE_MAX (1ull << 30) /**< bytes of a kernel or initramfs that are taken: 1 GiB */

/** A kernel with its initramfs. */
struct mlimg_bootfiles {
	char version[MLIMG_NAME_MAX + 1]; /**< "6.1.0-21-amd64" */
	uint32_t kernel; /**< inode of /boot/vmlinuz-VERSION, symbolic links followed */
	uint32_t initrd; /**< inode of /boot/initrd.img-VERSION, symbolic links followed */
};

/**
 * Compare two versions as dpkg does (deb-version(7), without epochs): digits by value, letters
 * before all else, '~' before the end.
 *
 * @return below, equal or above 0
 */
int mlimg_version_cmp(const char *a, const char *b);

/**
 * Find the kernel to boot. Only versions that have both /boot/vmlinuz-VERSION and
 * /boot/initrd.img-VERSION count. The one that the symbolic link /vmlinuz or else /boot/vmlinuz
 * names is taken; without such a link, the newest.
 *
 * @param tree       of a system
 * @param ret_files  what was found
 * @param err        names what is missing; of kind MLIMG_ERR_REFUSED when there is no kernel to
 *                   boot
 * @return           0 or -errno
 */
int mlimg_bootfiles_find(const struct mlimg_itree *tree, struct mlimg_bootfiles *ret_files,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read a boot file.
 *
 * @param tree  the system
 * @param ino   kernel or initrd of what was found
 * @param fn    gets the pieces in order; a hole as NULL
 * @param ctx   handed to @p fn
 * @param err   names the image
 * @return      0, what @p fn returned when negative, or -errno
 */
int mlimg_bootfiles_read(const struct mlimg_itree *tree, uint32_t ino, mlimg_ext4_data_fn *fn,
	void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Copy a boot file out, mode 0600. An existing regular file is replaced; a failure leaves none
 * behind. Not synced: it can be copied again.
 *
 * @param tree  the system
 * @param ino   kernel or initrd of what was found
 * @param path  where to
 * @param err   names the image or @p path
 * @return      0 or -errno
 */
int mlimg_bootfiles_extract(const struct mlimg_itree *tree, uint32_t ino, const char *path,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
