/* SPDX-License-Identifier: MIT */
/* mlimg-store add, list, show, remove. */
#include "tools/store-commands.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/json.h"
#include "tools/cli.h"
#include "tools/store-impl.h"

int mlimg_store_put_json(json_t *report, struct mlimg_err *err)
{
	if (!report)
		return mlimg_err_set(err, ENOMEM, "print the report");
	json_dumpf(report, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(report);
	return 0;
}

static json_t *over_json(const struct mlimg_layer_info *info)
{
	json_t *over = json_array();

	for (size_t i = 0; over && i < info->n_over; i++)
		json_array_append_new(over, json_string(info->over[i]));
	return over;
}

/* json_pack() fails when one of its parts is not there; "s?" of NULL is null. */
json_t *mlimg_store_layer_json(
	const struct mlimg_store *store, const struct mlimg_store_layer *layer)
{
	const struct mlimg_layer_info *info = &layer->info;
	mlimg_autofree char *path = mlimg_store_layer_path(store, info->build_id);
	bool is_patch = info->kind == MLIMG_PATCH;

	if (!path)
		return NULL;
	return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s?, s:o, s:I, s:s?, s:I, s:s}", "kind",
		mlimg_kind_name(info->kind), "name", info->name, "version", info->version,
		"build_id", info->build_id, "base", is_patch ? info->base : NULL, "result",
		is_patch ? info->result : NULL, "over", over_json(info), "size_bytes",
		(json_int_t)layer->size_bytes, "root_hash",
		layer->root_hash[0] ? layer->root_hash : NULL, "added", (json_int_t)layer->added_s,
		"path", path);
}

static void say_added(const struct mlimg_store_options *o, const char *image,
	const struct mlimg_store_added *added)
{
	char text[MLIMG_STORE_LAYER_TEXT], size[MLIMG_CLI_SIZE_TEXT];

	mlimg_store_layer_text(&added->layer.info, text);
	if (added->is_new)
		printf("added %s, %s\n", text,
			mlimg_cli_format_size(added->layer.size_bytes, size));
	else
		printf("%s is there already%s\n", text,
			o->move && access(image, F_OK) == 0 ? "; its image is left" : "");
	fflush(stdout);
	if (added->missing[0])
		mlimg_cli_warn(MLIMG_STORE_PROG,
			"%s lies over build %.*s, which the store does not have", text,
			MLIMG_SHORT_ID, added->missing);
}

int mlimg_store_cmd_add(
	struct mlimg_store *store, const struct mlimg_store_options *o, struct mlimg_err *err)
{
	for (size_t i = 0; i < o->n_operands; i++) {
		struct mlimg_store_added added = {.is_new = false};
		int ret = mlimg_store_layer_add(store, o->operands[i], o->move, &added, err);

		if (ret < 0)
			return ret;
		say_added(o, o->operands[i], &added);
		mlimg_store_layer_done(&added.layer);
	}
	return 0;
}

struct lister {
	const struct mlimg_store *store;
	json_t *list; /* NULL: text */
	size_t n;
};

static int list_layer(const struct mlimg_store_layer *layer, void *ctx, struct mlimg_err *err)
{
	const struct mlimg_layer_info *info = &layer->info;
	struct lister *l = ctx;
	char size[MLIMG_CLI_SIZE_TEXT], added[MLIMG_CLI_TIME_TEXT];

	if (l->list)
		return json_array_append_new(l->list, mlimg_store_layer_json(l->store, layer)) < 0
			? mlimg_err_set(err, ENOMEM, "list layers")
			: 0;
	if (l->n++ == 0)
		printf("%-8s  %-20s  %-16s  %-20s  %9s  %s\n", "KIND", "NAME", "VERSION", "BUILD",
			"SIZE", "ADDED (UTC)");
	printf("%-8s  %-20s  %-16s  %.*s  %9s  %s\n", mlimg_kind_name(info->kind), info->name,
		info->version, MLIMG_SHORT_ID, info->build_id,
		mlimg_cli_format_size(layer->size_bytes, size),
		mlimg_cli_format_time(layer->added_s, added));
	return 0;
}

int mlimg_store_cmd_list(
	struct mlimg_store *store, const struct mlimg_store_options *o, struct mlimg_err *err)
{
	mlimg_autojson json_t *list = o->json ? json_array() : NULL;
	struct lister l = {.store = store, .list = list};
	int ret;

	if (o->json && !list)
		return mlimg_err_set(err, ENOMEM, "list layers");
	ret = mlimg_store_layer_each(store, o->kind, list_layer, &l, err);
	if (ret < 0 || !o->json)
		return ret;
	return mlimg_store_put_json(mlimg_steal(&list), err);
}

static int collect_user(const char *user, void *ctx, struct mlimg_err *err)
{
	return json_array_append_new(ctx, json_string(user)) < 0
		? mlimg_err_set(err, ENOMEM, "show a layer")
		: 0;
}

