/* SPDX-License-Identifier: MIT */
/* One carve-out: its place in the user's file system, and its mount. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/carve-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

#define NEW ".new" /* a directory that does not yet have its owner and mode */

/*
 * Gives the directory NEW its name. unionfs-fuse 1.0 has no rename with flags; a plain one takes
 * the place of an empty directory at most.
 */
static int name_new(int dir, const char *name)
{
	if (renameat2(dir, NEW, dir, name, RENAME_NOREPLACE) == 0)
		return 0;
	return errno == EINVAL ? renameat(dir, NEW, dir, name) : -1;
}

/*
 * Opens the directory @path beneath @fd, and makes what of it is missing where @can_make says so.
 * @param like  the last part is made with this owner and mode; NULL: root's, 0755
 */
static int open_path(int fd, const char *path, bool can_make, const struct stat *like)
{
	char part[MLIMG_CARVE_PATH_MAX + 1];
	mlimg_autoclose int dir = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	const char *rest = path;

	while (dir >= 0 && *rest) {
		size_t len = strcspn(rest, "/");
		bool is_last = !rest[len];
		int next;

		snprintf(part, sizeof(part), "%.*s", (int)len, rest);
		next = mlimg_open_beneath_strict(dir, part, O_RDONLY | O_DIRECTORY);
		if (next == -ENOENT && can_make) {
			/* Never there without its owner and mode, whenever the power is cut. */
			unlinkat(dir, NEW, AT_REMOVEDIR);
			if (mkdirat(dir, NEW, 0700) < 0 ||
				(is_last && like &&
					fchownat(dir, NEW, like->st_uid, like->st_gid, 0) < 0) ||
				fchmodat(dir, NEW, is_last && like ? like->st_mode & 07777 : 0755,
					0) < 0 ||
				name_new(dir, part) < 0)
				return -errno;
			next = mlimg_open_beneath_strict(dir, part, O_RDONLY | O_DIRECTORY);
		}
		if (next < 0)
			return next;
		close(dir);
		dir = next;
		rest += len + !is_last;
	}
	return dir < 0 ? -errno : mlimg_steal_fd(&dir);
}

/* No name is looked up again but through /proc: what was opened is what is mounted. */
static int bind(int store, int target, int root_fd, const char *path, bool is_read_only,
	struct mlimg_err *err)
{
	unsigned long flags = MS_REMOUNT | MS_BIND | (is_read_only ? MS_RDONLY : 0);
	mlimg_autoclose int mounted = -1;
	char from[40], to[40];

	snprintf(from, sizeof(from), "/proc/self/fd/%d", store);
	snprintf(to, sizeof(to), "/proc/self/fd/%d", target);
	if (mount(from, to, NULL, MS_BIND, NULL) < 0)
		return mlimg_err_set(err, errno, "mount the carve-out '/%s'", path);
	mounted = mlimg_open_beneath_strict(root_fd, path, O_RDONLY | O_DIRECTORY);
	if (mounted < 0)
		return mlimg_err_set(err, mounted, "open the carve-out '/%s'", path);
	/*
	 * Without nosuid and nodev, which the user's file system has: container engines keep
	 * programs there.
	 */
	snprintf(to, sizeof(to), "/proc/self/fd/%d", mounted);
	if (mount(NULL, to, NULL, flags, NULL) < 0)
		return mlimg_err_set(err, errno, "set the options of the carve-out '/%s'", path);
	return 0;
}

int mlimg_carve_mount_one(struct mlimg_carving *c, const char *path, struct mlimg_err *err)
{
	bool is_read_only = c->mode == MLIMG_BOOT_READONLY;
	mlimg_autoclose int target = open_path(c->root_fd, path, !is_read_only, NULL);
	mlimg_autoclose int store = -1;
	struct stat st;
	int r;

	if (target < 0 || fstat(target, &st) < 0) {
		mlimg_carve_note(c->carve,
			"the carve-out '/%s' is no directory, or lies behind a symbolic link: %s",
			path, strerror(target < 0 ? -target : errno));
		return 0;
	}
	if (mlimg_carve_is_new(c, path) && mlimg_carve_hides_files(c, target, path)) {
		mlimg_carve_tell(c->carve,
			"the carve-out '/%.200s' is left out, for the user layer has files there: "
			"move them elsewhere, boot again, and move them back",
			path);
		return 0;
	}
	store = open_path(c->base_fd, path, false, NULL);
	if (store == -ENOENT && is_read_only)
		return 0;
	if (store == -ENOENT) {
		store = open_path(c->base_fd, path, true, &st);
		if (store >= 0 && mlimg_dir_has_entries(target, ".") == 1)
			mlimg_carve_note(c->carve,
				"the carve-out '/%s' hides what the layers have there", path);
	}
	if (store < 0) {
		mlimg_carve_note(c->carve, "the carve-out '/%s' has no place in the user layer: %s",
			path, strerror(-store));
		return 0;
	}
	r = bind(store, target, c->root_fd, path, is_read_only, err);
	return r < 0 ? r : 1;
}
