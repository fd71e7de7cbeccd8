/* SPDX-License-Identifier: MIT */
/**
 * @file ext4-data-impl.h
 * What the files of ext4-data share among themselves: ext4-data.c puts contents into buffers,
 * ext4-decide.c decides which of them need no blocks.
 */
#ifndef MLIMG_TOOLS_EXT4_DATA_IMPL_H
#define MLIMG_TOOLS_EXT4_DATA_IMPL_H

#include "tools/ext4-data.h"
#include "tools/ext4-pipe.h"
#include "tools/ext4-same.h"

struct mlimg_data {
	struct mlimg_data *apart; /* or NULL */
	struct mlimg_data *to;    /* who takes the present file: this one or apart */
	struct mlimg_pipe *pipe;
	struct mlimg_buffer *now; /* being filled */
	mlimg_alloc_fn *alloc;
	void *alloc_ctx;
	uint64_t run_next, run_end; /* free blocks */

	struct mlimg_file *file; /* the present one */
	uint64_t pos;
	bool is_hashed;
	size_t captured_room; /* of its ->bytes */

	int fd;
	const struct mlimg_known *known; /* or NULL */
	struct mlimg_same *same;         /* or NULL */
	bool is_shared;
	/* Where the present file begins, as long as it may turn out to be known. */
	struct {
		bool is_waiting; /* all of it is in the buffer */
		bool is_written; /* some of it is not any more */
		size_t fill, n_pieces;
		uint64_t key; /* is_written: of its beginning */
	} begun;
};

/** Add what the hashing thread is to do. */
void mlimg_data_add_piece(
	struct mlimg_data *d, enum mlimg_piece_kind kind, uint64_t size, struct mlimg_file *file);

/** Begin the present file as one that may need no blocks, if there can be any. */
void mlimg_data_begin_deciding(struct mlimg_data *d);

/**
 * Hand over the buffer. What is in it of a file that is being decided about goes on in the next
 * one, as long as it fits.
 */
int mlimg_data_submit(struct mlimg_data *d, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The present file, which is hashed, has ended: decide about it, or leave it to the hashing thread.
 */
int mlimg_data_end_hashed(struct mlimg_data *d, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
