/* SPDX-License-Identifier: MIT */
#include "tools/disk-quiet.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"

/*
 * QEMU (block/file-posix.c) marks what it may do to an image by read locks on single bytes, from
 * 100 on one for each permission; the one for writing is the second.
 */
#define QEMU_WRITE_LOCK_BYTE 101

bool mlimg_disk_is_written(int fd)
{
	struct flock lock = {.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = QEMU_WRITE_LOCK_BYTE,
		.l_len = 1};

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int mlimg_disk_look(const char *path, struct mlimg_disk_look *ret_look, struct mlimg_err *err)
{
	mlimg_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return mlimg_err_set(err, errno, "open image '%s'", path);
	*ret_look = (struct mlimg_disk_look){.is_written = mlimg_disk_is_written(fd),
		.dev = st.st_dev,
		.ino = st.st_ino,
		.size_bytes = st.st_size,
		.mtime = st.st_mtim,
		.ctime = st.st_ctim};
	return 0;
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool mlimg_disk_is_quiet(const struct mlimg_disk_look *before, const struct mlimg_disk_look *now)
{
	return !now->is_written && now->dev == before->dev && now->ino == before->ino &&
		now->size_bytes == before->size_bytes &&
		is_same_time(&now->mtime, &before->mtime) &&
		is_same_time(&now->ctime, &before->ctime);
}
