/* SPDX-License-Identifier: MIT */
#include "tools/store-copy.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "tools/progress.h"

#define BUFFER_BYTES ((size_t)1 << 20)
#define RANGE_BYTES ((uint64_t)64 << 20) /* at a time, so that the progress bar moves */

struct copy {
	int from, to;
	enum mlimg_copy_how how;
	char *buffer;
	const char *name;
	struct mlimg_progress progress;
};

static int copy_error(const struct copy *c, int code, struct mlimg_err *err)
{
	return mlimg_err_set(err, code, "copy '%.300s'", c->name);
}

/* @return bytes; 0 at the end of the file; -errno */
static ssize_t copy_by_kernel(struct copy *c, uint64_t at, uint64_t n)
{
	off_t in = (off_t)at, out = (off_t)at;
	ssize_t done =
		copy_file_range(c->from, &in, c->to, &out, n < RANGE_BYTES ? n : RANGE_BYTES, 0);

	return done < 0 ? -errno : done;
}

static ssize_t copy_by_hand(struct copy *c, uint64_t at, uint64_t n)
{
	ssize_t done = pread(c->from, c->buffer, n < BUFFER_BYTES ? n : BUFFER_BYTES, (off_t)at);

	for (ssize_t put = 0; put < done;) {
		ssize_t k = pwrite(c->to, c->buffer + put, (size_t)(done - put), (off_t)at + put);

		if (k < 0 && errno != EINTR)
			return -errno;
		put += k < 0 ? 0 : k;
	}
	return done < 0 ? -errno : done;
}

/* What says that the kernel cannot do it with these files, not that it has failed. */
static bool is_unable(ssize_t code)
{
	return code == -ENOSYS || code == -EXDEV || code == -EINVAL || code == -EOPNOTSUPP ||
		code == -EPERM || code == -EBADF;
}

static int copy_range(struct copy *c, uint64_t at, uint64_t end, struct mlimg_err *err)
{
	while (at < end) {
		ssize_t n = c->how == MLIMG_COPY_BYTES ? copy_by_hand(c, at, end - at)
						       : copy_by_kernel(c, at, end - at);

		if (c->how != MLIMG_COPY_BYTES && is_unable(n)) {
			c->how = MLIMG_COPY_BYTES;
			continue;
		}
		if (n == -EINTR)
			continue;
		if (n <= 0)
			return copy_error(c, n ? (int)n : EIO, err);
		at += (uint64_t)n;
		mlimg_progress_update(&c->progress, at);
	}
	return 0;
}

/* The next data from @at on; a file system that knows of no holes has data everywhere. */
static uint64_t next(const struct copy *c, uint64_t at, uint64_t size, int whence)
{
	off_t found = lseek(c->from, (off_t)at, whence);

	if (found < 0)
		return errno == ENXIO || whence == SEEK_HOLE ? size : at;
	return (uint64_t)found < size ? (uint64_t)found : size;
}

static int copy_data(struct copy *c, uint64_t size, struct mlimg_err *err)
{
	int ret = 0;

	for (uint64_t at = 0; ret == 0 && at < size;) {
		uint64_t begin = next(c, at, size, SEEK_DATA);
		uint64_t end = begin < size ? next(c, begin, size, SEEK_HOLE) : size;

		/* Another writer may move the holes while we look. */
		if (end <= begin && begin < size)
			end = size;
		ret = copy_range(c, begin, end, err);
		at = end;
	}
	return ret;
}

int mlimg_copy_file(int from, int to, uint64_t size, enum mlimg_copy_how how, const char *name,
	struct mlimg_err *err)
{
	mlimg_autofree char *buffer = NULL;
	struct copy c = {.from = from, .to = to, .how = how, .name = name};
	int ret;

	if (how == MLIMG_COPY_SHARE && ioctl(to, FICLONE, from) == 0)
		return ftruncate(to, (off_t)size) < 0 ? copy_error(&c, errno, err) : 0;
	buffer = malloc(BUFFER_BYTES);
	if (!buffer)
		return copy_error(&c, ENOMEM, err);
	c.buffer = buffer;
	if (ftruncate(to, (off_t)size) < 0)
		return copy_error(&c, errno, err);
	mlimg_progress_init(&c.progress, "copying", size);
	ret = copy_data(&c, size, err);
	mlimg_progress_end(&c.progress);
	return ret;
}
