/* SPDX-License-Identifier: MIT */
#include "tools/extract-attrs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define FD_PATH_SIZE 32

static void fd_path(int fd, char ret_path[FD_PATH_SIZE])
{
	snprintf(ret_path, FD_PATH_SIZE, "/proc/self/fd/%d", fd);
}

static int set_xattrs(
	struct extract *x, const char *path, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	for (uint32_t i = 0; i < entry->n_xattrs; i++) {
		const struct mlimg_xattr *xattr = &entry->xattrs[i];

		if (extract_takes_xattr(x, xattr) &&
			setxattr(path, xattr->name, xattr->value, xattr->size, 0) < 0)
			return mlimg_err_set(err, errno, "set the attribute %.255s", xattr->name);
	}
	return 0;
}

/*
 * The order: chown(2) takes away set-ID bits and file capabilities, and setting an ACL changes the
 * mode. The time is last.
 */
int extract_set_attributes(
	struct extract *x, int fd, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	bool keeps_owners = x->options->keeps_owners;
	const struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT}, {entry->mtime_s, entry->mtime_ns}};
	char path[FD_PATH_SIZE];
	int ret;

	fd_path(fd, path);
	if (keeps_owners && fchownat(fd, "", entry->uid, entry->gid, AT_EMPTY_PATH) < 0)
		return mlimg_err_set(err, errno, "set the owner %u:%u", entry->uid, entry->gid);
	ret = set_xattrs(x, path, entry, err);
	if (ret < 0)
		return ret;
	if (entry->type != MLIMG_LINK &&
		chmod(path, keeps_owners ? entry->mode : entry->mode & 01777) < 0)
		return mlimg_err_set(err, errno, "set the mode %04o", entry->mode);
	if (utimensat(AT_FDCWD, path, times, 0) < 0)
		return mlimg_err_set(err, errno, "set the time");
	return 0;
}

int extract_make_writable(int fd, struct mlimg_err *err)
{
	char path[FD_PATH_SIZE];
	struct stat st;

	fd_path(fd, path);
	if (fstat(fd, &st) < 0 ||
		((st.st_mode & 0700) != 0700 && chmod(path, (st.st_mode & 07777) | 0700) < 0))
		return mlimg_err_set(err, errno, "make the directory writable");
	return 0;
}
