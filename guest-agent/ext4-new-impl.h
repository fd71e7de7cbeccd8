/* SPDX-License-Identifier: MIT */
/**
 * @file ext4-new-impl.h
 * What the files share that make a file system (ext4-new.h); nobody else includes this.
 */
#ifndef MLIMG_EXT4_NEW_IMPL_H
#define MLIMG_EXT4_NEW_IMPL_H

#include "guest-agent/ext4-new.h"

#define BS 4096u
#define RESERVED_GDT 127u

/** Where it lies. */
enum { GDT = 1, RESERVED = 2, BLOCK_BITMAP = RESERVED + RESERVED_GDT, INODE_BITMAP, INODE_TABLE };

/** What comes before the journal, in memory. */
struct ext4_new_image {
	uint8_t *bytes;
	uint32_t n_blocks, n_inodes, journal_blocks;
	uint32_t next; /**< the next block that nobody has; in the end where the journal begins */
	uint32_t seed; /**< of all checksums */
	uint8_t uuid[MLIMG_UUID_SIZE];
};

/** @return block @p n of it */
static inline uint8_t *ext4_new_block(const struct ext4_new_image *image, uint32_t n)
{
	return image->bytes + (size_t)n * BS;
}

/** Write it to a disk, durably; the superblock last. @return 0, -errno */
int ext4_new_write(int fd, const char *name, const struct ext4_new_image *image,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
