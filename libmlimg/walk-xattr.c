/* SPDX-License-Identifier: MIT */
#include "libmlimg/walk-xattr.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

/* What is read, by one of the two ways. */
struct thing {
	const char *path;
	int fd; /* or -1 */
};

static ssize_t list(const struct thing *t, char *names, size_t size)
{
	return t->fd >= 0 ? flistxattr(t->fd, names, size) : llistxattr(t->path, names, size);
}

static ssize_t get(const struct thing *t, const char *name, void *value, size_t size)
{
	return t->fd >= 0 ? fgetxattr(t->fd, name, value, size)
			  : lgetxattr(t->path, name, value, size);
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
	struct mlimg_xattr_reader *reader, const char *path, int fd, uint32_t *ret_count)
{
	const struct thing t = {.path = path, .fd = fd};
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
