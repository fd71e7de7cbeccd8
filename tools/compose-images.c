/* SPDX-License-Identifier: MIT */
#include "tools/compose-images.h"

#include <errno.h>

#include "libmlimg/patch.h"
#include "tools/records-read.h"

static int read_file(void *ctx, size_t layer, const struct mlimg_entry *entry, char **ret_text,
	size_t *ret_size, struct mlimg_err *err)
{
	struct mlimg_compose_images *c = ctx;
	int r = mlimg_reference_follow(c->manifests, layer, entry, &layer, &entry, err);

	if (r < 0)
		return r;
	r = mlimg_ext4_read_file(c->images[layer], mlimg_kind_tree(c->infos[layer]->kind),
		entry->path, MLIMG_RECORDS_SIZE_MAX, ret_text, ret_size, err);
	if (r == -ENOENT || r == -ENOTDIR)
		return mlimg_err_refuse(err, "%.200s: './%s' is in its manifest, but not there",
			mlimg_ext4_name(c->images[layer]), entry->path);
	return r;
}

static int read_records(void *ctx, size_t layer, const struct mlimg_layer_records *records,
	char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	struct mlimg_compose_images *c = ctx;

	return mlimg_records_read(c->images[layer], records, ret_text, ret_size, err);
}

void mlimg_compose_images_push(struct mlimg_compose_images *c, struct mlimg_ext4 *image,
	const struct mlimg_layer_info *info, const struct mlimg_manifest *manifest)
{
	size_t n = c->layers.n++;

	c->images[n] = image;
	c->infos[n] = info;
	c->manifests[n] = manifest;
	c->layers.infos = c->infos;
	c->layers.manifests = c->manifests;
	c->layers.read_file = read_file;
	c->layers.read_records = read_records;
	c->layers.ctx = c;
}
