/* SPDX-License-Identifier: MIT */
/*
 * usage: compose-index [-f] INDEX TREE LAYER… An index over layers, bottom first, with all that is
 * in the directory TREE as composed entries (tools/index-merge.h); with -f all but its directories.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/walk.h"
#include "tools/index-merge.h"

#define LAYERS_MAX 8
#define DATA_MAX (1u << 24)

static struct mlimg_err err = MLIMG_ERR_INIT;

static void must(int r)
{
	if (r >= 0)
		return;
	fprintf(stderr, "compose-index: %s\n", err.text);
	exit(err.kind == MLIMG_ERR_REFUSED ? 3 : 1);
}

/* Everything but the root itself. */
static struct mlimg_index_composed *read_tree(const char *path, bool has_dirs, size_t *ret_n)
{
	mlimg_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY);
	struct mlimg_index_composed *list;
	struct mlimg_manifest *m;
	size_t size, n = 0;

	must(mlimg_walk_manifest(fd, 0, false, &m, &err));
	list = calloc(m->n_entries, sizeof(*list));
	if (!list)
		abort();
	for (size_t i = 1; i < m->n_entries; i++) {
		char *data = NULL;

		if (m->entries[i].type == MLIMG_DIR && !has_dirs)
			continue;
		if (m->entries[i].type == MLIMG_FILE)
			must(mlimg_read_file(fd, m->entries[i].path, DATA_MAX, &data, &size, &err));
		list[n++] = (struct mlimg_index_composed){&m->entries[i], data};
	}
	*ret_n = n;
	return list;
}

int main(int argc, char **argv)
{
	struct mlimg_index_layer layers[LAYERS_MAX];
	struct mlimg_layer_info infos[LAYERS_MAX];
	struct mlimg_index_composed *list;
	struct mlimg_erofs *image;
	bool has_dirs = argc < 2 || strcmp(argv[1], "-f") != 0;
	size_t n_layers = 0, n;
	int fd;

	argc -= !has_dirs;
	argv += !has_dirs;

	if (argc < 4 || argc - 3 > LAYERS_MAX) {
		fputs("compose-index: wrong usage\n", stderr);
		return 2;
	}
	for (; n_layers < (size_t)argc - 3; n_layers++) {
		must(mlimg_ext4_open(argv[3 + n_layers], &layers[n_layers].fs, &err));
		must(mlimg_ext4_layer_info(layers[n_layers].fs, &infos[n_layers], &err));
		layers[n_layers].info = &infos[n_layers];
	}
	list = read_tree(argv[2], has_dirs, &n);
	must(mlimg_index_merge(
		layers, n_layers, &(struct mlimg_index_texts){"{}", NULL}, list, n, &image, &err));
	fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0644);
	must(mlimg_erofs_write(image, fd, (const uint8_t[16]){1}, "composed", NULL, &err));
	exit(0); /* all that was allocated goes with the process */
}
