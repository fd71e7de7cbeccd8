/* SPDX-License-Identifier: MIT */
#include "libmlimg/user-layer.h"

#include <string.h>

/* A sink of bytes that always fit: name, version and instance are bounded. */
struct text {
	char *data;
	size_t used;
};

static void put(void *ctx, const char *data, size_t size)
{
	struct text *text = ctx;

	if (size >= MLIMG_USER_MANIFEST_SIZE - text->used)
		return;
	memcpy(text->data + text->used, data, size);
	text->used += size;
	text->data[text->used] = '\0';
}

int mlimg_user_layer_describe(
	const char *name, const char *instance, struct mlimg_user_layer *ret, struct mlimg_err *err)
{
	const struct mlimg_entry top = {
		.path = (char *)"", .type = MLIMG_DIR, .mode = 0755, .nlink = 1};
	struct mlimg_user_layer layer = {
		.info = {.kind = MLIMG_USER, .version = "0", .entries = 1}};
	struct text text = {.data = layer.manifest};
	uint8_t digest[MLIMG_SHA256_SIZE];

	if (!mlimg_layer_name_is_valid(name))
		return mlimg_err_usage(err, "'%s' cannot be the name of a user layer", name);
	if (!mlimg_layer_instance_is_valid(instance))
		return mlimg_err_usage(err,
			"'%s' is no instance of a user layer: 32 lower-case hexadecimal digits are "
			"wanted",
			instance);
	strcpy(layer.info.name, name);
	strcpy(layer.info.instance, instance);
	put(&text, "#mtree\n", strlen("#mtree\n"));
	mlimg_layer_put_header(&layer.info, put, &text);
	mlimg_manifest_put_entry(&top, put, &text);
	mlimg_sha256_of(layer.manifest, text.used, digest);
	mlimg_sha256_hex(digest, layer.info.build_id);
	*ret = layer;
	return 0;
}

int mlimg_user_layer_parse(const char *text, struct mlimg_user_layer *ret, struct mlimg_err *err)
{
	const char *colon = strrchr(text, ':');
	char name[MLIMG_LAYER_NAME_MAX + 1];

	if (!colon || (size_t)(colon - text) >= sizeof(name))
		return mlimg_err_usage(err, "'%s' is not NAME:INSTANCE", text);
	memcpy(name, text, (size_t)(colon - text));
	name[colon - text] = '\0';
	return mlimg_user_layer_describe(name, colon + 1, ret, err);
}
