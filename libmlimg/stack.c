/* SPDX-License-Identifier: MIT */
#include "libmlimg/stack.h"

#include <string.h>

/*
 * How a message names a layer: kind, name, version and the short id that is also its disk's serial.
 */
#define LAYER "%s layer '%s' %s (%.20s)"
#define LAYER_ARGS(info) \
	mlimg_kind_name((info)->kind), (info)->name, (info)->version, (info)->build_id

static int check_new(
	const struct mlimg_stack *stack, const struct mlimg_layer_info *info, struct mlimg_err *err)
{
	if (stack->user)
		return mlimg_err_refuse(
			err, LAYER ": nothing can lie above a user layer", LAYER_ARGS(info));
	if (info->kind == MLIMG_SYSTEM && stack->n_layers > 0)
		return mlimg_err_refuse(
			err, LAYER ": a system layer can only be the lowest", LAYER_ARGS(info));
	if (info->kind != MLIMG_SYSTEM && stack->n_layers == 0)
		return mlimg_err_refuse(err, LAYER ": no system layer beneath", LAYER_ARGS(info));
	if (info->kind == MLIMG_USER)
		return 0;
	for (size_t i = 0; i < stack->n_layers; i++)
		if (strcmp(stack->layers[i]->build_id, info->build_id) == 0)
			return mlimg_err_refuse(
				err, LAYER ": is in the stack twice", LAYER_ARGS(info));
	if (stack->n_layers > MLIMG_STACK_SOFTWARE_MAX)
		return mlimg_err_refuse(err, LAYER ": more than %d software layers",
			LAYER_ARGS(info), MLIMG_STACK_SOFTWARE_MAX);
	return 0;
}

int mlimg_stack_push(
	struct mlimg_stack *stack, const struct mlimg_layer_info *info, struct mlimg_err *err)
{
	int r = check_new(stack, info, err);

	if (r < 0)
		return r;
	if (info->kind == MLIMG_USER)
		stack->user = info;
	else
		stack->layers[stack->n_layers++] = info;
	return 0;
}

void mlimg_stack_id(const struct mlimg_stack *stack, char ret_id[MLIMG_SHA256_HEX_SIZE])
{
	uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_sha256 sha;

	mlimg_sha256_init(&sha);
	for (size_t i = 0; i < stack->n_layers; i++) {
		const char *id = stack->layers[i]->build_id;

		mlimg_sha256_add(&sha, id, strlen(id));
		mlimg_sha256_add(&sha, "\n", 1);
	}
	mlimg_sha256_end(&sha, digest);
	mlimg_sha256_hex(digest, ret_id);
}

/* An ordered part: each is found above where the one before it was. */
static const char *first_missing(const struct mlimg_stack *stack, size_t layer)
{
	const struct mlimg_layer_info *info = stack->layers[layer];
	size_t at = 0;

	for (size_t i = 0; i < info->n_over; i++) {
		while (at < layer && strcmp(stack->layers[at]->build_id, info->over[i]) != 0)
			at++;
		if (at++ == layer)
			return info->over[i];
	}
	return NULL;
}

bool mlimg_stack_is_built_over(
	const struct mlimg_stack *stack, size_t *ret_layer, const char **ret_missing)
{
	for (size_t i = 0; i < stack->n_layers; i++) {
		const char *missing = first_missing(stack, i);

		if (missing) {
			*ret_layer = i;
			*ret_missing = missing;
			return false;
		}
	}
	return true;
}
