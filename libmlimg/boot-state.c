/* SPDX-License-Identifier: MIT */
/* state.json: what a user layer last ran on. */
#include <errno.h>
#include <string.h>

#include "libmlimg/boot-impl.h"

int mlimg_boot_state_to_json(
	const struct mlimg_boot_state *state, char **ret_text, struct mlimg_err *err)
{
	mlimg_autojson json_t *json = json_object();
	int r = 0;

	r |= json_object_set_new(json, "format", json_integer(MLIMG_BOOT_FORMAT));
	r |= json_object_set_new(json, "generation", json_integer((json_int_t)state->generation));
	r |= mlimg_boot_json_set_stack(json, &state->stack, NULL);
	r |= json_object_set_new(json, "base_sha256", json_string(state->base_sha256));
	r |= json_object_set_new(
		json, "base_size_bytes", json_integer((json_int_t)state->base_size_bytes));
	if (state->texts_sha256[0]) {
		r |= json_object_set_new(json, "texts_sha256", json_string(state->texts_sha256));
		r |= json_object_set_new(json, "texts_size_bytes",
			json_integer((json_int_t)state->texts_size_bytes));
	}
	return mlimg_boot_json_dump(r == 0 ? json : NULL, "state.json", ret_text, err);
}

static int get_digest(const json_t *json, const char *key, char ret_hex[MLIMG_SHA256_HEX_SIZE],
	struct mlimg_err *err)
{
	uint8_t digest[MLIMG_SHA256_SIZE];
	int r = mlimg_json_get_text("state.json", json, key, ret_hex, MLIMG_SHA256_HEX_SIZE, err);

	if (r < 0)
		return r;
	if (!mlimg_sha256_is_hex(ret_hex, digest))
		return mlimg_err_refuse(err, "state.json: '%s' is no digest", key);
	return 0;
}

static int get_name(const json_t *json, const char *key, char ret_name[MLIMG_LAYER_NAME_MAX + 1],
	struct mlimg_err *err)
{
	int r = mlimg_json_get_text(
		"state.json", json, key, ret_name, MLIMG_LAYER_NAME_MAX + 1, err);

	if (r < 0)
		return r;
	if (!mlimg_layer_name_is_valid(ret_name))
		return mlimg_err_refuse(err, "state.json: '%s' is no valid %s", ret_name, key);
	return 0;
}

static int get_layer(const json_t *json, struct mlimg_boot_layer *layer, struct mlimg_err *err)
{
	char kind[16];
	int r = mlimg_json_get_text("state.json", json, "kind", kind, sizeof(kind), err);

	if (r < 0)
		return r;
	layer->kind = mlimg_kind_of(kind);
	if (!layer->kind || layer->kind == MLIMG_USER)
		return mlimg_err_refuse(err, "state.json: kind '%s' in a stack", kind);
	r = get_name(json, "name", layer->name, err);
	if (r < 0)
		return r;
	r = get_name(json, "version", layer->version, err);
	if (r < 0)
		return r;
	r = get_digest(json, "build_id", layer->build_id, err);
	if (r == 0 && layer->kind == MLIMG_PATCH)
		r = get_digest(json, "result", layer->result, err);
	return r;
}

static int get_stack(const json_t *json, struct mlimg_boot_stack *stack, struct mlimg_err *err)
{
	const json_t *layers = json_object_get(json, "stack");
	size_t n = json_array_size(layers);
	int r = mlimg_json_get_text(
		"state.json", json, "union", stack->union_driver, sizeof(stack->union_driver), err);

	if (r < 0)
		return r;
	r = get_digest(json, "stack_id", stack->stack_id, err);
	if (r == 0 && json_object_get(json, "composed"))
		r = get_digest(json, "composed", stack->composed, err);
	if (r < 0)
		return r;
	if (!json_is_array(layers) || n == 0 || n > MLIMG_BOOT_LAYERS_MAX)
		return mlimg_err_refuse(err, "state.json: 'stack' is no list of 1 to %d layers",
			MLIMG_BOOT_LAYERS_MAX);
	for (size_t i = 0; i < n; i++) {
		r = get_layer(json_array_get(layers, i), &stack->layers[i], err);
		if (r < 0)
			return r;
	}
	stack->n_layers = n;
	return 0;
}

static int fill(const json_t *json, struct mlimg_boot_state *state, struct mlimg_err *err)
{
	json_int_t format, generation, size_bytes;
	int r = mlimg_json_get_integer("state.json", json, "format", 0, &format, err);

	if (r < 0)
		return r;
	if (format != MLIMG_BOOT_FORMAT)
		return mlimg_err_refuse(
			err, "state.json: format %lld is unknown", (long long)format);
	r = mlimg_json_get_integer("state.json", json, "generation", 1, &generation, err);
	if (r < 0)
		return r;
	if (generation > MLIMG_BOOT_GENERATION_MAX)
		return mlimg_err_refuse(
			err, "state.json: 'generation' is %lld", (long long)generation);
	state->generation = (uint64_t)generation;
	r = get_stack(json, &state->stack, err);
	if (r < 0)
		return r;
	r = mlimg_json_get_integer("state.json", json, "base_size_bytes", 0, &size_bytes, err);
	if (r < 0)
		return r;
	state->base_size_bytes = (uint64_t)size_bytes;
	r = get_digest(json, "base_sha256", state->base_sha256, err);
	if (r < 0 || !json_object_get(json, "texts_sha256"))
		return r;
	r = mlimg_json_get_integer("state.json", json, "texts_size_bytes", 0, &size_bytes, err);
	if (r < 0)
		return r;
	state->texts_size_bytes = (uint64_t)size_bytes;
	return get_digest(json, "texts_sha256", state->texts_sha256, err);
}

int mlimg_boot_state_from_json(
	const char *text, size_t size, struct mlimg_boot_state *ret_state, struct mlimg_err *err)
{
	struct mlimg_boot_state state = {0};
	mlimg_autojson json_t *json = NULL;
	int r;

	if (size > MLIMG_BOOT_STATE_MAX)
		return mlimg_err_refuse(
			err, "state.json is longer than %d bytes", MLIMG_BOOT_STATE_MAX);
	r = mlimg_json_load("state.json", text, size, &json, err);
	if (r < 0)
		return r;
	r = fill(json, &state, err);
	if (r < 0)
		return r;
	*ret_state = state;
	return 0;
}
