/* SPDX-License-Identifier: MIT */
/* layer.json: the one place of the layer module that knows jansson. */
#include "libmlimg/layer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/json.h"

static json_t *pack_over(const struct mlimg_layer_info *info)
{
	json_t *over = json_array();

	for (size_t i = 0; over && i < info->n_over; i++) {
		if (json_array_append_new(over, json_string(info->over[i])) < 0) {
			json_decref(over);
			return NULL;
		}
	}
	return over;
}

static json_t *pack_records(const struct mlimg_layer_info *info)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < info->n_records; i++) {
		const struct mlimg_layer_records *r = &info->records[i];

		if (json_array_append_new(list,
			    json_pack("{s:s, s:s}", "path", r->path, "sha256", r->digest)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *pack_rebuild(const struct mlimg_layer_info *info)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < info->n_rebuild; i++) {
		if (json_array_append_new(list, json_string(info->rebuild[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

int mlimg_layer_to_json(const struct mlimg_layer_info *info, char **ret_text, struct mlimg_err *err)
{
	mlimg_autojson json_t *json = json_object();
	mlimg_autofree char *dump = NULL;
	char *text;
	int r = 0;

	/* jansson keeps the order of insertion, takes NULL for a failed value, and then says -1. */
	r |= json_object_set_new(json, "format", json_integer(MLIMG_LAYER_FORMAT));
	r |= json_object_set_new(json, "kind", json_string(mlimg_kind_name(info->kind)));
	r |= json_object_set_new(json, "name", json_string(info->name));
	r |= json_object_set_new(json, "version", json_string(info->version));
	r |= json_object_set_new(json, "build_id", json_string(info->build_id));
	if (info->n_over > 0)
		r |= json_object_set_new(json, "over", pack_over(info));
	if (info->kind == MLIMG_USER)
		r |= json_object_set_new(json, "instance", json_string(info->instance));
	if (info->kind == MLIMG_PATCH) {
		r |= json_object_set_new(json, "base", json_string(info->base));
		r |= json_object_set_new(json, "result", json_string(info->result));
	}
	if (info->n_records > 0)
		r |= json_object_set_new(json, "records", pack_records(info));
	if (info->n_rebuild > 0)
		r |= json_object_set_new(json, "rebuild", pack_rebuild(info));
	r |= json_object_set_new(json, "entries", json_integer((json_int_t)info->entries));
	r |= json_object_set_new(json, "size_bytes", json_integer((json_int_t)info->size_bytes));
	r |= json_object_set_new(json, "time", json_integer(info->time_s));
	dump = r == 0 ? json_dumps(json, JSON_INDENT(2)) : NULL;
	if (!dump || asprintf(&text, "%s\n", dump) < 0)
		return mlimg_err_set(err, ENOMEM, "write layer.json");
	if (strlen(text) > MLIMG_LAYER_JSON_MAX) {
		free(text);
		return mlimg_err_refuse(
			err, "layer.json would be longer than %d bytes", MLIMG_LAYER_JSON_MAX);
	}
	*ret_text = text;
	return 0;
}

static int get_text(
	const json_t *json, const char *key, char *field, size_t size, struct mlimg_err *err)
{
	return mlimg_json_get_text("layer.json", json, key, field, size, err);
}

static int get_number(const json_t *json, const char *key, json_int_t min, json_int_t *ret_number,
	struct mlimg_err *err)
{
	return mlimg_json_get_integer("layer.json", json, key, min, ret_number, err);
}

static int get_over(const json_t *json, struct mlimg_layer_info *info, struct mlimg_err *err)
{
	const json_t *over = json_object_get(json, "over");
	int r;

	if (!over)
		return 0;
	if (!json_is_array(over))
		return mlimg_err_refuse(err, "layer.json: 'over' is no array");
	for (size_t i = 0; i < json_array_size(over); i++) {
		const char *id = json_string_value(json_array_get(over, i));

		if (!id)
			return mlimg_err_refuse(err, "layer.json: 'over' holds other than strings");
		r = mlimg_layer_add_over(info, id, err);
		if (r < 0)
			return mlimg_err_wrap(err, r, "layer.json");
	}
	return 0;
}

static int get_records(const json_t *json, struct mlimg_layer_info *info, struct mlimg_err *err)
{
	const json_t *list = json_object_get(json, "records");
	int r = 0;

	if (list && !json_is_array(list))
		return mlimg_err_refuse(err, "layer.json: 'records' is no array");
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);
		const char *path = json_string_value(json_object_get(one, "path"));
		const char *digest = json_string_value(json_object_get(one, "sha256"));

		if (!path || !digest)
			return mlimg_err_refuse(
				err, "layer.json: 'records' needs 'path' and 'sha256'");
		r = mlimg_layer_add_records(info, path, digest, err);
	}
	return r < 0 ? mlimg_err_wrap(err, r, "layer.json") : 0;
}

static int get_rebuild(const json_t *json, struct mlimg_layer_info *info, struct mlimg_err *err)
{
	const json_t *list = json_object_get(json, "rebuild");
	int r = 0;

	if (list && !json_is_array(list))
		return mlimg_err_refuse(err, "layer.json: 'rebuild' is no array");
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		const char *path = json_string_value(json_array_get(list, i));

		if (!path)
			return mlimg_err_refuse(
				err, "layer.json: 'rebuild' holds other than strings");
		r = mlimg_layer_add_rebuild(info, path, err);
	}
	return r < 0 ? mlimg_err_wrap(err, r, "layer.json") : 0;
}

static int get_numbers(const json_t *json, struct mlimg_layer_info *info, struct mlimg_err *err)
{
	json_int_t entries, size_bytes, time_s;
	int r;

	r = get_number(json, "entries", 0, &entries, err);
	if (r < 0)
		return r;
	r = get_number(json, "size_bytes", 0, &size_bytes, err);
	if (r < 0)
		return r;
	info->entries = (uint64_t)entries;
	info->size_bytes = (uint64_t)size_bytes;
	r = get_number(json, "time", INT64_MIN, &time_s, err);
	if (r < 0)
		return r;
	info->time_s = time_s;
	return 0;
}

static int get_optional(
	const json_t *json, const char *key, char *field, size_t size, struct mlimg_err *err)
{
	return json_object_get(json, key) ? get_text(json, key, field, size, err) : 0;
}

static int get_texts(const json_t *json, struct mlimg_layer_info *info, struct mlimg_err *err)
{
	uint8_t digest[MLIMG_SHA256_SIZE];
	char kind[16];
	int r;

	r = get_text(json, "kind", kind, sizeof(kind), err);
	if (r < 0)
		return r;
	info->kind = mlimg_kind_of(kind);
	if (!info->kind)
		return mlimg_err_refuse(err, "layer.json: kind '%s' is unknown", kind);
	r = get_text(json, "name", info->name, sizeof(info->name), err);
	if (r < 0)
		return r;
	r = get_text(json, "version", info->version, sizeof(info->version), err);
	if (r < 0)
		return r;
	r = get_text(json, "build_id", info->build_id, sizeof(info->build_id), err);
	if (r < 0)
		return r;
	if (!mlimg_sha256_is_hex(info->build_id, digest))
		return mlimg_err_refuse(err, "layer.json: '%s' is no build id", info->build_id);
	r = get_optional(json, "instance", info->instance, sizeof(info->instance), err);
	if (r == 0)
		r = get_optional(json, "base", info->base, sizeof(info->base), err);
	if (r == 0)
		r = get_optional(json, "result", info->result, sizeof(info->result), err);
	return r;
}

static int fill(const json_t *json, struct mlimg_layer_info *info, struct mlimg_err *err)
{
	json_int_t format;
	int r;

	r = get_number(json, "format", 0, &format, err);
	if (r < 0)
		return r;
	if (format != MLIMG_LAYER_FORMAT)
		return mlimg_err_refuse(
			err, "layer.json: format %lld is unknown", (long long)format);
	r = get_texts(json, info, err);
	if (r < 0)
		return r;
	r = get_over(json, info, err);
	if (r == 0)
		r = get_records(json, info, err);
	if (r == 0)
		r = get_rebuild(json, info, err);
	if (r < 0)
		return r;
	r = get_numbers(json, info, err);
	if (r < 0)
		return r;
	r = mlimg_layer_check(info, err);
	return r < 0 ? mlimg_err_wrap(err, r, "layer.json") : 0;
}

int mlimg_layer_from_json(
	const char *text, size_t size, struct mlimg_layer_info *ret_info, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_layer_info_done) struct mlimg_layer_info info = {0};
	mlimg_autojson json_t *json = NULL;
	int r;

	if (size > MLIMG_LAYER_JSON_MAX)
		return mlimg_err_refuse(
			err, "layer.json is longer than %d bytes", MLIMG_LAYER_JSON_MAX);
	r = mlimg_json_load("layer.json", text, size, &json, err);
	if (r < 0)
		return r;
	r = fill(json, &info, err);
	if (r < 0)
		return r;
	*ret_info = info;
	info = (struct mlimg_layer_info){0};
	return 0;
}
