/* SPDX-License-Identifier: MIT */
/**
 * @file ext4-data.h
 * The contents of files on their way into an image: written to consecutive blocks in large pieces
 * and hashed on the way. Three threads: the caller fills a buffer, one hashes and one writes the
 * buffers filled before, so that reading, hashing and writing overlap.
 *
 * Which blocks a file gets is decided when its data comes, so that a source needs to be read only
 * once and a tar from a pipe will do. Only whole blocks of a hole are left out.
 */
#ifndef MLIMG_TOOLS_EXT4_DATA_H
#define MLIMG_TOOLS_EXT4_DATA_H

#include "tools/source.h"

#define MLIMG_BLOCK_SIZE 4096        /**< bytes of a block of every image */
#define MLIMG_CAPTURE_MAX (64 << 20) /**< bytes of a file that is captured */

/**
 * Gives the next run of free blocks, as long as there is one.
 *
 * @param ctx        the allocator's
 * @param ret_start  first block
 * @param ret_count  blocks, at least 1
 */
typedef int mlimg_alloc_fn(
	void *ctx, uint64_t *ret_start, uint64_t *ret_count, struct mlimg_err *err);

/**
 * Start.
 *
 * @param fd        the image, writable; stays the caller's
 * @param image     its name, for messages; must live as long
 * @param alloc     where blocks come from
 * @param ctx       handed to @p alloc
 * @param ret_data  mlimg_data_free() it
 */
int mlimg_data_new(int fd, const char *image, mlimg_alloc_fn *alloc, void *ctx,
	struct mlimg_data **ret_data, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Stop the threads, free; accepts NULL. What was not synced may be unwritten. */
void mlimg_data_free(struct mlimg_data *data);

/**
 * From now on write the contents of files that are to be apart (is_apart) with another writer.
 *
 * @param data   the writer
 * @param apart  is synced with @p data, leaves out what @p data leaves out, and stays the caller's;
 *               NULL: none
 */
void mlimg_data_set_apart(struct mlimg_data *data, struct mlimg_data *apart);

/**
 * Go on at another block. All is written: mlimg_data_sync().
 *
 * @param data   the writer, of an image without an end
 * @param block  where the next contents go
 */
void mlimg_data_go_to(struct mlimg_data *data, uint64_t block);

/**
 * Begin a file.
 *
 * @param data      the writer
 * @param file      gets size, extents and (after mlimg_data_sync()) digest; must stay in place. If
 *                  it is_captured, it gets its bytes, at most MLIMG_CAPTURE_MAX, size and digest,
 *                  and nothing is written
 * @param is_hashed whether it gets a digest
 */
void mlimg_data_begin(struct mlimg_data *data, struct mlimg_file *file, bool is_hashed);

/**
 * Where the next bytes of the file can be read to.
 *
 * @param data      the writer
 * @param ret_room  the place
 * @param ret_size  bytes that fit, at least 1
 * @param err       what failed, here or in one of the threads
 */
int mlimg_data_room(struct mlimg_data *data, void **ret_room, size_t *ret_size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Contents that need not be written. */
struct mlimg_known {
	const void *ctx;
	/**
	 * Wait until the others can be asked.
	 *
	 * @return 0, or -errno when they never can. NULL: they can at once
	 */
	int (*wait)(const void *ctx, struct mlimg_err *err);
	/** @return whether there is nothing to wait for. NULL: there is not */
	bool (*is_ready)(const void *ctx);
	/** @return whether any known contents have this size */
	bool (*has_size)(const void *ctx, uint64_t size_bytes);
	/** @return whether these contents are known */
	bool (*has_content)(
		const void *ctx, uint64_t size_bytes, const uint8_t digest[MLIMG_SHA256_SIZE]);
};

/** Wait until known contents can be told from others. @return 0 or -errno */
static inline int mlimg_known_wait(const struct mlimg_known *known, struct mlimg_err *err)
{
	return known->wait ? known->wait(known->ctx, err) : 0;
}

/** @return whether they can be told by now */
static inline bool mlimg_known_is_ready(const struct mlimg_known *known)
{
	return !known->is_ready || known->is_ready(known->ctx);
}

/**
 * From the next file on leave out known contents: such a file gets size and digest, no extents, and
 * is_left_out.
 *
 * Contents of up to a buffer's size (1 MiB) wait in memory until their digest is known. Larger ones
 * are written, and their blocks are taken back in the end, so known contents cost no memory, but
 * time.
 *
 * @param data   the writer, of an image without an end (no user layer)
 * @param known  must live as long; NULL: write all again
 */
void mlimg_data_leave_out(struct mlimg_data *data, const struct mlimg_known *known);

/**
 * From the next file on let files with the same contents share their blocks. Such a file has size
 * and digest, and no extents until mlimg_data_share(). What is written apart has blocks of its own.
 *
 * @param data  the writer, of an image without an end
 * @return      0, -ENOMEM
 */
int mlimg_data_dedupe(struct mlimg_data *data, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Give those files their extents, and end it: a file from now on has blocks of its own. Nothing to
 * do without mlimg_data_dedupe().
 */
int mlimg_data_share(struct mlimg_data *data, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return whether any files share blocks */
bool mlimg_data_is_shared(const struct mlimg_data *data);

/** @p size bytes, at most what mlimg_data_room() said, were put there. */
int mlimg_data_put(struct mlimg_data *data, size_t size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Both of these for bytes that are in memory already. */
int mlimg_data_write(struct mlimg_data *data, const void *bytes, size_t size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The next @p size bytes of the file are a hole. */
int mlimg_data_hole(struct mlimg_data *data, uint64_t size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** End the file. */
int mlimg_data_end(struct mlimg_data *data, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Wait until all ended files are hashed and written (not fsynced).
 *
 * @param data      the writer
 * @param ret_next  the block after the last one that was used; may be NULL
 */
int mlimg_data_sync(
	struct mlimg_data *data, uint64_t *ret_next, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
