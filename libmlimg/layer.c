/* SPDX-License-Identifier: MIT */
/* Kinds, names, ids and the header lines of manifests. layer.json is in layer-json.c. */
#include "libmlimg/layer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/layer-lists.h"

static const char *const kinds[] = {[MLIMG_SYSTEM] = "system",
	[MLIMG_SOFTWARE] = "software",
	[MLIMG_USER] = "user",
	[MLIMG_PATCH] = "patch"};

const char *mlimg_kind_name(enum mlimg_kind kind)
{
	return kinds[kind];
}

enum mlimg_kind mlimg_kind_of(const char *name)
{
	for (enum mlimg_kind kind = MLIMG_SYSTEM; kind <= MLIMG_KIND_LAST; kind++)
		if (strcmp(name, kinds[kind]) == 0)
			return kind;
	return 0;
}

const char *mlimg_kind_label(enum mlimg_kind kind)
{
	static const char *const labels[] = {[MLIMG_SYSTEM] = "mlimg-system",
		[MLIMG_SOFTWARE] = "mlimg-software",
		[MLIMG_USER] = "mlimg-user",
		[MLIMG_PATCH] = "mlimg-patch"};

	return labels[kind];
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool mlimg_layer_name_is_valid(const char *name)
{
	size_t n = strlen(name);

	if (n < 1 || n > MLIMG_LAYER_NAME_MAX || !is_alnum(name[0]))
		return false;
	for (size_t i = 1; i < n; i++)
		if (!is_alnum(name[i]) && !strchr("._+~:-", name[i]))
			return false;
	return true;
}

bool mlimg_layer_uuid(const char *build_id, uint8_t ret_uuid[MLIMG_UUID_SIZE])
{
	uint8_t digest[MLIMG_SHA256_SIZE];

	if (!mlimg_sha256_is_hex(build_id, digest))
		return false;
	memcpy(ret_uuid, digest, MLIMG_UUID_SIZE);
	ret_uuid[6] = 0x80 | (ret_uuid[6] & 0x0f);
	ret_uuid[8] = 0x80 | (ret_uuid[8] & 0x3f);
	return true;
}

void mlimg_uuid_format(const uint8_t uuid[MLIMG_UUID_SIZE], char ret_text[MLIMG_UUID_TEXT_SIZE])
{
	char *out = ret_text;

	for (int i = 0; i < MLIMG_UUID_SIZE; i++)
		out += sprintf(
			out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
}

bool mlimg_layer_uuid_matches(const uint8_t uuid[MLIMG_UUID_SIZE], const char *id_prefix)
{
	size_t n = strlen(id_prefix);
	uint8_t expected[MLIMG_UUID_SIZE];
	char id[MLIMG_SHA256_HEX_SIZE];

	if (n < MLIMG_SHORT_ID || n >= sizeof(id))
		return false;
	memset(id, '0', sizeof(id) - 1);
	memcpy(id, id_prefix, n);
	id[sizeof(id) - 1] = '\0';
	if (!mlimg_layer_uuid(id, expected))
		return false;
	if (n > 2 * MLIMG_UUID_SIZE)
		n = 2 * MLIMG_UUID_SIZE;
	if (memcmp(uuid, expected, n / 2) != 0)
		return false;
	return n % 2 == 0 || uuid[n / 2] >> 4 == expected[n / 2] >> 4;
}

static void put_line(mlimg_sink *sink, void *ctx, const char *key, const char *value)
{
	char line[32 + MLIMG_LAYER_PATH_MAX + MLIMG_SHA256_HEX_SIZE];
	int n = snprintf(line, sizeof(line), "# mlimg-%s %s\n", key, value);

	sink(ctx, line, (size_t)n);
}

void mlimg_layer_put_header(const struct mlimg_layer_info *info, mlimg_sink *sink, void *ctx)
{
	put_line(sink, ctx, "format", "1");
	put_line(sink, ctx, "kind", mlimg_kind_name(info->kind));
	put_line(sink, ctx, "name", info->name);
	put_line(sink, ctx, "version", info->version);
	for (size_t i = 0; i < info->n_over; i++)
		put_line(sink, ctx, "over", info->over[i]);
	if (info->kind == MLIMG_USER)
		put_line(sink, ctx, "instance", info->instance);
	if (info->kind == MLIMG_PATCH) {
		put_line(sink, ctx, "base", info->base);
		put_line(sink, ctx, "result", info->result);
	}
	for (size_t i = 0; i < info->n_records; i++) {
		char value[MLIMG_LAYER_PATH_MAX + 1 + MLIMG_SHA256_HEX_SIZE];

		snprintf(value, sizeof(value), "%s %s", info->records[i].path,
			info->records[i].digest);
		put_line(sink, ctx, "records", value);
	}
	for (size_t i = 0; i < info->n_rebuild; i++)
		put_line(sink, ctx, "rebuild", info->rebuild[i]);
}

bool mlimg_layer_instance_is_valid(const char *instance)
{
	return strlen(instance) == 32 && strspn(instance, "0123456789abcdef") == 32;
}

int mlimg_layer_add_over(struct mlimg_layer_info *info, const char *build_id, struct mlimg_err *err)
{
	uint8_t digest[MLIMG_SHA256_SIZE];
	void *bigger;

	if (!mlimg_sha256_is_hex(build_id, digest))
		return mlimg_err_refuse(err, "'%.80s' is no build id", build_id);
	if (info->n_over >= MLIMG_LAYER_OVER_MAX)
		return mlimg_err_refuse(err, "over more than %d layers", MLIMG_LAYER_OVER_MAX);
	bigger = reallocarray(info->over, info->n_over + 1, sizeof(*info->over));
	if (!bigger)
		return mlimg_err_set(err, ENOMEM, "read a layer's description");
	info->over = bigger;
	memcpy(info->over[info->n_over++], build_id, sizeof(*info->over));
	return 0;
}

bool mlimg_layer_is_over(const struct mlimg_layer_info *info, const struct mlimg_layer_info *other)
{
	if (other->kind != MLIMG_SOFTWARE)
		return true;
	for (size_t i = 0; i < info->n_over; i++)
		if (strcmp(info->over[i], other->build_id) == 0)
			return true;
	return false;
}

static int check_patch(const struct mlimg_layer_info *info, struct mlimg_err *err)
{
	uint8_t digest[MLIMG_SHA256_SIZE];

	if (info->kind != MLIMG_PATCH && (info->base[0] || info->result[0]))
		return mlimg_err_refuse(
			err, "a %s layer has no base and no result", mlimg_kind_name(info->kind));
	if (info->kind != MLIMG_PATCH)
		return 0;
	if (!mlimg_sha256_is_hex(info->base, digest))
		return mlimg_err_refuse(err, "base '%.80s' is no build id", info->base);
	if (!mlimg_sha256_is_hex(info->result, digest))
		return mlimg_err_refuse(err, "result '%.80s' is no build id", info->result);
	return 0;
}

int mlimg_layer_check(const struct mlimg_layer_info *info, struct mlimg_err *err)
{
	if (!info->kind)
		return mlimg_err_refuse(err, "a layer's kind is missing");
	if (!mlimg_layer_name_is_valid(info->name))
		return mlimg_err_refuse(err, "'%s' is no name of a layer", info->name);
	if (!mlimg_layer_name_is_valid(info->version))
		return mlimg_err_refuse(err, "'%s' is no version of a layer", info->version);
	if (info->n_over > 0 && info->kind != MLIMG_SOFTWARE)
		return mlimg_err_refuse(
			err, "a %s layer is over nothing", mlimg_kind_name(info->kind));
	if ((info->n_records > 0 || info->n_rebuild > 0) && info->kind != MLIMG_SOFTWARE)
		return mlimg_err_refuse(err, "a %s layer has no records and no caches to rebuild",
			mlimg_kind_name(info->kind));
	if (info->kind == MLIMG_USER && !mlimg_layer_instance_is_valid(info->instance))
		return mlimg_err_refuse(err, "'%s' is no instance of a user layer", info->instance);
	if (info->kind != MLIMG_USER && info->instance[0])
		return mlimg_err_refuse(
			err, "a %s layer has no instance", mlimg_kind_name(info->kind));
	return check_patch(info, err);
}

/* Copies a text into a field of fixed size; a field is set once. */
static int set_text(
	char *field, size_t size, const char *key, const char *value, struct mlimg_err *err)
{
	if (field[0])
		return mlimg_err_refuse(err, "manifest header '%s' is there twice", key);
	if (!value[0] || strlen(value) >= size)
		return mlimg_err_refuse(err, "manifest header '%s': '%.80s'", key, value);
	strcpy(field, value);
	return 0;
}

static int parse_records(struct mlimg_layer_info *info, const char *value, struct mlimg_err *err)
{
	const char *space = strchr(value, ' ');
	char path[MLIMG_LAYER_PATH_MAX + 1];

	if (!space || (size_t)(space - value) >= sizeof(path))
		return mlimg_err_refuse(err, "manifest header 'records': '%.80s'", value);
	memcpy(path, value, (size_t)(space - value));
	path[space - value] = '\0';
	return mlimg_layer_add_records(info, path, space + 1, err);
}

static int parse_line(struct mlimg_layer_info *info, bool *has_format, const char *key,
	const char *value, struct mlimg_err *err)
{
	if (strcmp(key, "format") == 0) {
		if (*has_format || strcmp(value, "1") != 0)
			return mlimg_err_refuse(err, "manifest format '%.80s' is unknown", value);
		*has_format = true;
		return 0;
	}
	if (strcmp(key, "kind") == 0) {
		if (info->kind)
			return mlimg_err_refuse(err, "manifest header 'kind' is there twice");
		info->kind = mlimg_kind_of(value);
		if (!info->kind)
			return mlimg_err_refuse(err, "kind '%.80s' is unknown", value);
		return 0;
	}
	if (strcmp(key, "name") == 0)
		return set_text(info->name, sizeof(info->name), key, value, err);
	if (strcmp(key, "version") == 0)
		return set_text(info->version, sizeof(info->version), key, value, err);
	if (strcmp(key, "instance") == 0)
		return set_text(info->instance, sizeof(info->instance), key, value, err);
	if (strcmp(key, "base") == 0)
		return set_text(info->base, sizeof(info->base), key, value, err);
	if (strcmp(key, "result") == 0)
		return set_text(info->result, sizeof(info->result), key, value, err);
	if (strcmp(key, "over") == 0)
		return mlimg_layer_add_over(info, value, err);
	if (strcmp(key, "records") == 0)
		return parse_records(info, value, err);
	if (strcmp(key, "rebuild") == 0)
		return mlimg_layer_add_rebuild(info, value, err);
	return 0;
}

int mlimg_layer_parse_header(
	const struct mlimg_manifest *m, struct mlimg_layer_info *ret_info, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_layer_info_done) struct mlimg_layer_info info = {0};
	bool has_format = false;
	int r;

	for (size_t i = 0; i < m->n_header; i++) {
		const char *space = strchr(m->header[i], ' ');
		char key[16];

		if (!space || (size_t)(space - m->header[i]) >= sizeof(key))
			continue;
		memcpy(key, m->header[i], (size_t)(space - m->header[i]));
		key[space - m->header[i]] = '\0';
		r = parse_line(&info, &has_format, key, space + 1, err);
		if (r < 0)
			return r;
	}
	if (!has_format)
		return mlimg_err_refuse(err, "manifest header 'format' is missing");
	r = mlimg_layer_check(&info, err);
	if (r < 0)
		return r;
	*ret_info = info;
	info = (struct mlimg_layer_info){0};
	return 0;
}

void mlimg_layer_info_done(struct mlimg_layer_info *info)
{
	if (!info)
		return;
	free(info->over);
	info->over = NULL;
	info->n_over = 0;
	mlimg_layer_lists_done(info);
}
