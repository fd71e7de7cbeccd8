/* SPDX-License-Identifier: MIT */
#include "libmlimg/walk-xattr.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef SYS_listxattrat
#define SYS_listxattrat 465 /* on all architectures but alpha, which mlimg does not know */
#endif

#define PROC_PATH_SIZE (sizeof("/proc/self/fd/") + 12 + MLIMG_NAME_MAX + 1)

/* What is read. */
struct thing {
	int dir;
	const char *name;
	int fd; /* or -1 */
};

/*
 * Through /proc/self/fd because before Linux 6.13 only it names a thing by directory and name; and
 * "." is the directory.
 */
static const char *proc_path(const struct thing *t, char buf[PROC_PATH_SIZE])
{
	snprintf(buf, PROC_PATH_SIZE, "/proc/self/fd/%d/%s", t->dir, *t->name ? t->name : ".");
	return buf;
}

/* listxattr(2) by directory and name, which Linux 6.13 brought: it takes a third of the time. */
static bool list_at(const struct thing *t, char *names, size_t size, ssize_t *ret)
{
	static enum { UNKNOWN, THERE, MISSING } state;

	if (state == UNKNOWN)
		state = getenv("MLIMG_NO_LISTXATTRAT") ? MISSING : THERE;
	if (state == MISSING)
		return false;
	*ret = syscall(
		SYS_listxattrat, t->dir, t->name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, names, size);
	/* Filters of system calls may say EPERM to what they do not know. */
	if (*ret < 0 && (errno == ENOSYS || errno == EPERM))
		state = MISSING;
	return state != MISSING;
}

static ssize_t list(const struct thing *t, char *names, size_t size)
{
	char path[PROC_PATH_SIZE];
	ssize_t n;

	if (t->fd >= 0)
		return flistxattr(t->fd, names, size);
	if (list_at(t, names, size, &n))
		return n;
	return llistxattr(proc_path(t, path), names, size);
}

static ssize_t get(const struct thing *t, const char *name, void *value, size_t size)
{
	char path[PROC_PATH_SIZE];

	return t->fd >= 0 ? fgetxattr(t->fd, name, value, size)
			  : lgetxattr(proc_path(t, path), name, value, size);
}

/*
 * A small buffer does for nearly everything; the second try has room for all that the VFS allows.
 */
static ssize_t read_names(struct mlimg_xattr_reader *x, const struct thing *t)
{
	ssize_t n;

	if (mlimg_buffer_reserve(&x->names, &x->names_room, 1024) < 0)
		return -ENOMEM;
	n = list(t, x->names, x->names_room);
	if (n < 0 && errno == ERANGE) {
		if (mlimg_buffer_reserve(&x->names, &x->names_room, XATTR_LIST_MAX) < 0)
			return -ENOMEM;
		n = list(t, x->names, x->names_room);
	}
	if (n < 0 && errno == EOPNOTSUPP)
		return 0;
	return n < 0 ? -errno : n;
}

/* Appends one value. @return its size, or -errno */
static ssize_t read_value(
	struct mlimg_xattr_reader *x, const struct thing *t, const char *name, size_t used)
{
	ssize_t n;

	if (mlimg_buffer_reserve(&x->values, &x->values_room, used + 256) < 0)
		return -ENOMEM;
	n = get(t, name, x->values + used, x->values_room - used);
	if (n >= 0)
		return n;
	if (errno != ERANGE)
		return -errno;
	if (mlimg_buffer_reserve(&x->values, &x->values_room, used + MLIMG_XATTR_VALUE_MAX) < 0)
		return -ENOMEM;
	n = get(t, name, x->values + used, MLIMG_XATTR_VALUE_MAX);
	return n >= 0 ? n : -errno;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct mlimg_xattr *)a)->name, ((const struct mlimg_xattr *)b)->name);
}

static int read_values(
	struct mlimg_xattr_reader *x, const struct thing *t, size_t names_size, uint32_t *ret_count)
{
	size_t used = 0;
	uint32_t n = 0;

	for (char *name = x->names; name < x->names + names_size; name += strlen(name) + 1) {
		ssize_t size = read_value(x, t, name, used);

		if (size == -ENODATA) /* removed since the list was read */
			continue;
		if (size < 0)
			return (int)size;
		if (n >= MLIMG_XATTRS_MAX)
			return -E2BIG;
		if (mlimg_buffer_reserve(
			    &x->xattrs, &x->xattrs_room, (n + 1) * sizeof(*x->xattrs)) < 0)
			return -ENOMEM;
		x->xattrs[n++] = (struct mlimg_xattr){.name = name, .size = (size_t)size};
		used += (size_t)size;
	}
	/* Only now: the buffer may have moved while it grew. */
	for (uint32_t i = 0, at = 0; i < n; at += (uint32_t)x->xattrs[i++].size)
		x->xattrs[i].value = x->values + at;
	if (n > 1)
		qsort(x->xattrs, n, sizeof(*x->xattrs), by_name);
	*ret_count = n;
	return 0;
}

int mlimg_xattr_read_all(
	struct mlimg_xattr_reader *reader, int dir, const char *name, int fd, uint32_t *ret_count)
{
	const struct thing t = {.dir = dir, .name = name, .fd = fd};
	ssize_t n = read_names(reader, &t);

	if (n < 0)
		return (int)n;
	return read_values(reader, &t, (size_t)n, ret_count);
}

void mlimg_xattr_reader_done(struct mlimg_xattr_reader *reader)
{
	free(reader->xattrs);
	free(reader->values);
	free(reader->names);
	*reader = (struct mlimg_xattr_reader){0};
}
