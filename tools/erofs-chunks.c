/* SPDX-License-Identifier: MIT */
/* How extents become chunks of equal size. */
#include "tools/erofs-internal.h"

#include <endian.h>
#include <errno.h>

/* A file in more pieces would need over 128 MiB of index; no sane one is. */
#define CHUNKS_MAX (1u << 24)

static unsigned log2_up(uint64_t n)
{
	return n <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(n - 1);
}

static uint64_t file_blocks(const struct inode *inode)
{
	return inode->size_bytes / EROFS_BLOCK_SIZE + (inode->size_bytes % EROFS_BLOCK_SIZE != 0);
}

uint64_t mlimg_erofs_n_chunks(const struct inode *inode)
{
	uint64_t mask = ((uint64_t)1 << inode->chunk_bits) - 1;

	return (file_blocks(inode) >> inode->chunk_bits) + ((file_blocks(inode) & mask) != 0);
}

/*
 * A chunk must be contiguous on one device, or a hole. So no place where a run ends and another one
 * begins may lie inside of a chunk: the chunk size is the greatest power of two that divides all of
 * these places.
 */
int mlimg_erofs_choose_chunks(
	const struct mlimg_erofs *image, struct inode *inode, struct mlimg_err *err)
{
	uint64_t n_blocks = file_blocks(inode), at = 0;
	unsigned bits = log2_up(n_blocks);

	for (uint32_t i = inode->first_extent; i != NONE; i = image->extents.at[i].next) {
		const struct extent *e = &image->extents.at[i];

		if (e->file_block >= n_blocks)
			break;
		for (int end = 0; end < 2; end++) {
			at = end ? e->file_block + e->n_blocks : e->file_block;
			if (at && at < n_blocks && (unsigned)__builtin_ctzll(at) < bits)
				bits = (unsigned)__builtin_ctzll(at);
		}
	}
	inode->chunk_bits = bits > EROFS_CHUNK_BITS_MASK ? EROFS_CHUNK_BITS_MASK : (uint8_t)bits;
	if (mlimg_erofs_n_chunks(inode) > CHUNKS_MAX)
		return mlimg_err_refuse(err,
			"is a file of %llu bytes in too many pieces: %llu of equal size, where %u "
			"can be",
			(unsigned long long)inode->size_bytes,
			(unsigned long long)mlimg_erofs_n_chunks(inode), CHUNKS_MAX);
	return 0;
}

void mlimg_erofs_put_chunks(const struct mlimg_erofs *image, const struct inode *inode, uint8_t *at)
{
	struct erofs_chunk_index *index = (void *)at;
	uint64_t n = mlimg_erofs_n_chunks(inode);
	uint32_t i = inode->first_extent;

	for (uint64_t chunk = 0; chunk < n; chunk++, index++) {
		uint64_t block = chunk << inode->chunk_bits;
		const struct extent *e;

		while (i != NONE &&
			image->extents.at[i].file_block + image->extents.at[i].n_blocks <= block)
			i = image->extents.at[i].next;
		e = i == NONE ? NULL : &image->extents.at[i];
		if (!e || e->file_block > block) {
			index->blkaddr = htole32(EROFS_NULL_ADDR);
			continue;
		}
		index->device_id = htole16(image->is_joined ? 0 : e->device);
		index->blkaddr = htole32(image->devices.at[e->device - 1].first_block +
			(uint32_t)(e->dev_block + (block - e->file_block)));
	}
}
