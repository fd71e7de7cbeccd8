/* SPDX-License-Identifier: MIT */
/**
 * @file compose-images.h
 * Databases composed across layers (libmlimg/compose.h), out of layer images.
 */
#ifndef MLIMG_TOOLS_COMPOSE_IMAGES_H
#define MLIMG_TOOLS_COMPOSE_IMAGES_H

#include "libmlimg/compose.h"
#include "libmlimg/stack.h"
#include "tools/ext4-read.h"

/** Layer images, to be composed. Zero it to begin with. */
struct mlimg_compose_images {
	struct mlimg_compose_layers layers;
	struct mlimg_ext4 *images[MLIMG_STACK_LAYERS_MAX];
	const struct mlimg_layer_info *infos[MLIMG_STACK_LAYERS_MAX];
	const struct mlimg_manifest *manifests[MLIMG_STACK_LAYERS_MAX];
};

/**
 * Put a layer on top; after the last one, @p c->layers is what libmlimg/compose.h wants. Nothing is
 * owned, and @p c must stay where it is.
 *
 * @param c         at most MLIMG_STACK_LAYERS_MAX times
 * @param image     open
 * @param info      its description
 * @param manifest  its manifest
 */
void mlimg_compose_images_push(struct mlimg_compose_images *c, struct mlimg_ext4 *image,
	const struct mlimg_layer_info *info, const struct mlimg_manifest *manifest);

#endif
