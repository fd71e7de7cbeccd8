/* SPDX-License-Identifier: MIT */
/* manifest.json of `docker save`, and platforms as people write them. */
#include "tools/oci-json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/json.h"

#define WHAT "manifest.json"
#define TAGS_MAX 1024

/* An array of strings; NULL counts as an empty one. */
static int get_texts(const json_t *json, const char *key, size_t max, char ***ret_texts,
	size_t *ret_n, struct mlimg_err *err)
{
	const json_t *array = json_object_get(json, key);
	size_t n = json_array_size(array);

	if (!json_is_array(array) && !json_is_null(array))
		return mlimg_err_refuse(err, WHAT ": no array '%s'", key);
	if (n > max)
		return mlimg_err_refuse(err, WHAT ": more than %zu '%s'", max, key);
	*ret_texts = calloc(n + 1, sizeof(**ret_texts));
	if (!*ret_texts)
		return mlimg_err_set(err, ENOMEM, WHAT);
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(array, i));

		if (!text || strlen(text) >= MLIMG_OCI_TEXT_SIZE)
			return mlimg_err_refuse(
				err, WHAT ": '%s' holds other than short strings", key);
		(*ret_texts)[i] = strdup(text);
		if (!(*ret_texts)[i])
			return mlimg_err_set(err, ENOMEM, WHAT);
		*ret_n = i + 1;
	}
	return 0;
}

static int get_image(const json_t *json, struct mlimg_oci_saved *image, struct mlimg_err *err)
{
	char config[MLIMG_OCI_TEXT_SIZE];
	int r;

	if (!json_is_object(json))
		return mlimg_err_refuse(err, WHAT ": an image that is no object");
	r = mlimg_json_get_text(WHAT, json, "Config", config, sizeof(config), err);
	if (r < 0)
		return r;
	image->config = strdup(config);
	if (!image->config)
		return mlimg_err_set(err, ENOMEM, WHAT);
	r = get_texts(json, "Layers", MLIMG_OCI_LAYERS_MAX, &image->layers, &image->n_layers, err);
	if (r < 0 || !json_object_get(json, "RepoTags"))
		return r;
	return get_texts(json, "RepoTags", TAGS_MAX, &image->tags, &image->n_tags, err);
}

int mlimg_oci_saved_parse(
	const char *text, size_t size, struct mlimg_oci_saved_list *ret_list, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_oci_saved_done) struct mlimg_oci_saved_list list = {0};
	mlimg_autojson json_t *json = NULL;
	int r = mlimg_json_load_array(WHAT, text, size, &json, err);

	if (r < 0)
		return r;
	if (json_array_size(json) > MLIMG_OCI_INDEX_MAX)
		return mlimg_err_refuse(err, WHAT ": more than %d images", MLIMG_OCI_INDEX_MAX);
	list.images = calloc(json_array_size(json) + 1, sizeof(*list.images));
	if (!list.images)
		return mlimg_err_set(err, ENOMEM, WHAT);
	for (size_t i = 0; i < json_array_size(json); i++) {
		r = get_image(json_array_get(json, i), &list.images[list.n_images++], err);
		if (r < 0)
			return r;
	}
	*ret_list = list;
	list = (struct mlimg_oci_saved_list){0};
	return 0;
}

static void free_texts(char **texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	free(texts);
}

void mlimg_oci_saved_done(struct mlimg_oci_saved_list *list)
{
	for (size_t i = 0; i < list->n_images; i++) {
		struct mlimg_oci_saved *image = &list->images[i];

		free(image->config);
		free_texts(image->layers, image->n_layers);
		free_texts(image->tags, image->n_tags);
	}
	free(list->images);
	*list = (struct mlimg_oci_saved_list){0};
}

static bool take_word(const char *text, size_t size, char ret_word[MLIMG_OCI_WORD_SIZE])
{
	if (size == 0 || size >= MLIMG_OCI_WORD_SIZE)
		return false;
	memcpy(ret_word, text, size);
	ret_word[size] = '\0';
	return true;
}

bool mlimg_oci_platform_parse(const char *text, struct mlimg_oci_platform *ret_platform)
{
	struct mlimg_oci_platform p = {.os = "linux"};
	size_t n = strcspn(text, "/");

	if (text[n]) {
		if (!take_word(text, n, p.os))
			return false;
		text += n + 1;
		n = strcspn(text, "/");
	}
	if (!take_word(text, n, p.architecture))
		return false;
	text += n;
	if (*text && (strchr(text + 1, '/') || !take_word(text + 1, strlen(text + 1), p.variant)))
		return false;
	*ret_platform = p;
	return true;
}

const char *mlimg_oci_platform_text(
	const struct mlimg_oci_platform *platform, char ret_text[4 * MLIMG_OCI_WORD_SIZE])
{
	snprintf(ret_text, 4 * MLIMG_OCI_WORD_SIZE, "%s/%s%s%s", platform->os,
		platform->architecture, platform->variant[0] ? "/" : "", platform->variant);
	return ret_text;
}
