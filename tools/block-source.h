/* SPDX-License-Identifier: MIT */
/**
 * @file block-source.h
 * Bytes of a disk that is no plain file: what a disk image in another format holds, say
 * (nbd-source.h). For reading alone, and for one thread at a time.
 */
#ifndef MLIMG_TOOLS_BLOCK_SOURCE_H
#define MLIMG_TOOLS_BLOCK_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/err.h"

/** A disk. */
struct mlimg_block_source {
	uint64_t size_bytes; /**< of the disk */
	/**
	 * Read bytes; all of them lie within the disk. @p err does not name the disk. @return 0,
	 * -errno
	 */
	int (*read)(struct mlimg_block_source *source, uint64_t offset, void *data, size_t size,
		struct mlimg_err *err);
	void (*close)(struct mlimg_block_source *source); /**< frees it, too */
};

/** Close it; accepts NULL. */
void mlimg_block_source_close(struct mlimg_block_source *source);
MLIMG_DEFINE_CLEANUP(struct mlimg_block_source, mlimg_block_source_close)
#define mlimg_autosource mlimg_cleanup(mlimg_block_source_close_cleanup) /**< close it */

/**
 * Read bytes, wherever they are said to be.
 *
 * @param source  the disk
 * @param offset  byte where they begin
 * @param data    gets them
 * @param size    their number
 * @param err     does not name the disk
 * @return        0; -EUCLEAN: not all of them lie within the disk; other -errno
 */
int mlimg_block_read(struct mlimg_block_source *source, uint64_t offset, void *data, size_t size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * bytes that are read at once: a walk of directories and inodes, which lie near each other, asks
 * for blocks of 4096
 */
#define MLIMG_BLOCK_CHUNK (128u << 10)
#define MLIMG_BLOCK_CHUNKS 64 /**< that are remembered: 8 MiB */

/**
 * Remember what was read of a disk last.
 *
 * @param source  the disk; closed with the one that is made, on failure too
 * @param ret     a disk with the same bytes
 * @param err     when there is no memory
 * @return        0, -ENOMEM
 */
int mlimg_block_cache(struct mlimg_block_source *source, struct mlimg_block_source **ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
