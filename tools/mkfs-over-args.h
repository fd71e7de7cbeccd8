/* SPDX-License-Identifier: MIT */
/**
 * @file mkfs-over-args.h
 * What mlimg-mkfs is told about the layers beneath a software layer: --over and --partial.
 */
#ifndef MLIMG_TOOLS_MKFS_OVER_ARGS_H
#define MLIMG_TOOLS_MKFS_OVER_ARGS_H

#include "tools/mkfs-build.h"

/** Images that were named, and what is made of them. Zero it to begin with. */
struct mlimg_over_args {
	char *images[MLIMG_STACK_LAYERS_MAX]; /**< bottom first; owned */
	size_t n_images;
	struct mlimg_beneath *beneath; /**< owned */
	struct mlimg_over over;
};

/**
 * Take the argument of one --over.
 *
 * @param args  gets names of images
 * @param list  images and build ids, with commas
 * @param info  gets build ids
 * @param err   MLIMG_ERR_USAGE: an empty name, too many
 */
int mlimg_over_args_add(struct mlimg_over_args *args, const char *list,
	struct mlimg_layer_info *info, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Whether what was given may stand together.
 *
 * @param args   all of it
 * @param info   kind and build ids
 * @param image  the layer's, which must not be one beneath it
 * @param err    MLIMG_ERR_USAGE
 */
int mlimg_over_args_check(const struct mlimg_over_args *args, const struct mlimg_layer_info *info,
	const char *image, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Open the images, if there are any; let the layer be compared with them, and be bound to them.
 *
 * @param args   must live as long as the build
 * @param build  gets what lies beneath
 * @param info   gets the build ids
 * @param err    as mlimg_beneath_open()
 */
int mlimg_over_args_open(struct mlimg_over_args *args, struct mlimg_build *build,
	struct mlimg_layer_info *info, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what they own. */
void mlimg_over_args_done(struct mlimg_over_args *args);

#endif
