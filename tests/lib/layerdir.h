/* SPDX-License-Identifier: MIT */
/**
 * @file layerdir.h
 * The /mlimg of a layer in a directory: what is seen of a mounted layer by who does not look at the
 * tree itself.
 */
#ifndef MLIMG_TEST_LAYERDIR_H
#define MLIMG_TEST_LAYERDIR_H

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

static void layerdir_put(void *ctx, const char *data, size_t size)
{
	fwrite(data, 1, size, ctx);
}

/* The first line, the header of @info, and the entries behind the tree's own first line. */
static char *layerdir_text(
	const struct mlimg_layer_info *info, const struct mlimg_manifest *tree, size_t *ret_size)
{
	char *entries = NULL, *text = NULL;
	size_t size;
	FILE *f = open_memstream(&entries, &size);

	mlimg_manifest_put(tree, layerdir_put, f);
	fclose(f);
	f = open_memstream(&text, ret_size);
	fputs("#mtree\n", f);
	mlimg_layer_put_header(info, layerdir_put, f);
	fputs(strchr(entries, '\n') + 1, f);
	fclose(f);
	free(entries);
	return text;
}

static int layerdir_write(const char *out, struct mlimg_layer_info *info,
	const struct mlimg_manifest *tree, struct mlimg_err *err)
{
	uint8_t digest[MLIMG_SHA256_SIZE];
	mlimg_autofree char *text = NULL, *json = NULL;
	mlimg_autoclose int out_fd = -1;
	size_t size;
	int r;

	text = layerdir_text(info, tree, &size);
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

/**
 * Make it.
 *
 * @param out   the directory, made where it is missing
 * @param info  kind, name, version; gets the build id
 * @param tree  the layer's
 * @param err   names what failed
 * @return      0, -errno
 */
__attribute__((unused)) static int layerdir_make(
	const char *out, struct mlimg_layer_info *info, const char *tree, struct mlimg_err *err)
{
	mlimg_autoclose int tree_fd = open(tree, O_RDONLY | O_DIRECTORY);
	struct mlimg_manifest *m;
	int r;

	strcpy(info->instance, info->kind == MLIMG_USER ? "00112233445566778899aabbccddeeff" : "");
	r = mlimg_walk_manifest(tree_fd, 0, true, &m, err);
	if (r < 0)
		return r;
	r = layerdir_write(out, info, m, err);
	mlimg_manifest_free(m);
	return r;
}

#endif
