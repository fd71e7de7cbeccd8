/* SPDX-License-Identifier: MIT */
#include "libmlimg/walk-level.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/arena.h"

static int by_name(const void *a, const void *b, void *names)
{
	return strcmp((char *)names + *(const size_t *)a, (char *)names + *(const size_t *)b);
}

static int take_name(struct mlimg_walk_level *l, const char *name)
{
	size_t size = strlen(name) + 1;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	if (mlimg_buffer_reserve(&l->names, &l->names_room, l->names_size + size) < 0 ||
		mlimg_buffer_reserve(&l->order, &l->order_room, (l->n + 1) * sizeof(*l->order)) < 0)
		return -ENOMEM;
	memcpy(l->names + l->names_size, name, size);
	l->order[l->n++] = l->names_size;
	l->names_size += size;
	return 0;
}

int mlimg_walk_level_read(struct mlimg_walk_level *l)
{
	_Alignas(struct dirent64) char block[32768];

	for (;;) {
		ssize_t size = getdents64(l->fd, block, sizeof(block));

		if (size < 0)
			return -errno;
		if (size == 0)
			break;
		for (ssize_t at = 0; at < size;) {
			const struct dirent64 *d = (const struct dirent64 *)(block + at);

			if (take_name(l, d->d_name) < 0)
				return -ENOMEM;
			at += d->d_reclen;
		}
	}
	if (l->n > 1)
		qsort_r(l->order, l->n, sizeof(*l->order), by_name, l->names);
	return 0;
}

void mlimg_walk_level_done(struct mlimg_walk_level *l)
{
	free(l->names);
	free(l->order);
	if (l->fd >= 0)
		close(l->fd);
}
