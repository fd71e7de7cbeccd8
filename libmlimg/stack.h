/* SPDX-License-Identifier: MIT */
/**
 * @file stack.h
 * A stack: one system layer, software layers above it, one user layer on top. This module knows the
 * rules of what may stand on what and the stack's identity; it does not mount anything.
 *
 * The stack id is the SHA-256 of the build ids of the read-only layers, bottom first, each followed
 * by a newline. The user layer is not part of it: two tenants on the same layers have the same
 * stack id.
 */
#ifndef MLIMG_STACK_H
#define MLIMG_STACK_H

#include <stdbool.h>
#include <stddef.h>

#include "libmlimg/layer.h"

#define MLIMG_STACK_SOFTWARE_MAX 64 /**< software layers of one stack; the boot protocol's limit */

/** A stack under construction. Zero it to begin with. */
struct mlimg_stack {
	const struct mlimg_layer_info
		*layers[1 + MLIMG_STACK_SOFTWARE_MAX]; /**< bottom first; not owned */
	size_t n_layers;
	const struct mlimg_layer_info *user; /**< or NULL; not owned */
};

/**
 * Put a layer on top. Refused: a system layer that is not the first, a software or user layer
 * without a system beneath, anything above a user layer, the same build id twice, more than
 * MLIMG_STACK_SOFTWARE_MAX software layers.
 *
 * @param stack  the stack
 * @param info   with its build id; must live as long as the stack
 * @param err    names the layer
 * @return       0, -EUCLEAN
 */
int mlimg_stack_push(struct mlimg_stack *stack, const struct mlimg_layer_info *info,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The stack id of the read-only layers. */
void mlimg_stack_id(const struct mlimg_stack *stack, char ret_id[MLIMG_SHA256_HEX_SIZE]);

/**
 * Whether every software layer stands on what it was built over: its "over" ids must be found among
 * the layers beneath it, in the same order; others may lie between. A new system version beneath
 * makes the answer no: that is for the caller to judge.
 *
 * @param stack        the stack
 * @param ret_layer    when the answer is no: the layer (index into layers) that was built over
 *                     something else
 * @param ret_missing  when the answer is no: the build id that is not beneath it, or not in this
 *                     place; points into the layer
 * @return             true when all do
 */
bool mlimg_stack_is_built_over(
	const struct mlimg_stack *stack, size_t *ret_layer, const char **ret_missing);

#endif
