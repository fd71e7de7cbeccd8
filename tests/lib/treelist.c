/* SPDX-License-Identifier: MIT */
/*
 * usage: treelist DIRECTORY Prints the manifest of a directory as the kernel shows it, without
 * header lines: what an image's manifest is compared with.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/walk.h"

/* A file with several names; one element for each name until they are united. */
struct group {
	dev_t dev;
	ino_t ino;
	uint32_t n_names, number;
};

static struct group *groups;
static size_t n_groups;
static uint32_t last_number;

static int by_ino(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static int note(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	if (entry->type == MLIMG_DIR || at->st->st_nlink < 2)
		return 0;
	groups = reallocarray(groups, n_groups + 1, sizeof(*groups));
	if (!groups)
		return mlimg_err_set(err, ENOMEM, "%s", entry->path);
	groups[n_groups++] =
		(struct group){.dev = at->st->st_dev, .ino = at->st->st_ino, .n_names = 1};
	return 0;
}

static void unite(void)
{
	size_t n = 0;

	if (n_groups)
		qsort(groups, n_groups, sizeof(*groups), by_ino);
	for (size_t i = 0; i < n_groups; i++) {
		if (n && by_ino(&groups[n - 1], &groups[i]) == 0)
			groups[n - 1].n_names++;
		else
			groups[n++] = groups[i];
	}
	n_groups = n;
}

static void put(void *ctx, const char *data, size_t size)
{
	fwrite(data, 1, size, stdout);
}

static int print(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	const struct group key = {.dev = at->st->st_dev, .ino = at->st->st_ino};
	struct mlimg_entry full = *entry;
	struct group *group = NULL;

	full.nlink = 1;
	if (entry->type != MLIMG_DIR && n_groups)
		group = bsearch(&key, groups, n_groups, sizeof(*groups), by_ino);
	if (group && group->n_names > 1) {
		if (!group->number)
			group->number = ++last_number;
		full.hardlink = group->number;
		full.nlink = group->n_names;
	}
	if (entry->type == MLIMG_FILE) {
		mlimg_autoclose int fd =
			openat(at->parent_fd, at->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		int ret = fd < 0 ? -errno : mlimg_digest_fd(fd, full.digest, NULL);

		if (ret < 0)
			return mlimg_err_set(err, ret, "%s", entry->path);
		full.has_digest = true;
	}
	mlimg_manifest_put_entry(&full, put, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	int fd = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int ret;

	if (fd < 0) {
		fprintf(stderr, "usage: treelist DIRECTORY\n");
		return 2;
	}
	puts("#mtree");
	ret = mlimg_walk(fd, 0, note, NULL, &err);
	unite();
	if (ret == 0)
		ret = mlimg_walk(fd, 0, print, NULL, &err);
	if (ret < 0)
		fprintf(stderr, "treelist: %s\n", err.text);
	return ret < 0 || fclose(stdout) != 0;
}
