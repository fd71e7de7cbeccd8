/* SPDX-License-Identifier: MIT */
/*
 * usage: layerdir KIND NAME VERSION TREE OUT [OVER...]
 * Makes in the directory OUT the /mlimg of a layer that holds TREE: what is seen of a mounted layer by who does not look at the tree itself.
 * Prints the build id.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/layer.h"
#include "libmlimg/walk.h"

static void put(void *ctx, const char *data, size_t size)
{
	fwrite(data, 1, size, ctx);
}

/* The first line, the header of @info, and the entries behind the tree's own first line. */
static char *make_text(
	const struct mlimg_layer_info *info, const struct mlimg_manifest *tree, size_t *ret_size)
{
	char *entries = NULL, *text = NULL;
	size_t size;
	FILE *f = open_memstream(&entries, &size);

	mlimg_manifest_put(tree, put, f);
	fclose(f);
	f = open_memstream(&text, ret_size);
	fputs("#mtree\n", f);
	mlimg_layer_put_header(info, put, f);
	fputs(strchr(entries, '\n') + 1, f);
	fclose(f);
	free(entries);
	return text;
}

static int write_layer(const char *out, struct mlimg_layer_info *info,
	const struct mlimg_manifest *tree, struct mlimg_err *err)
{
	uint8_t digest[MLIMG_SHA256_SIZE];
	mlimg_autofree char *text = NULL, *json = NULL;
	mlimg_autoclose int out_fd = -1;
	size_t size;
	int r;

	text = make_text(info, tree, &size);
	mlimg_sha256_of(text, size, digest);
	mlimg_sha256_hex(digest, info->build_id);
	r = mlimg_layer_to_json(info, &json, err);
	if (r < 0)
		return r;
	mkdir(out, 0755);
	out_fd = open(out, O_RDONLY | O_DIRECTORY);
	mkdirat(out_fd, "mlimg", 0755);
	r = mlimg_replace_file(out_fd, "mlimg/manifest", text, size, 0644, err);
	if (r < 0)
		return r;
	return mlimg_replace_file(out_fd, "mlimg/layer.json", json, strlen(json), 0644, err);
}

static int make(char **argv, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_layer_info_done) struct mlimg_layer_info info = {
		.kind = mlimg_kind_of(argv[1])};
	mlimg_autoclose int tree_fd = open(argv[4], O_RDONLY | O_DIRECTORY);
	struct mlimg_manifest *tree;
	int r;

	snprintf(info.name, sizeof(info.name), "%s", argv[2]);
	snprintf(info.version, sizeof(info.version), "%s", argv[3]);
	strcpy(info.instance, info.kind == MLIMG_USER ? "00112233445566778899aabbccddeeff" : "");
	for (char **over = argv + 6; *over; over++) {
		r = mlimg_layer_add_over(&info, *over, err);
		if (r < 0)
			return r;
	}
	r = mlimg_walk_manifest(tree_fd, 0, true, &tree, err);
	if (r < 0)
		return r;
	r = write_layer(argv[5], &info, tree, err);
	mlimg_manifest_free(tree);
	if (r == 0)
		puts(info.build_id);
	return r;
}

int main(int argc, char **argv)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	if (argc < 6 || !mlimg_kind_of(argv[1])) {
		fputs("usage: layerdir KIND NAME VERSION TREE OUT [OVER...]\n", stderr);
		return 2;
	}
	if (make(argv, &err) < 0) {
		fprintf(stderr, "layerdir: %s\n", err.text);
		return 1;
	}
	return 0;
}
