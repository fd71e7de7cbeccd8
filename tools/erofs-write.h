/* SPDX-License-Identifier: MIT */
/**
 * @file erofs-write.h
 * Writes an EROFS image (erofs-format.h) out of a tree that the caller describes inode by inode. It
 * knows nothing of layers: where a file's data lie is told to it as extents on numbered devices.
 *
 * Use: mlimg_erofs_new(), mlimg_erofs_add_device() for every device, mlimg_erofs_join() for a
 * joined image, mlimg_erofs_add_inode() for every inode (the first is the root directory),
 * mlimg_erofs_add_xattr(), _add_extent(), _set_data() and mlimg_erofs_add_name() in any order, then
 * mlimg_erofs_write().
 *
 * What is written:
 * - Times are exact; inodes whose mtime is the most frequent one, and which fit otherwise, are
 *   compact.
 * - The chunk size of a file is the smallest power of two that describes all of its extents with
 *   the fewest indexes: one index for a contiguous file.
 * - An xattr (name and value) that two or more inodes have is stored once.
 * - Inodes of a directory's entries lie together, in the order of names; directories are inlined
 *   behind their inode as far as a block holds them.
 * - Nothing in the image depends on the time, the host or addresses in memory: same calls, same
 *   bytes.
 *
 * Limits: 65,535 xattr bytes a value and 262,140 an inode, 255 shared xattrs an inode (others are
 * inline), 2^32 blocks a device, 2^24 inodes, 2^25 names, 2^24 pieces (of equal size) a file and
 * 2^26 of all files. What is beyond them is refused (-EUCLEAN) with a message that wants the
 * inode's path before it, such as "has the xattr system.x, for which EROFS has no place".
 */
#ifndef MLIMG_EROFS_WRITE_H
#define MLIMG_EROFS_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "libmlimg/err.h"
#include "libmlimg/superblock.h"

/** An image under construction. */
struct mlimg_erofs;

/** Attributes of an inode. */
struct mlimg_erofs_attr {
	uint32_t mode;     /**< as st_mode: type and permissions */
	uint32_t uid, gid; /**< owner */
	uint32_t nlink;    /**< for non-directories; a directory's is counted */
	uint64_t
		size_bytes; /**< regular files; for symlinks and directories it follows from the data */
	int64_t mtime_s;
	uint32_t mtime_ns;
	uint32_t dev_major, dev_minor;
};

/** @return 0, -ENOMEM */
int mlimg_erofs_new(struct mlimg_erofs **ret_image, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free it; accepts NULL. */
void mlimg_erofs_free(struct mlimg_erofs *image);

/**
 * Add a device that files' data lie on.
 *
 * @param image     the image
 * @param tag       at most 64 characters that say which device it is; kept in the device table
 * @param places    kept there too: tells apart devices with one tag (erofs-format.h)
 * @param blocks    4096-byte blocks of the device
 * @return          its number, 1 and up, or -errno
 */
int mlimg_erofs_add_device(struct mlimg_erofs *image, const char *tag,
	const uint8_t places[MLIMG_PLACES_SIZE], uint64_t blocks,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Make it a joined image: its devices lie behind it on one disk, in the order of their numbers.
 *
 * @param image  has all its devices
 * @param rooms  for each device the blocks between its beginning and the next one's, at least its
 *               own
 * @return       0; -EINVAL when a device has no room
 */
int mlimg_erofs_join(
	struct mlimg_erofs *image, const uint64_t *rooms, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * It will get a hash tree behind it (libmlimg/verity.h): it has two blocks at least, and a joined
 * image leaves room.
 */
void mlimg_erofs_leave_room(struct mlimg_erofs *image);

/**
 * Add an inode. The first one added is the root and must be a directory.
 *
 * @param image    the image
 * @param attr     its attributes; a time before the epoch is kept (as the kernel reads it back)
 * @param ret_ino  its number
 * @return         0, -ENOMEM, -EUCLEAN (a device number over 12 and 20 bits, too many inodes)
 */
int mlimg_erofs_add_inode(struct mlimg_erofs *image, const struct mlimg_erofs_attr *attr,
	uint32_t *ret_ino, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Give an inode an xattr.
 *
 * @param name  full name; user.*, trusted.*, security.*, system.posix_acl_access and
 *              system.posix_acl_default can be stored
 * @param size  at most 65,535
 * @return      0, -EUCLEAN for another name or a larger value, -ENOMEM
 */
int mlimg_erofs_add_xattr(struct mlimg_erofs *image, uint32_t ino, const char *name,
	const void *value, size_t size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Say where blocks of a regular file lie; ascending, without overlap. What no extent covers is a
 * hole.
 *
 * @param file_block  first block within the file
 * @param n_blocks    their number
 * @param device      from mlimg_erofs_add_device()
 * @param dev_block   first block on that device
 * @return            0, -EINVAL, -EOVERFLOW (block number over 32 bits), -ENOMEM
 */
int mlimg_erofs_add_extent(struct mlimg_erofs *image, uint32_t ino, uint64_t file_block,
	uint64_t n_blocks, int device, uint64_t dev_block, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Give a symlink its target, or a regular file contents that are stored in this image itself.
 *
 * @param data  copied
 * @param size  for a symlink 1..4095; for a file at most 64 MiB
 * @return      0, -EINVAL, -ENOMEM
 */
int mlimg_erofs_set_data(struct mlimg_erofs *image, uint32_t ino, const void *data, size_t size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Check an inode all of whose xattrs and extents are there, once: mlimg_erofs_write() would refuse
 * it too, but does not know its path.
 *
 * @return  0, -EUCLEAN (xattrs too large together, a file in too many pieces, files in too many
 *          pieces together)
 */
int mlimg_erofs_check_inode(
	struct mlimg_erofs *image, uint32_t ino, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Put a name into a directory. Every inode but the root needs at least one, a directory exactly
 * one.
 *
 * @param dir   the directory
 * @param name  1..255 bytes without '/' and NUL, neither "." nor ".."
 * @param ino   what it names
 * @return      0, -EINVAL, -ENOMEM, -EUCLEAN (too many names)
 */
int mlimg_erofs_add_name(struct mlimg_erofs *image, uint32_t dir, const char *name,
	size_t name_size, uint32_t ino, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Write the image.
 *
 * @param image        complete; usable once
 * @param fd           a regular file, empty, open for reading and writing; not synced
 * @param uuid         16 bytes
 * @param label        volume name, at most 16 bytes
 * @param ret_bytes    size of the image; may be NULL
 * @return             0, -EINVAL (a name twice, an inode without a name), -EUCLEAN (a joined disk
 *                     of more than 2^32 - 2 blocks), -ENOSPC and other -errno
 */
int mlimg_erofs_write(struct mlimg_erofs *image, int fd, const uint8_t uuid[16], const char *label,
	uint64_t *ret_bytes, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
