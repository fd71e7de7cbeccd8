/* SPDX-License-Identifier: MIT */
/**
 * @file initrd.h
 * What an initramfs says of itself: the file mlimg-unions, one line with the names of the union
 * drivers that it knows (as "overlay index joined identity"; the last two are no drivers, but say
 * that it knows an index on one disk with its layers, and mlimg.identity). It lies in an archive of its own in front of the others,
 * which is never compressed (initramfs/README.md), so that the host can read it without unpacking
 * anything. Other archives, such as a CPU's microcode, may lie before it.
 *
 * Source of the format: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
 */
#ifndef MLIMG_TOOLS_INITRD_H
#define MLIMG_TOOLS_INITRD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MLIMG_INITRD_UNIONS_SIZE 64 /**< bytes of the line, NUL included */
#define MLIMG_INITRD_HEADER 110     /**< bytes of an entry's header, which its name follows */
#define MLIMG_INITRD_NAME_MAX 4096  /**< bytes of a name, NUL included, as the kernel has it */

/** A scan of an initramfs. Zero it to begin with; what the caller reads is @p unions. */
struct mlimg_initrd {
	char unions
		[MLIMG_INITRD_UNIONS_SIZE]; /**< the line without its newline; "" when there is none */
	bool is_done;                       /**< nothing more is to be learnt */

	int state;     /**< private, as all that follows */
	uint64_t skip; /**< bytes that do not matter */
	size_t have;   /**< bytes in @p buf */
	uint64_t name_size, file_size;
	char buf[MLIMG_INITRD_HEADER + MLIMG_INITRD_NAME_MAX];
};

/**
 * Take the next piece of an initramfs, from its beginning. Anything malformed ends the scan: then
 * it says nothing of itself.
 *
 * @param scan  goes on where the piece before has ended
 * @param data  the piece
 * @param size  bytes of it
 * @return      scan->is_done
 */
bool mlimg_initrd_take(struct mlimg_initrd *scan, const void *data, size_t size);

/** @return whether the line names @p union_driver */
bool mlimg_initrd_knows(const struct mlimg_initrd *scan, const char *union_driver);

#endif
