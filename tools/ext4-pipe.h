/* SPDX-License-Identifier: MIT */
/**
 * @file ext4-pipe.h
 * The threads behind ext4-data.h: buffers that the caller fills are hashed by one and written by
 * another thread, each in the order in which they were filled, while the caller fills the next
 * ones. They are written past the page cache where the file system can.
 */
#ifndef MLIMG_TOOLS_EXT4_PIPE_H
#define MLIMG_TOOLS_EXT4_PIPE_H

#include "tools/ext4-data.h"

/**
 * Bytes of a buffer: so large that a write costs little beside its copying, and small enough for a
 * core's second level cache.
 */
#define MLIMG_BUFFER_SIZE 1048576
#define MLIMG_PIECES_MAX 4096 /**< of files in a buffer, however small they are */

/** What the hashing thread is to do, in order. */
enum mlimg_piece_kind {
	MLIMG_BYTES, /**< hash bytes of the buffer */
	MLIMG_ZEROS, /**< hash as many zeros */
	MLIMG_END,   /**< the file ends: give it its digest */
};

/** Part of a file in a buffer. */
struct mlimg_piece {
	struct mlimg_file *file; /**< MLIMG_END */
	uint64_t size;           /**< MLIMG_BYTES, MLIMG_ZEROS */
	uint32_t offset;         /**< MLIMG_BYTES: in the buffer */
	enum mlimg_piece_kind kind;
};

/** A buffer: blocks that are consecutive in the image, all of them whole. */
struct mlimg_buffer {
	uint8_t *bytes;
	uint64_t block; /**< where they belong */
	size_t fill;    /**< bytes */
	struct mlimg_piece *pieces;
	size_t n_pieces;
};

struct mlimg_pipe;

/**
 * Start the threads.
 *
 * @param fd         the image; its flag O_DIRECT is the pipe's until mlimg_pipe_free()
 * @param image      its name, for messages; must live as long
 * @param ret_pipe   mlimg_pipe_free() it
 * @param ret_first  the buffer to fill first, empty
 */
int mlimg_pipe_new(int fd, const char *image, struct mlimg_pipe **ret_pipe,
	struct mlimg_buffer **ret_first, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Stop the threads, free; accepts NULL. */
void mlimg_pipe_free(struct mlimg_pipe *pipe);

/**
 * Hand over the buffer that was filled.
 *
 * @param pipe        the threads
 * @param is_waiting  whether to wait until all buffers are hashed and written
 * @param ret_next    the buffer to fill next, empty; set on failure too
 * @param err         of this or any earlier write
 */
int mlimg_pipe_submit(struct mlimg_pipe *pipe, bool is_waiting, struct mlimg_buffer **ret_next,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return how many buffers were handed over; the one being filled is the next */
uint64_t mlimg_pipe_count(struct mlimg_pipe *pipe);

/** Wait until the first @p n buffers, which were handed over, are hashed. */
void mlimg_pipe_wait_hashed(struct mlimg_pipe *pipe, uint64_t n);

/** Add to a digest what a piece of a buffer that was not handed over says. */
void mlimg_pipe_hash(struct mlimg_sha256 *sha, const struct mlimg_buffer *buffer,
	const struct mlimg_piece *piece);

#endif
