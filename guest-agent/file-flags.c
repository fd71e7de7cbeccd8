/* SPDX-License-Identifier: MIT */
#include "guest-agent/file-flags.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/whiteout.h"

int mlimg_file_flags_clear(int fd)
{
	int flags;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 || !(flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)))
		return 0;
	flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0 ? -errno : 1;
}

/* A flag allows no change of xattrs either, so that it goes first. @return 1, 0, -errno */
static int lift(int upper_fd, const struct mlimg_entry *e, const struct mlimg_xattr *mark)
{
	mlimg_autoclose int fd = mlimg_open_beneath_strict(
		upper_fd, *e->path ? e->path : ".", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	int r = fd < 0 ? fd : mlimg_file_flags_clear(fd);

	if (r <= 0)
		return r;
	return fsetxattr(fd, mark->name, mark->value, mark->size, 0) < 0 ? -errno : 1;
}

int mlimg_file_flags_lift(
	int upper_fd, const struct mlimg_manifest *upper, size_t *ret_n, struct mlimg_err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < upper->n_entries; i++) {
		const struct mlimg_entry *e = &upper->entries[i];
		const struct mlimg_xattr *mark = mlimg_entry_xattr(e, MLIMG_XATTR_PROTATTR);
		bool may_have = mark && (e->type == MLIMG_FILE || e->type == MLIMG_DIR);
		int r = may_have ? lift(upper_fd, e, mark) : 0;

		if (r < 0)
			return mlimg_err_set(err, r, "flags of 'user/upper/%.200s'", e->path);
		n += (size_t)r;
	}
	*ret_n = n;
	return 0;
}
