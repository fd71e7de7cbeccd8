/* SPDX-License-Identifier: MIT */
#include "libmlimg/remove-tree.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

/* Deeper ones are walked all the same, only slower. */
#define OPEN_DIRS 16

static int first_error;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (remove(path) < 0 && !first_error)
		first_error = errno;
	return 0;
}

int mlimg_remove_tree(int dirfd, const char *name)
{
	char path[64 + NAME_MAX];
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%.255s", dirfd, name);
	first_error = 0;
	if (nftw(path, remove_one, OPEN_DIRS, FTW_DEPTH | FTW_PHYS) < 0)
		return -errno;
	return -first_error;
}
