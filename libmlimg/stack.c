/* SPDX-License-Identifier: MIT */
#include "libmlimg/stack.h"

#include <string.h>

/*
 * How a message names a layer: kind, name, version and the short id that is also its disk's serial.
 */
#define LAYER "%s layer '%s' %s (%.20s)"
#define LAYER_ARGS(info) \
	mlimg_kind_name((info)->kind), (info)->name, (info)->version, (info)->build_id

/* A patch fits one system only: on another it would show what never was. */
static int check_patch(
	const struct mlimg_stack *stack, const struct mlimg_layer_info *info, struct mlimg_err *err)
{
	const char *id = mlimg_stack_system_id(stack);

	if (stack->n_layers > 1 + stack->n_patches)
		return mlimg_err_refuse(
			err, LAYER ": a patch cannot lie above software", LAYER_ARGS(info));
	if (strcmp(info->base, id) != 0)
		return mlimg_err_refuse(err,
			LAYER ": is a patch for system %.20s, and this one is %.20s",
			LAYER_ARGS(info), info->base, id);
	if (stack->n_patches == MLIMG_STACK_PATCH_MAX)
		return mlimg_err_refuse(err, LAYER ": more than %d patches", LAYER_ARGS(info),
			MLIMG_STACK_PATCH_MAX);
	return 0;
}

static int check_twice(
	const struct mlimg_stack *stack, const struct mlimg_layer_info *info, struct mlimg_err *err)
{
	for (size_t i = 0; i < stack->n_layers; i++)
		if (strcmp(stack->layers[i]->build_id, info->build_id) == 0)
			return mlimg_err_refuse(
				err, LAYER ": is in the stack twice", LAYER_ARGS(info));
	return 0;
}

static int check_new(
	const struct mlimg_stack *stack, const struct mlimg_layer_info *info, struct mlimg_err *err)
{
	int r;

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
	r = check_twice(stack, info, err);
	if (r < 0)
		return r;
	if (info->kind == MLIMG_PATCH)
		return check_patch(stack, info, err);
	if (stack->n_layers - stack->n_patches > MLIMG_STACK_SOFTWARE_MAX)
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
	stack->n_patches += info->kind == MLIMG_PATCH;
	return 0;
}

const char *mlimg_stack_system_id(const struct mlimg_stack *stack)
{
	if (stack->n_patches)
		return stack->layers[stack->n_patches]->result;
	return stack->n_layers ? stack->layers[0]->build_id : "";
}

/* The id that layer @i has in the stack, NULL where it is counted with the layers above it. */
static const char *id_of(const struct mlimg_stack *stack, size_t i)
{
	if (i < stack->n_patches)
		return NULL;
	return i == stack->n_patches ? mlimg_stack_system_id(stack) : stack->layers[i]->build_id;
}

size_t mlimg_stack_ids(
	const struct mlimg_stack *stack, const char *ret_ids[1 + MLIMG_STACK_SOFTWARE_MAX])
{
	size_t n = 0;

	for (size_t i = stack->n_patches; i < stack->n_layers; i++)
		ret_ids[n++] = id_of(stack, i);
	return n;
}

void mlimg_stack_id(const struct mlimg_stack *stack, char ret_id[MLIMG_SHA256_HEX_SIZE])
{
	const char *ids[1 + MLIMG_STACK_SOFTWARE_MAX];
	size_t n = mlimg_stack_ids(stack, ids);
	uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_sha256 sha;

	mlimg_sha256_init(&sha);
	for (size_t i = 0; i < n; i++) {
		mlimg_sha256_add(&sha, ids[i], strlen(ids[i]));
		mlimg_sha256_add(&sha, "\n", 1);
	}
	mlimg_sha256_end(&sha, digest);
	mlimg_sha256_hex(digest, ret_id);
}

/* An ordered part: each is found above where the one before it was. */
static const char *first_missing(const struct mlimg_stack *stack, size_t layer)
{
	const struct mlimg_layer_info *info = stack->layers[layer];
	size_t at = stack->n_patches;

	for (size_t i = 0; i < info->n_over; i++) {
		while (at < layer && strcmp(id_of(stack, at), info->over[i]) != 0)
			at++;
		if (at++ >= layer)
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
