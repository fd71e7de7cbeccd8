/* SPDX-License-Identifier: MIT */
/* Contents of files. */
#include <errno.h>
#include <stdlib.h>

#include "tools/data.h"
#include "tools/ext4-read-impl.h"

#define PIECE_BLOCKS 256u /* 1 MiB at a time */

/* A file on its way to the caller. */
struct file_reader {
	struct mlimg_ext4 *fs;
	mlimg_ext4_data_fn *fn;
	void *ctx;
	struct mlimg_err *err;
	uint64_t size, done; /* bytes */
	uint8_t *piece;
};

static int put_hole(struct file_reader *r, uint64_t end)
{
	uint64_t size = (end < r->size ? end : r->size) - r->done;
	int ret = size ? r->fn(NULL, size, r->ctx, r->err) : 0;

	r->done += size;
	return ret;
}

static int put_extent(struct file_reader *r, const struct mlimg_ext4_extent *e)
{
	int ret = 0;

	for (uint32_t block = 0; block < e->n_blocks && r->done < r->size && ret >= 0;) {
		uint64_t left = r->size - r->done;
		uint64_t left_blocks = (left + MLIMG_EXT4_BLOCK - 1) / MLIMG_EXT4_BLOCK;
		uint32_t n =
			e->n_blocks - block < PIECE_BLOCKS ? e->n_blocks - block : PIECE_BLOCKS;
		uint64_t size;

		if (n > left_blocks)
			n = (uint32_t)left_blocks;
		size = (uint64_t)n * MLIMG_EXT4_BLOCK < left ? (uint64_t)n * MLIMG_EXT4_BLOCK
							     : left;
		ret = ext4_read_blocks(r->fs, e->physical + block, n, r->piece, r->err);
		if (ret < 0)
			return ret;
		ret = r->fn(r->piece, size, r->ctx, r->err);
		r->done += size;
		block += n;
	}
	return ret;
}

/* No larger than needed: most files are small, and their memory should stay in the cache. */
static size_t piece_size(const struct mlimg_ext4_inode *inode)
{
	uint64_t blocks = (inode->size_bytes + MLIMG_EXT4_BLOCK - 1) / MLIMG_EXT4_BLOCK;

	return (size_t)(blocks < PIECE_BLOCKS ? blocks : PIECE_BLOCKS) * MLIMG_EXT4_BLOCK;
}

int mlimg_ext4_read(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode,
	mlimg_ext4_data_fn *fn, void *ctx, struct mlimg_err *err)
{
	struct file_reader r = {
		.fs = fs, .fn = fn, .ctx = ctx, .err = err, .size = inode->size_bytes};
	mlimg_autofree struct mlimg_ext4_extent *extents = NULL;
	mlimg_autofree uint8_t *piece = NULL;
	size_t n = 0;
	int ret;

	if (inode->type != MLIMG_FILE && inode->type != MLIMG_LINK)
		return ext4_fail(fs, err, inode->type == MLIMG_DIR ? EISDIR : EINVAL,
			"inode %u has no contents", inode->ino);
	ret = mlimg_ext4_extents(fs, inode, &extents, &n, err);
	if (ret < 0 || r.size == 0)
		return ret;
	r.piece = piece = malloc(piece_size(inode));
	if (!piece)
		return ext4_fail(fs, err, ENOMEM, "inode %u", inode->ino);
	for (size_t i = 0; i < n && r.done < r.size && ret >= 0; i++) {
		const struct mlimg_ext4_extent *e = &extents[i];

		ret = put_hole(&r, e->logical * MLIMG_EXT4_BLOCK);
		if (ret < 0)
			break;
		if (e->is_unwritten)
			ret = put_hole(&r, (e->logical + e->n_blocks) * MLIMG_EXT4_BLOCK);
		else
			ret = put_extent(&r, e);
	}
	if (ret >= 0)
		ret = put_hole(&r, r.size);
	return ret < 0 ? ret : 0;
}

int mlimg_ext4_copy(
	struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode, int fd, struct mlimg_err *err)
{
	return mlimg_ext4_read(fs, inode, mlimg_data_to_fd, &fd, err);
}

int mlimg_ext4_digest(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode,
	uint8_t ret_digest[MLIMG_SHA256_SIZE], struct mlimg_err *err)
{
	struct mlimg_sha256 sha;
	int ret;

	mlimg_sha256_init(&sha);
	ret = mlimg_ext4_read(fs, inode, mlimg_data_to_sha256, &sha, err);
	if (ret == 0)
		mlimg_sha256_end(&sha, ret_digest);
	return ret;
}

int mlimg_ext4_read_file(struct mlimg_ext4 *fs, const char *root, const char *path, size_t max,
	char **ret_data, size_t *ret_size, struct mlimg_err *err)
{
	struct mlimg_ext4_inode inode;
	mlimg_autofree char *data = NULL;
	char *next;
	int ret = mlimg_ext4_lookup(fs, root, path, false, &inode, err);

	if (ret < 0)
		return ret;
	if (inode.type != MLIMG_FILE)
		return ext4_refuse(fs, err, "'%s' is no regular file", path);
	/* A file of holes may claim any size: its blocks are what counts. */
	if (inode.size_bytes > max || inode.size_bytes > fs->super.n_blocks * MLIMG_EXT4_BLOCK)
		return ext4_refuse(fs, err, "'%s' is too large (%llu bytes)", path,
			(unsigned long long)inode.size_bytes);
	next = data = malloc(inode.size_bytes + 1);
	if (!data)
		return ext4_fail(fs, err, ENOMEM, "read '%s'", path);
	ret = mlimg_ext4_read(fs, &inode, mlimg_data_to_memory, &next, err);
	if (ret < 0)
		return ret;
	*next = '\0';
	*ret_data = mlimg_steal(&data);
	*ret_size = inode.size_bytes;
	return 0;
}

int mlimg_ext4_read_blocks(
	struct mlimg_ext4 *fs, uint64_t first, uint32_t n, void *data, struct mlimg_err *err)
{
	return ext4_read_blocks(fs, first, n, data, err);
}
