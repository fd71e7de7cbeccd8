/* SPDX-License-Identifier: MIT */
/**
 * @file layer-lists.h
 * The lists of a layer's description, for layer.c; what is for others is in layer.h.
 */
#ifndef MLIMG_LAYER_LISTS_H
#define MLIMG_LAYER_LISTS_H

#include "libmlimg/layer.h"

/** Free records and caches to be rebuilt. */
void mlimg_layer_lists_done(struct mlimg_layer_info *info);

#endif
