/* SPDX-License-Identifier: MIT */
#include "tools/oci-json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/json.h"

#define SCHEMA_VERSION 2
#define LAYOUT_VERSION "1.0.0"
#define REF_NAME "org.opencontainers.image.ref.name"
#define IMAGE_NAME "io.containerd.image.name" /* Docker's and containerd's own */
#define DIGEST_PREFIX "sha256:"

#define OCI "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."

static const struct {
	const char *type;
	enum mlimg_oci_media media;
} media_types[] = {
	{OCI "index.v1+json", MLIMG_OCI_INDEX},
	{DOCKER "distribution.manifest.list.v2+json", MLIMG_OCI_INDEX},
	{OCI "manifest.v1+json", MLIMG_OCI_MANIFEST},
	{DOCKER "distribution.manifest.v2+json", MLIMG_OCI_MANIFEST},
	{OCI "config.v1+json", MLIMG_OCI_CONFIG},
	{DOCKER "container.image.v1+json", MLIMG_OCI_CONFIG},
	{OCI "layer.v1.tar", MLIMG_OCI_LAYER},
	{OCI "layer.v1.tar+gzip", MLIMG_OCI_LAYER},
	{OCI "layer.v1.tar+zstd", MLIMG_OCI_LAYER},
	{OCI "layer.nondistributable.v1.tar", MLIMG_OCI_LAYER},
	{OCI "layer.nondistributable.v1.tar+gzip", MLIMG_OCI_LAYER},
	{OCI "layer.nondistributable.v1.tar+zstd", MLIMG_OCI_LAYER},
	{DOCKER "image.rootfs.diff.tar", MLIMG_OCI_LAYER},
	{DOCKER "image.rootfs.diff.tar.gzip", MLIMG_OCI_LAYER},
	{DOCKER "image.rootfs.diff.tar.zstd", MLIMG_OCI_LAYER},
	{DOCKER "image.rootfs.foreign.diff.tar", MLIMG_OCI_LAYER},
	{DOCKER "image.rootfs.foreign.diff.tar.gzip", MLIMG_OCI_LAYER},
};

static enum mlimg_oci_media media_of(const char *type)
{
	for (size_t i = 0; i < sizeof(media_types) / sizeof(media_types[0]); i++)
		if (strcmp(media_types[i].type, type) == 0)
			return media_types[i].media;
	return MLIMG_OCI_OTHER;
}

const char *mlimg_oci_digest_text(
	const uint8_t digest[MLIMG_SHA256_SIZE], char ret_text[MLIMG_OCI_DIGEST_SIZE])
{
	strcpy(ret_text, DIGEST_PREFIX);
	mlimg_sha256_hex(digest, ret_text + strlen(DIGEST_PREFIX));
	return ret_text;
}

static int parse_digest(const char *what, const char *text, uint8_t ret_digest[MLIMG_SHA256_SIZE],
	struct mlimg_err *err)
{
	size_t n = strlen(DIGEST_PREFIX);

	if (strncmp(text, DIGEST_PREFIX, n) != 0 || !mlimg_sha256_is_hex(text + n, ret_digest))
		return mlimg_err_refuse(err, "%s: '%s' is no SHA-256 digest", what, text);
	return 0;
}

/* A string that may be missing, then "". */
static int get_word(const char *what, const json_t *json, const char *key, char *ret_word,
	size_t size, struct mlimg_err *err)
{
	*ret_word = '\0';
	return json_object_get(json, key)
		? mlimg_json_get_text(what, json, key, ret_word, size, err)
		: 0;
}

static int get_array(const char *what, const json_t *json, const char *key, size_t max,
	const json_t **ret_array, struct mlimg_err *err)
{
	const json_t *array = json_object_get(json, key);

	if (!json_is_array(array))
		return mlimg_err_refuse(err, "%s: no array '%s'", what, key);
	if (json_array_size(array) > max)
		return mlimg_err_refuse(err, "%s: more than %zu '%s'", what, max, key);
	*ret_array = array;
	return 0;
}

static int get_platform(
	const char *what, const json_t *json, struct mlimg_oci_platform *p, struct mlimg_err *err)
{
	int r = mlimg_json_get_text(what, json, "os", p->os, sizeof(p->os), err);

	if (r == 0)
		r = mlimg_json_get_text(
			what, json, "architecture", p->architecture, sizeof(p->architecture), err);
	return r < 0 ? r : get_word(what, json, "variant", p->variant, sizeof(p->variant), err);
}