/* Ids are shown whole: they are what one layer has of another. */
static void put_layer(const struct mlimg_store *store, const struct mlimg_store_layer *layer,
	size_t n_named, const json_t *users)
{
	const struct mlimg_layer_info *info = &layer->info;
	mlimg_autofree char *path = mlimg_store_layer_path(store, info->build_id);
	char size[MLIMG_CLI_SIZE_TEXT], added[MLIMG_CLI_TIME_TEXT];

	printf("%-9s %s %s\n", mlimg_kind_name(info->kind), info->name, info->version);
	if (n_named > 1)
		printf("%-9s the newest added of %zu\n", "", n_named);
	printf("%-9s %s\n", "build", info->build_id);
	if (info->kind == MLIMG_PATCH)
		printf("%-9s %s\n%-9s %s\n", "base", info->base, "result", info->result);
	for (size_t i = 0; i < info->n_over; i++)
		printf("%-9s %s\n", i ? "" : "over", info->over[i]);
	if (layer->root_hash[0])
		printf("%-9s %s\n", "root hash", layer->root_hash);
	printf("%-9s %s (%" PRIu64 " bytes)\n", "size",
		mlimg_cli_format_size(layer->size_bytes, size), layer->size_bytes);
	printf("%-9s %s UTC\n", "added", mlimg_cli_format_time(layer->added_s, added));
	printf("%-9s ", "image");
	mlimg_cli_put_safe(stdout, path ? path : "");
	putchar('\n');
	for (size_t i = 0; i < json_array_size(users); i++)
		printf("%-9s %s\n", i ? "" : "used by",
			json_string_value(json_array_get(users, i)));
}

static int show_layer(struct mlimg_store *store, const struct mlimg_store_options *o,
	const struct mlimg_store_layer *layer, size_t n_named, struct mlimg_err *err)
{
	mlimg_autojson json_t *users = json_array(), *report = NULL;
	int ret;

	if (!users)
		return mlimg_err_set(err, ENOMEM, "show a layer");
	ret = mlimg_store_layer_users(store, layer, collect_user, users, err);
	if (ret < 0)
		return ret;
	if (!o->json) {
		put_layer(store, layer, n_named, users);
		return 0;
	}
	report = mlimg_store_layer_json(store, layer);
	if (!report || json_object_set(report, "used_by", users) < 0)
		return mlimg_err_set(err, ENOMEM, "show a layer");
	return mlimg_store_put_json(mlimg_steal(&report), err);
}

int mlimg_store_cmd_show(
	struct mlimg_store *store, const struct mlimg_store_options *o, struct mlimg_err *err)
{
	mlimg_autostorelayer struct mlimg_store_layer layer = {.size_bytes = 0};
	size_t n_named = 0;
	int ret = mlimg_store_layer_find(store, o->operands[0], 0, &layer, &n_named, err);

	return ret < 0 ? ret : show_layer(store, o, &layer, n_named, err);
}

static int remove_one(struct mlimg_store *store, const struct mlimg_store_layer *layer,
	size_t n_named, struct mlimg_err *err)
{
	char text[MLIMG_STORE_LAYER_TEXT];
	int ret = mlimg_store_layer_remove(store, layer->info.build_id, err);

	if (ret < 0)
		return ret;
	printf("removed %s", mlimg_store_layer_text(&layer->info, text));
	if (n_named > 1)
		printf(", the newest added of %zu", n_named);
	putchar('\n');
	return 0;
}

int mlimg_store_cmd_remove(
	struct mlimg_store *store, const struct mlimg_store_options *o, struct mlimg_err *err)
{
	struct mlimg_store_layer *layers = calloc(o->n_operands, sizeof(*layers));
	mlimg_autofree size_t *n_named = calloc(o->n_operands, sizeof(*n_named));
	size_t n = 0;
	int ret = 0;

	if (!layers || !n_named)
		ret = mlimg_err_set(err, ENOMEM, "remove layers");
	for (size_t i = 0; ret == 0 && i < o->n_operands; i++) {
		ret = mlimg_store_layer_find(
			store, o->operands[i], 0, &layers[n], &n_named[n], err);
		for (size_t k = 0; ret == 0 && k < n; k++)
			if (strcmp(layers[k].info.build_id, layers[n].info.build_id) == 0)
				ret = mlimg_store_fail(
					err, EINVAL, "'%.64s' is given twice", o->operands[i]);
		n += ret == 0;
	}
	for (size_t i = 0; ret == 0 && i < n; i++)
		ret = remove_one(store, &layers[i], n_named[i], err);
	for (size_t i = 0; layers && i < o->n_operands; i++)
		mlimg_store_layer_done(&layers[i]);
	free(layers);
	return ret;
}
