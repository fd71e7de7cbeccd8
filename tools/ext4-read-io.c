/* SPDX-License-Identifier: MIT */
/*
 * Where an image's bytes come from: a file, or a disk that is none (block-source.h). For the latter
 * there is an io_manager of libext2fs here, which cannot write, whatever it is opened with.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/ext4-read-impl.h"

/* ---- blocks ---- */

static int read_from_source(
	const struct mlimg_ext4 *fs, uint64_t first, void *data, size_t size, struct mlimg_err *err)
{
	int ret = mlimg_block_read(fs->source, first * MLIMG_EXT4_BLOCK, data, size, err);

	return ret < 0 ? mlimg_err_wrap(err, ret, "%.140s: block %llu", fs->name,
				 (unsigned long long)first)
		       : 0;
}

int ext4_read_blocks(
	const struct mlimg_ext4 *fs, uint64_t first, uint32_t n, void *data, struct mlimg_err *err)
{
	size_t size = (size_t)n * MLIMG_EXT4_BLOCK;

	if (first == 0 || first >= fs->super.n_blocks || n > fs->super.n_blocks - first)
		return ext4_refuse(fs, err, "block %llu is not within the file system",
			(unsigned long long)first);
	if (fs->source)
		return read_from_source(fs, first, data, size, err);
	for (size_t done = 0; done < size;) {
		ssize_t got = pread(fs->fd, (char *)data + done, size - done,
			(off_t)(fs->offset + first * MLIMG_EXT4_BLOCK + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return ext4_fail(
				fs, err, errno, "read block %llu", (unsigned long long)first);
		if (got == 0)
			return ext4_refuse(fs, err, "block %llu lies beyond the end of the image",
				(unsigned long long)first);
		done += (size_t)got;
	}
	return 0;
}

/* @return bytes, fewer where the image is shorter; -errno */
ssize_t ext4_read_head(struct mlimg_ext4 *fs, void *head, size_t size, struct mlimg_err *err)
{
	ssize_t got;
	int ret;

	if (!fs->source) {
		got = pread(fs->fd, head, size, (off_t)fs->offset);
		return got < 0 ? ext4_fail(fs, err, errno, "read superblock") : got;
	}
	if (fs->source->size_bytes < size)
		size = fs->source->size_bytes;
	ret = mlimg_block_read(fs->source, 0, head, size, err);
	return ret < 0 ? mlimg_err_wrap(err, ret, "%.200s: superblock", fs->name) : (ssize_t)size;
}

/* ---- for libext2fs ---- */

static struct struct_io_manager manager;

/* ext2fs_open2() hands over a name and nothing else. */
static _Thread_local struct mlimg_block_source *opening;

static errcode_t open_io(const char *name, int flags, io_channel *ret_channel)
{
	io_channel channel = calloc(1, sizeof(*channel));

	if (!channel)
		return EXT2_ET_NO_MEMORY;
	channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	channel->manager = &manager;
	channel->name = strdup(name);
	channel->block_size = 1024;
	channel->refcount = 1;
	channel->private_data = opening;
	if (!channel->name) {
		free(channel);
		return EXT2_ET_NO_MEMORY;
	}
	*ret_channel = channel;
	return 0;
}

/* The disk is whoever's opened it. */
static errcode_t close_io(io_channel channel)
{
	if (--channel->refcount > 0)
		return 0;
	free(channel->name);
	free(channel);
	return 0;
}

static errcode_t set_block_size(io_channel channel, int block_size)
{
	channel->block_size = block_size;
	return 0;
}

/* @count: blocks; negative: bytes */
static errcode_t read_blocks(io_channel channel, unsigned long long block, int count, void *data)
{
	size_t size = count < 0 ? -(size_t)count : (size_t)count * (size_t)channel->block_size;
	unsigned long long offset;
	int r;

	if (__builtin_mul_overflow(block, (unsigned long long)channel->block_size, &offset))
		return EXT2_ET_SHORT_READ;
	r = mlimg_block_read(channel->private_data, offset, data, size, NULL);
	return r == -EUCLEAN ? EXT2_ET_SHORT_READ : -r;
}

static errcode_t read_few(io_channel channel, unsigned long block, int count, void *data)
{
	return read_blocks(channel, block, count, data);
}

static errcode_t write_blocks(
	io_channel channel, unsigned long long block, int count, const void *data)
{
	return EXT2_ET_RO_FILSYS;
}

static errcode_t write_few(io_channel channel, unsigned long block, int count, const void *data)
{
	return EXT2_ET_RO_FILSYS;
}

static errcode_t flush(io_channel channel)
{
	return 0;
}

static struct struct_io_manager manager = {.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "mlimg disk",
	.open = open_io,
	.close = close_io,
	.set_blksize = set_block_size,
	.read_blk = read_few,
	.read_blk64 = read_blocks,
	.write_blk = write_few,
	.write_blk64 = write_blocks,
	.flush = flush};

/* libext2fs gets the very file that was checked, not whatever the path names by now. */
static int open_fd(struct mlimg_ext4 *fs, errcode_t *ret_code, struct mlimg_err *err)
{
	char number[16], offset[32];
	int fd = fcntl(fs->fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return ext4_fail(fs, err, errno, "open image");
	snprintf(number, sizeof(number), "%d", fd);
	snprintf(offset, sizeof(offset), "offset=%llu", (unsigned long long)fs->offset);
	*ret_code =
		ext2fs_open2(number, offset, EXT2_FLAG_64BITS, 0, 0, unixfd_io_manager, &fs->ext2);
	return 0;
}

static errcode_t open_source(struct mlimg_ext4 *fs)
{
	errcode_t code;

	opening = fs->source;
	code = ext2fs_open2("disk", NULL, EXT2_FLAG_64BITS, 0, 0, &manager, &fs->ext2);
	opening = NULL;
	return code;
}

int ext4_open2(struct mlimg_ext4 *fs, errcode_t *ret_code, struct mlimg_err *err)
{
	if (!fs->source)
		return open_fd(fs, ret_code, err);
	*ret_code = open_source(fs);
	return 0;
}
