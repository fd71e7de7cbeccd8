/* SPDX-License-Identifier: MIT */
/* stack.json: the one place of the stack module that knows jansson. */
#include <errno.h>
#include <string.h>

#include "libmlimg/json.h"
#include "libmlimg/stack.h"

static int get_layer(const json_t *json, struct mlimg_layer_info *ret_info, struct mlimg_err *err)
{
	mlimg_autofree char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

	if (!text)
		return mlimg_err_set(err, ENOMEM, "read layer.json");
	return mlimg_layer_from_json(text, strlen(text), ret_info, err);
}

static int get_layers(const json_t *json, struct mlimg_stack_infos *infos,
	struct mlimg_stack *stack, struct mlimg_err *err)
{
	const json_t *list = json_object_get(json, "stack");
	size_t n = json_array_size(list);

	if (!json_is_array(list) || n == 0 || n > MLIMG_STACK_LAYERS_MAX)
		return mlimg_err_refuse(
			err, "'stack' is no list of 1 to %d layers", MLIMG_STACK_LAYERS_MAX);
	for (size_t i = 0; i < n; i++) {
		int r = get_layer(json_array_get(list, i), &infos->layers[i], err);

		if (r == 0) {
			infos->n_layers++;
			r = infos->layers[i].kind == MLIMG_USER
				? mlimg_err_refuse(err, "a user layer in an index")
				: mlimg_stack_push(stack, &infos->layers[i], err);
		}
		if (r < 0)
			return mlimg_err_wrap(err, r, "layer %zu", i);
	}
	return 0;
}

static int fill(const json_t *json, struct mlimg_stack_infos *infos, struct mlimg_err *err)
{
	char said[MLIMG_SHA256_HEX_SIZE], is[MLIMG_SHA256_HEX_SIZE];
	struct mlimg_stack stack = {.n_layers = 0};
	json_int_t format;
	int r = mlimg_json_get_integer("stack.json", json, "format", 0, &format, err);

	if (r < 0)
		return r;
	if (format != MLIMG_STACK_FORMAT)
		return mlimg_err_refuse(
			err, "stack.json: format %lld is unknown", (long long)format);
	r = mlimg_json_get_text("stack.json", json, "stack_id", said, sizeof(said), err);
	if (r < 0)
		return r;
	r = get_layers(json, infos, &stack, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "stack.json");
	mlimg_stack_id(&stack, is);
	if (strcmp(said, is) != 0)
		return mlimg_err_refuse(err,
			"stack.json: its stack id is '%.64s', but its layers' is %s", said, is);
	return 0;
}

int mlimg_stack_from_json(
	const char *text, size_t size, struct mlimg_stack_infos *ret_infos, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_stack_infos_done) struct mlimg_stack_infos infos = {.n_layers = 0};
	mlimg_autojson json_t *json = NULL;
	int r;

	if (size > MLIMG_STACK_JSON_MAX)
		return mlimg_err_refuse(
			err, "stack.json is longer than %d bytes", MLIMG_STACK_JSON_MAX);
	r = mlimg_json_load("stack.json", text, size, &json, err);
	if (r == 0)
		r = fill(json, &infos, err);
	if (r < 0)
		return r;
	*ret_infos = infos;
	infos.n_layers = 0;
	return 0;
}

void mlimg_stack_infos_done(struct mlimg_stack_infos *infos)
{
	for (size_t i = 0; i < infos->n_layers; i++)
		mlimg_layer_info_done(&infos->layers[i]);
	infos->n_layers = 0;
}
