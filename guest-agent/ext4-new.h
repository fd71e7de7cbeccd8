/* SPDX-License-Identifier: MIT */
/**
 * @file ext4-new.h
 * An empty user layer as ext4, written onto a disk from nothing: one block group and no more, 128
 * MiB or the whole disk where that is smaller. Mounted, it grows to the size of its disk (grow.h);
 * the kernel makes all other groups. So this writer needs to know neither how groups are placed nor
 * where backups lie, and is all that a guest needs instead of mke2fs: no program, no library, and
 * it is done in some megabytes of writes whatever the disk's size.
 *
 * What is made, in blocks of 4096 bytes:
 *
 *     0        boot sector (empty) and superblock
 *     1        group descriptor
 *     2        room for more group descriptors: 127 blocks, enough to grow to 1 TiB in the form that resize2fs knows, and beyond it
 *              the kernel turns to meta_bg
 *     129      bitmaps of blocks and of inodes
 *     131      inode table: an inode for each 16 KiB
 *     then     the block that lists the reserved ones; directories /, /lost+found, /upper, /work, /mlimg; files /mlimg/manifest
 *              and /mlimg/layer.json; the journal
 *
 * with the features, label, UUID, modes and contents that mlimg-mkfs gives a user layer
 * (tools/ext4-write*.c). The journal has the size that mke2fs would give the whole disk, at most 64
 * MiB.
 *
 * Order of writing, so that a power cut leaves nothing that looks like a file system and is none:
 * first the mark of libmlimg/disk.h, then all but the superblock, then the superblock; each is on
 * the disk before the next begins. Last the mark is wiped. A disk with the mark and without a sound
 * superblock counts as blank.
 *
 * Source of the format: the kernel's Documentation/filesystems/ext4/ (super.rst, group_descr.rst,
 * bitmaps.rst, inodes.rst, ifork.rst, directory.rst, journal.rst, checksums.rst); of the inode that
 * reserves descriptor blocks, fs/ext4/resize.c (add_new_gdb).
 */
#ifndef MLIMG_EXT4_NEW_H
#define MLIMG_EXT4_NEW_H

#include <stdint.h>

#include "libmlimg/user-layer.h"

#define MLIMG_EXT4_NEW_MIN_BYTES \
	(UINT64_C(16) << 20) /**< a smaller disk has no room for a journal */
/** Everything but the journal lies within so many bytes from the beginning. */
#define MLIMG_EXT4_NEW_AREA_BYTES (UINT64_C(8) << 20)

/**
 * Write it. What was in the first 128 MiB is lost.
 *
 * @param fd          a block device or a regular file, readable and writable
 * @param name        what it is called in messages
 * @param disk_bytes  at least MLIMG_EXT4_NEW_MIN_BYTES
 * @param layer       what it is to be
 * @param err         names the disk
 * @return            0 or -errno; on return with 0 everything is on the disk
 */
int mlimg_ext4_new(int fd, const char *name, uint64_t disk_bytes,
	const struct mlimg_user_layer *layer, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
