/* SPDX-License-Identifier: MIT */
#include "guest-agent/grow.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/disk.h"

/* fs/ext4/ext4.h; no header for user space has it. */
#define IOC_RESIZE_FS _IOW('f', 16, uint64_t)
#define WORTH_BYTES (1 << 20)

uint64_t mlimg_grow_blocks(const struct mlimg_superblock *sb, uint64_t disk_bytes)
{
	if (sb->state != MLIMG_SUPERBLOCK_SOUND || disk_bytes < sb->size_bytes ||
		disk_bytes - sb->size_bytes < WORTH_BYTES)
		return 0;
	return disk_bytes / sb->block_size;
}

/*
 * A journal holds back what the kernel has in its buffers, but these are what a read of the disk
 * sees.
 */
static int look_at(int fd, const char *dev, struct mlimg_disk *ret_disk, struct mlimg_err *err)
{
	mlimg_disk_probe(fd, ret_disk);
	if (ret_disk->state == MLIMG_DISK_UNREADABLE)
		return mlimg_err_set(err, ret_disk->error, "read %s", dev);
	return 0;
}

int mlimg_grow(
	const char *dev, int mount_fd, uint64_t *ret_from, uint64_t *ret_to, struct mlimg_err *err)
{
	mlimg_autoclose int fd = open(dev, O_RDONLY | O_CLOEXEC);
	struct mlimg_disk before, after;
	uint64_t blocks;
	int r;

	*ret_from = *ret_to = 0;
	if (fd < 0)
		return mlimg_err_set(err, errno, "open %s", dev);
	r = look_at(fd, dev, &before, err);
	if (r < 0)
		return r;
	blocks = mlimg_grow_blocks(&before.sb, before.size_bytes);
	if (!blocks)
		return 0;
	if (ioctl(mount_fd, IOC_RESIZE_FS, &blocks) < 0)
		return mlimg_err_set(err, errno, "resize the file system on %s to %llu blocks", dev,
			(unsigned long long)blocks);
	r = look_at(fd, dev, &after, err);
	if (r == 0 && after.sb.size_bytes > before.sb.size_bytes) {
		*ret_from = before.sb.size_bytes;
		*ret_to = after.sb.size_bytes;
	}
	return r;
}