static int get_digest(
	const char *what, const json_t *json, struct mlimg_oci_desc *d, struct mlimg_err *err)
{
	char digest[MLIMG_OCI_TEXT_SIZE];
	json_int_t size;
	int r = mlimg_json_get_text(what, json, "digest", digest, sizeof(digest), err);

	if (r == 0)
		r = parse_digest(what, digest, d->digest, err);
	if (r == 0)
		r = mlimg_json_get_integer(what, json, "size", 0, &size, err);
	if (r == 0)
		d->size_bytes = (uint64_t)size;
	return r;
}

/* A descriptor; one of a type that is not known need not be complete. */
static int get_desc(
	const char *what, const json_t *json, struct mlimg_oci_desc *d, struct mlimg_err *err)
{
	const json_t *platform = json_object_get(json, "platform");
	const json_t *notes = json_object_get(json, "annotations");
	int r;

	if (!json_is_object(json))
		return mlimg_err_refuse(err, "%s: a descriptor that is no object", what);
	r = mlimg_json_get_text(what, json, "mediaType", d->media_type, sizeof(d->media_type), err);
	if (r < 0)
		return r;
	d->media = media_of(d->media_type);
	if (d->media == MLIMG_OCI_OTHER)
		return 0;
	r = get_digest(what, json, d, err);
	d->has_platform = json_is_object(platform);
	if (r == 0 && d->has_platform)
		r = get_platform(what, platform, &d->platform, err);
	if (r == 0 && json_is_object(notes))
		r = get_word(what, notes, REF_NAME, d->ref, sizeof(d->ref), err);
	if (r == 0 && json_is_object(notes))
		r = get_word(what, notes, IMAGE_NAME, d->name, sizeof(d->name), err);
	return r;
}

int mlimg_oci_layout_parse(const char *text, size_t size, struct mlimg_err *err)
{
	mlimg_autojson json_t *json = NULL;
	char version[MLIMG_OCI_WORD_SIZE];
	int r = mlimg_json_load("oci-layout", text, size, &json, err);

	if (r == 0)
		r = mlimg_json_get_text(
			"oci-layout", json, "imageLayoutVersion", version, sizeof(version), err);
	if (r < 0)
		return r;
	if (strcmp(version, LAYOUT_VERSION) != 0)
		return mlimg_err_refuse(
			err, "oci-layout: version '%s', not " LAYOUT_VERSION, version);
	return 0;
}

/*
 * Index and manifest tell themselves apart by mediaType, which may be missing, and by their
 * members. What could pass for both would be one image to one reader and another to the next
 * (CVE-2021-41190).
 */
static int check_document(
	const char *what, const json_t *json, enum mlimg_oci_media media, struct mlimg_err *err)
{
	bool is_index = media == MLIMG_OCI_INDEX;
	char type[MLIMG_OCI_TEXT_SIZE];
	json_int_t version;
	int r = mlimg_json_get_integer(what, json, "schemaVersion", 0, &version, err);

	if (r == 0)
		r = get_word(what, json, "mediaType", type, sizeof(type), err);
	if (r < 0)
		return r;
	if (version != SCHEMA_VERSION)
		return mlimg_err_refuse(
			err, "%s: schemaVersion %lld is unknown", what, (long long)version);
	if (type[0] && media_of(type) != media)
		return mlimg_err_refuse(err, "%s: media type '%s' is not an %s's", what, type,
			is_index ? "index" : "image manifest");
	if (json_object_get(json, is_index ? "layers" : "manifests") ||
		(is_index && json_object_get(json, "config")))
		return mlimg_err_refuse(err, "%s: both an index and a manifest", what);
	return 0;
}

int mlimg_oci_index_parse(const char *what, const char *text, size_t size,
	struct mlimg_oci_index *ret_index, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_oci_index_done) struct mlimg_oci_index index = {0};
	mlimg_autojson json_t *json = NULL;
	const json_t *array;
	int r = mlimg_json_load(what, text, size, &json, err);

	if (r == 0)
		r = check_document(what, json, MLIMG_OCI_INDEX, err);
	if (r == 0)
		r = get_array(what, json, "manifests", MLIMG_OCI_INDEX_MAX, &array, err);
	if (r < 0)
		return r;
	index.descs = calloc(json_array_size(array) + 1, sizeof(*index.descs));
	if (!index.descs)
		return mlimg_err_set(err, ENOMEM, "%s", what);
	for (size_t i = 0; i < json_array_size(array); i++) {
		struct mlimg_oci_desc *d = &index.descs[index.n_descs];

		*d = (struct mlimg_oci_desc){0};
		r = get_desc(what, json_array_get(array, i), d, err);
		if (r < 0)
			return r;
		index.n_descs += d->media == MLIMG_OCI_INDEX || d->media == MLIMG_OCI_MANIFEST;
	}
	*ret_index = index;
	index = (struct mlimg_oci_index){0};
	return 0;
}

