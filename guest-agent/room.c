/* SPDX-License-Identifier: MIT */
#include "guest-agent/room.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/remove-tree.h"

#define KEPT_BACK "reserved" /* in /run/mlimg: blocks, as the kernel writes them */
#define KEPT_BACK_MAX 32
#define SPARE "spare"
#define FEW_BLOCKS 64 /* where there are more, overlayfs finds one */
#define FEW_INODES 64

/* @return the descriptor of reserved_clusters of the file system that a directory is on, or -1 */
static int open_kept_back(int dir_fd)
{
	char path[128], disk[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (fstat(dir_fd, &st) < 0)
		return -1;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
	n = readlink(path, disk, sizeof(disk) - 1);
	if (n < 0)
		return -1;
	disk[n] = '\0';
	if (snprintf(path, sizeof(path), "/sys/fs/ext4/%s/reserved_clusters",
		    strrchr(disk, '/') ? strrchr(disk, '/') + 1 : disk) >= (int)sizeof(path))
		return -1;
	return open(path, O_RDWR | O_CLOEXEC);
}

static void lend_blocks(int run_fd, int user_fd)
{
	mlimg_autoclose int fd = open_kept_back(user_fd);
	char text[KEPT_BACK_MAX];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

	if (n > 0 && mlimg_replace_file(run_fd, KEPT_BACK, text, (size_t)n, 0600, NULL) == 0 &&
		pwrite(fd, "0", 1, 0) < 0)
		unlinkat(run_fd, KEPT_BACK, 0);
}

/* Of the user layer's own, which a stranger may have written. */
static int open_own(int user_fd, const char *path)
{
	return mlimg_open_beneath_strict(user_fd, path, O_RDONLY | O_DIRECTORY);
}

static const char *spare_name(int n)
{
	static const char *const names[MLIMG_ROOM_INODES] = {"1", "2", "3", "4"};

	return names[n];
}

static void lend_inodes(int user_fd)
{
	mlimg_autoclose int fd = open_own(user_fd, "mlimg/" SPARE);

	for (int i = 0; fd >= 0 && i < MLIMG_ROOM_INODES; i++)
		unlinkat(fd, spare_name(i), 0);
}

void mlimg_room_lend(int run_fd, int user_fd)
{
	struct statvfs fs;

	if (fstatvfs(user_fd, &fs) < 0)
		return;
	if (fs.f_favail < FEW_INODES)
		lend_inodes(user_fd);
	if (fs.f_bavail >= FEW_BLOCKS)
		return;
	lend_blocks(run_fd, user_fd);
	/* The block is free when its removal is committed, for which the kernel does not wait. */
	if (mlimg_remove_tree(user_fd, "work/work") == 0)
		syncfs(user_fd);
}

static void take_back_blocks(int run_fd, int user_fd)
{
	mlimg_autofree char *text = NULL;
	mlimg_autoclose int fd = -1;
	size_t size;

	if (mlimg_read_file(run_fd, KEPT_BACK, KEPT_BACK_MAX, &text, &size, NULL) < 0)
		return;
	fd = open_kept_back(user_fd);
	if (fd >= 0 && write(fd, text, size) == (ssize_t)size)
		unlinkat(run_fd, KEPT_BACK, 0);
}

static void make_spare(int user_fd)
{
	mlimg_autoclose int own_fd = open_own(user_fd, "mlimg"), fd = -1;

	if (own_fd < 0 || (mkdirat(own_fd, SPARE, 0700) < 0 && errno != EEXIST))
		return;
	fd = open_own(own_fd, SPARE);
	for (int i = 0; fd >= 0 && i < MLIMG_ROOM_INODES; i++) {
		mlimg_autoclose int file = -1;

		if (faccessat(fd, spare_name(i), F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			file = openat(fd, spare_name(i),
				O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	}
}

void mlimg_room_take_back(int run_fd, bool can_write)
{
	mlimg_autoclose int user_fd =
		openat(run_fd, "user", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (user_fd < 0)
		return;
	take_back_blocks(run_fd, user_fd);
	if (can_write)
		make_spare(user_fd);
}
