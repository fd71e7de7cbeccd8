/* SPDX-License-Identifier: MIT */
#include "guest-agent/export-links.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

struct first {
	dev_t dev;
	ino_t ino;
	char path[];
};

static int by_inode(const void *a, const void *b)
{
	const struct first *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

const char *mlimg_export_links_find(const struct mlimg_export_links *links, const struct stat *st)
{
	const struct first wanted = {.dev = st->st_dev, .ino = st->st_ino};
	struct first **node = tfind(&wanted, &links->root, by_inode);

	return node ? (*node)->path : NULL;
}

int mlimg_export_links_add(
	struct mlimg_export_links *links, const struct stat *st, const char *path)
{
	size_t size = strlen(path) + 1;
	struct first *first = malloc(sizeof(*first) + size), **node;

	if (!first)
		return -ENOMEM;
	first->dev = st->st_dev;
	first->ino = st->st_ino;
	memcpy(first->path, path, size);
	node = tsearch(first, &links->root, by_inode);
	if (!node || *node != first)
		free(first);
	return node ? 0 : -ENOMEM;
}

void mlimg_export_links_done(struct mlimg_export_links *links)
{
	tdestroy(links->root, free);
	links->root = NULL;
}
