/* SPDX-License-Identifier: MIT */
/*
 * The JSON documents of a container image. The first byte says which one it is: l oci-layout, i an
 * index, m a manifest, c a configuration, s docker save's manifest.json; p a platform as people
 * write it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tools/oci-json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Texts must end within their fields. */
static void check_desc(const struct mlimg_oci_desc *d)
{
	if (strnlen(d->ref, sizeof(d->ref)) == sizeof(d->ref) ||
		strnlen(d->media_type, sizeof(d->media_type)) == sizeof(d->media_type))
		abort();
}

static void parse_index(const char *text, size_t size)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_oci_index index = {0};

	if (mlimg_oci_index_parse("index", text, size, &index, &err) == 0)
		for (size_t i = 0; i < index.n_descs; i++)
			check_desc(&index.descs[i]);
	mlimg_oci_index_done(&index);
}

static void parse_manifest(const char *text, size_t size)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_oci_manifest m = {0};

	if (mlimg_oci_manifest_parse("manifest", text, size, &m, &err) == 0) {
		check_desc(&m.config);
		for (size_t i = 0; i < m.n_layers; i++)
			if (m.layers[i].media != MLIMG_OCI_LAYER)
				abort();
	}
	mlimg_oci_manifest_done(&m);
}

static void parse_config(const char *text, size_t size)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_oci_config c = {0};
	char platform[4 * MLIMG_OCI_WORD_SIZE], hex[MLIMG_OCI_DIGEST_SIZE];

	if (mlimg_oci_config_parse("config", text, size, &c, &err) == 0) {
		mlimg_oci_platform_text(&c.platform, platform);
		for (size_t i = 0; i < c.n_diff_ids; i++)
			mlimg_oci_digest_text(c.diff_ids[i], hex);
	}
	mlimg_oci_config_done(&c);
}

static void parse_saved(const char *text, size_t size)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_oci_saved_list list = {0};

	if (mlimg_oci_saved_parse(text, size, &list, &err) == 0)
		for (size_t i = 0; i < list.n_images; i++)
			if (!list.images[i].config ||
				list.images[i].n_layers > MLIMG_OCI_LAYERS_MAX)
				abort();
	mlimg_oci_saved_done(&list);
}

static void parse_platform(const char *text, size_t size)
{
	char platform[4 * MLIMG_OCI_WORD_SIZE], *copy = strndup(text, size);
	struct mlimg_oci_platform p, again;

	if (!copy)
		abort();
	if (mlimg_oci_platform_parse(copy, &p) &&
		(!mlimg_oci_platform_parse(mlimg_oci_platform_text(&p, platform), &again) ||
			strcmp(p.architecture, again.architecture) != 0))
		abort();
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;
	struct mlimg_err err = MLIMG_ERR_INIT;

	switch (size-- ? data[0] : 0) {
	case 'l': return mlimg_oci_layout_parse(text, size, &err) > 0;
	case 'i': parse_index(text, size); break;
	case 'm': parse_manifest(text, size); break;
	case 'c': parse_config(text, size); break;
	case 's': parse_saved(text, size); break;
	case 'p': parse_platform(text, size); break;
	default: break;
	}
	return 0;
}