void mlimg_oci_index_done(struct mlimg_oci_index *index)
{
	free(index->descs);
	*index = (struct mlimg_oci_index){0};
}

static int get_layers(
	const char *what, const json_t *json, struct mlimg_oci_manifest *m, struct mlimg_err *err)
{
	const json_t *array;
	int r = get_array(what, json, "layers", MLIMG_OCI_LAYERS_MAX, &array, err);

	if (r < 0)
		return r;
	m->layers = calloc(json_array_size(array) + 1, sizeof(*m->layers));
	if (!m->layers)
		return mlimg_err_set(err, ENOMEM, "%s", what);
	for (size_t i = 0; i < json_array_size(array); i++) {
		struct mlimg_oci_desc *d = &m->layers[m->n_layers++];

		r = get_desc(what, json_array_get(array, i), d, err);
		if (r < 0)
			return r;
		if (d->media != MLIMG_OCI_LAYER)
			return mlimg_err_refuse(err,
				"%s: layer %zu: media type '%s' is not a layer's", what, i + 1,
				d->media_type);
	}
	return 0;
}

int mlimg_oci_manifest_parse(const char *what, const char *text, size_t size,
	struct mlimg_oci_manifest *ret_manifest, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_oci_manifest_done) struct mlimg_oci_manifest m = {0};
	mlimg_autojson json_t *json = NULL;
	int r = mlimg_json_load(what, text, size, &json, err);

	if (r == 0)
		r = check_document(what, json, MLIMG_OCI_MANIFEST, err);
	if (r == 0)
		r = get_desc(what, json_object_get(json, "config"), &m.config, err);
	if (r < 0)
		return r;
	if (m.config.media != MLIMG_OCI_CONFIG)
		return mlimg_err_refuse(err,
			"%s: its configuration has media type '%s': no container image", what,
			m.config.media_type);
	r = get_layers(what, json, &m, err);
	if (r < 0)
		return r;
	*ret_manifest = m;
	m = (struct mlimg_oci_manifest){0};
	return 0;
}

void mlimg_oci_manifest_done(struct mlimg_oci_manifest *manifest)
{
	free(manifest->layers);
	*manifest = (struct mlimg_oci_manifest){0};
}

static int get_diff_ids(
	const char *what, const json_t *rootfs, struct mlimg_oci_config *c, struct mlimg_err *err)
{
	const json_t *array;
	int r = get_array(what, rootfs, "diff_ids", MLIMG_OCI_LAYERS_MAX, &array, err);

	if (r < 0)
		return r;
	c->diff_ids = calloc(json_array_size(array) + 1, sizeof(*c->diff_ids));
	if (!c->diff_ids)
		return mlimg_err_set(err, ENOMEM, "%s", what);
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *text = json_string_value(json_array_get(array, i));

		if (!text)
			return mlimg_err_refuse(
				err, "%s: 'diff_ids' holds other than strings", what);
		r = parse_digest(what, text, c->diff_ids[c->n_diff_ids++], err);
		if (r < 0)
			return r;
	}
	return 0;
}

int mlimg_oci_config_parse(const char *what, const char *text, size_t size,
	struct mlimg_oci_config *ret_config, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_oci_config_done) struct mlimg_oci_config c = {0};
	mlimg_autojson json_t *json = NULL;
	int r = mlimg_json_load(what, text, size, &json, err);

	if (r == 0)
		r = get_platform(what, json, &c.platform, err);
	if (r == 0)
		r = get_diff_ids(what, json_object_get(json, "rootfs"), &c, err);
	if (r < 0)
		return r;
	*ret_config = c;
	c = (struct mlimg_oci_config){0};
	return 0;
}

void mlimg_oci_config_done(struct mlimg_oci_config *config)
{
	free(config->diff_ids);
	*config = (struct mlimg_oci_config){0};
}
