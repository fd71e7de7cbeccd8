/* SPDX-License-Identifier: MIT */
#include "tools/mkfs-over-args.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "tools/outfile.h"

static int too_many(size_t max, struct mlimg_err *err)
{
	return mlimg_err_usage(err, "--over: more than %zu layers", max);
}

static int add_one(struct mlimg_over_args *args, const char *name, size_t size,
	struct mlimg_layer_info *info, struct mlimg_err *err)
{
	mlimg_autofree char *copy = strndup(name, size);
	uint8_t digest[MLIMG_SHA256_SIZE];

	if (!copy)
		return mlimg_err_set(err, ENOMEM, "--over");
	if (!size)
		return mlimg_err_usage(err, "--over: an empty name");
	if (mlimg_sha256_is_hex(copy, digest)) {
		if (info->n_over == MLIMG_LAYER_OVER_MAX)
			return too_many(MLIMG_LAYER_OVER_MAX, err);
		return mlimg_layer_add_over(info, copy, err);
	}
	if (args->n_images == MLIMG_STACK_LAYERS_MAX)
		return too_many(MLIMG_STACK_LAYERS_MAX, err);
	args->images[args->n_images++] = mlimg_steal(&copy);
	return 0;
}

int mlimg_over_args_add(struct mlimg_over_args *args, const char *list,
	struct mlimg_layer_info *info, struct mlimg_err *err)
{
	size_t size;
	int r;

	do {
		size = strcspn(list, ",");
		r = add_one(args, list, size, info, err);
		list += size;
	} while (r == 0 && *list++);
	return r;
}

int mlimg_over_args_check(const struct mlimg_over_args *args, const struct mlimg_layer_info *info,
	const char *image, struct mlimg_err *err)
{
	if ((info->n_over || args->n_images) && info->kind != MLIMG_SOFTWARE)
		return mlimg_err_usage(err, "--over is for software layers");
	if (info->n_over && args->n_images)
		return mlimg_err_usage(err, "--over takes images or build ids, not both");
	if (args->over.is_partial && !args->n_images)
		return mlimg_err_usage(err, "--partial needs --over with images");
	for (size_t i = 0; i < args->n_images; i++)
		if (mlimg_outfile_is_input(image, args->images[i]))
			return mlimg_err_usage(err, "'%s' is both beneath and the image", image);
	return 0;
}

int mlimg_over_args_open(struct mlimg_over_args *args, struct mlimg_build *build,
	struct mlimg_layer_info *info, struct mlimg_err *err)
{
	const char *ids[1 + MLIMG_STACK_SOFTWARE_MAX];
	size_t n;
	int r;

	if (!args->n_images)
		return 0;
	r = mlimg_beneath_open(
		(const char *const *)args->images, args->n_images, &args->beneath, err);
	if (r < 0)
		return r;
	build->beneath = args->beneath;
	build->over = &args->over;
	n = mlimg_stack_ids(mlimg_beneath_stack(args->beneath), ids);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = mlimg_layer_add_over(info, ids[i], err);
	return r;
}

void mlimg_over_args_done(struct mlimg_over_args *args)
{
	mlimg_over_done(&args->over);
	mlimg_beneath_free(args->beneath);
	for (size_t i = 0; i < args->n_images; i++)
		free(args->images[i]);
	*args = (struct mlimg_over_args){.n_images = 0};
}
