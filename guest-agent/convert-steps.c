/* SPDX-License-Identifier: MIT */
/* The steps of a conversion's plan. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "guest-agent/base.h"
#include "guest-agent/convert-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/unionfs.h"
#include "libmlimg/whiteout.h"

/* Where a record's path leads. */
struct place {
	int fd;           /* the directory that holds it; closed by who opened it */
	const char *name; /* in there */
};

/* @return 0 or -errno; -ENOENT when the directory is not there */
static int open_place(int root_fd, const char *path, struct place *ret)
{
	mlimg_autofree char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;

	if (!dir)
		return -ENOMEM;
	*(slash ? slash : dir) = '\0';
	ret->name = slash ? path + (slash - dir) + 1 : path;
	if (!*ret->name || strcmp(ret->name, ".") == 0 || strcmp(ret->name, "..") == 0)
		return -EUCLEAN;
	ret->fd = mlimg_open_beneath_strict(root_fd, *dir ? dir : ".", O_RDONLY | O_DIRECTORY);
	return ret->fd < 0 ? ret->fd : 0;
}

/* Makes the marker of @path, and the directories on its way as unionfs-fuse does. */
static int make_marker(struct mlimg_conversion *c, const char *path, bool is_dir)
{
	char marker[sizeof(MLIMG_UNIONFS_DIR) + MLIMG_UNIONFS_PATH_MAX + 16];
	struct place place = {.fd = -1};
	int r;

	strcpy(marker, MLIMG_UNIONFS_DIR "/");
	if (mlimg_unionfs_marker_of(path, marker + strlen(marker), NULL) < 0)
		return -EUCLEAN;
	for (char *slash = strchr(marker, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		r = open_place(c->upper_fd, marker, &place);
		if (r == 0 && mkdirat(place.fd, place.name, 0770) < 0 && errno != EEXIST)
			r = -errno;
		mlimg_cleanup_close(&place.fd);
		place.fd = -1;
		*slash = '/';
		if (r < 0)
			return r;
	}
	r = open_place(c->upper_fd, marker, &place);
	if (r == 0 &&
		(is_dir ? mkdirat(place.fd, place.name, 0700)
			: mknodat(place.fd, place.name, S_IFREG | 0600, 0)) < 0 &&
		errno != EEXIST)
		r = -errno;
	mlimg_cleanup_close(&place.fd);
	return r;
}

static int make_whiteout(struct mlimg_conversion *c, const char *path)
{
	struct place place = {.fd = -1};
	int r = open_place(c->upper_fd, path, &place);

	if (r == 0 && mknodat(place.fd, place.name, S_IFCHR, makedev(0, 0)) < 0 && errno != EEXIST)
		r = -errno;
	mlimg_cleanup_close(&place.fd);
	return r;
}

static int make_opaque(struct mlimg_conversion *c, const char *path)
{
	mlimg_autoclose int fd =
		mlimg_open_beneath_strict(c->upper_fd, path, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return fd;
	return fsetxattr(fd, MLIMG_XATTR_OPAQUE, "y", 1, 0) < 0 ? -errno : 0;
}

static int set_attributes(int fd, const struct mlimg_entry *entry)
{
	const struct timespec times[2] = {
		{entry->mtime_s, entry->mtime_ns}, {entry->mtime_s, entry->mtime_ns}};

	if (fchown(fd, entry->uid, entry->gid) < 0 || fchmod(fd, entry->mode) < 0)
		return -errno;
	for (uint32_t i = 0; i < entry->n_xattrs; i++)
		if (fsetxattr(fd, entry->xattrs[i].name, entry->xattrs[i].value,
			    entry->xattrs[i].size, 0) < 0)
			return -errno;
	return futimens(fd, times) < 0 ? -errno : 0;
}

/* Made aside, so that it is there with its attributes or not at all. */
static int make_directory_in(struct mlimg_conversion *c, const struct place *to, const char *path)
{
	const struct mlimg_entry *entry;
	mlimg_autoclose int fd = -1;
	struct stat st;
	int r;

	if (fstatat(to->fd, to->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	r = c->base ? 0 : mlimg_base_read(c->user, c->state, &c->base, NULL);
	entry = r < 0 ? NULL : mlimg_manifest_find(c->base, path);
	if (!entry || entry->type != MLIMG_DIR)
		return r < 0 ? r : -EUCLEAN;
	unlinkat(c->work_fd, MLIMG_CONVERT_MAKING, AT_REMOVEDIR);
	if (mkdirat(c->work_fd, MLIMG_CONVERT_MAKING, 0700) < 0)
		return -errno;
	fd = openat(
		c->work_fd, MLIMG_CONVERT_MAKING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 ? -errno : set_attributes(fd, entry);
	if (r == 0)
		r = mlimg_conversion_step(c);
	if (r == 0 && renameat(c->work_fd, MLIMG_CONVERT_MAKING, to->fd, to->name) < 0)
		r = -errno;
	return r;
}

static int make_directory(struct mlimg_conversion *c, const char *path)
{
	struct place place = {.fd = -1};
	int r = open_place(c->upper_fd, path, &place);

	if (r == 0)
		r = make_directory_in(c, &place, path);
	mlimg_cleanup_close(&place.fd);
	return r;
}

static int remove_whiteout(struct mlimg_conversion *c, const char *path)
{
	struct place place = {.fd = -1};
	struct stat st;
	int r = open_place(c->upper_fd, path, &place);

	if (r == 0 && fstatat(place.fd, place.name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		mlimg_stat_is_whiteout(&st) && unlinkat(place.fd, place.name, 0) < 0)
		r = -errno;
	mlimg_cleanup_close(&place.fd);
	return r;
}

/* @name: a path that leads to the entry itself */
static int remove_own_xattrs(const char *name)
{
	mlimg_autofree char *list = NULL;
	ssize_t size = llistxattr(name, NULL, 0);

	if (size < 0)
		return -errno;
	list = malloc((size_t)size + 1);
	size = list ? llistxattr(name, list, (size_t)size) : -1;
	if (size < 0)
		return list ? -errno : -ENOMEM;
	for (const char *x = list; x < list + size; x += strlen(x) + 1)
		if (mlimg_xattr_is_overlay(x) && strcmp(x, MLIMG_XATTR_PROTATTR) != 0 &&
			lremovexattr(name, x) < 0)
			return -errno;
	return 0;
}

static int remove_xattrs(struct mlimg_conversion *c, const char *path)
{
	char name[64 + MLIMG_NAME_MAX];
	struct place place = {.fd = -1};
	int r;

	snprintf(name, sizeof(name), "/proc/self/fd/%d/.", c->upper_fd);
	if (!*path)
		return remove_own_xattrs(name);
	r = open_place(c->upper_fd, path, &place);
	if (r == 0) {
		snprintf(name, sizeof(name), "/proc/self/fd/%d/%.255s", place.fd, place.name);
		r = remove_own_xattrs(name);
	}
	mlimg_cleanup_close(&place.fd);
	return r;
}

static int remove_meta(struct mlimg_conversion *c, const char *path)
{
	mlimg_autofree char *whole = NULL;
	struct place place = {.fd = -1};
	int r;

	if (asprintf(&whole, MLIMG_UNIONFS_DIR "%s%s", *path ? "/" : "", path) < 0)
		return -ENOMEM;
	r = open_place(c->upper_fd, whole, &place);
	if (r == 0 && unlinkat(place.fd, place.name, 0) < 0) {
		r = -errno;
		if (r == -EISDIR)
			r = unlinkat(place.fd, place.name, AT_REMOVEDIR) < 0 ? -errno : 0;
	}
	mlimg_cleanup_close(&place.fd);
	return r == -ENOENT ? 0 : r;
}

static int set_time(struct mlimg_conversion *c, const char *record)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
	mlimg_autoclose int fd = -1;

	record = mlimg_convert_time(record, &times[1]);
	if (!record)
		return -EUCLEAN;
	fd = mlimg_open_beneath_strict(c->upper_fd, *record ? record : ".", O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	return futimens(fd, times) < 0 ? -errno : 0;
}

int mlimg_conversion_do(struct mlimg_conversion *c, const char *record)
{
	const char *path = record + 2;

	switch (*record) {
	case 'd': return make_directory(c, path);
	case 'w': return c->to_unionfs ? make_marker(c, path, false) : make_whiteout(c, path);
	case 'o': return c->to_unionfs ? make_marker(c, path, true) : make_opaque(c, path);
	case 'r': return remove_whiteout(c, path);
	case 'x': return remove_xattrs(c, path);
	case 'm': return remove_meta(c, path);
	default: return set_time(c, path);
	}
}
