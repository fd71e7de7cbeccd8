/* SPDX-License-Identifier: MIT */
/**
 * @file stack.h
 * A stack: one system layer, patch layers upon it, software layers above them, one user layer on
 * top. This module knows the rules of what may stand on what and the stack's identity; it does not
 * mount anything.
 *
 * A system layer and its patches show exactly what the new system would as a layer of its own, and
 * count as that: the id of the system in a stack is the "result" of the topmost patch, else the
 * system layer's build id.
 *
 * The ids of a stack are that of its system and the build ids of the software layers, bottom first.
 * The stack id is the SHA-256 of these, each followed by a newline. The user layer is not part of
 * it: two tenants on the same layers have the same stack id, and so has one on a new system and one
 * on the old system with a patch.
 *
 * stack.json, in an index's /mlimg (tools/index-merge.h), keys in this order:
 *
 *     { "format": 1, "stack_id": "<64 hex>", "stack": [ layer.json of each layer, bottom first ] }
 *
 * Unknown keys are ignored; another "format" is refused.
 */
#ifndef MLIMG_STACK_H
#define MLIMG_STACK_H

#include <stdbool.h>
#include <stddef.h>

#include "libmlimg/layer.h"

#define MLIMG_STACK_SOFTWARE_MAX 64 /**< software layers of one stack; the boot protocol's limit */
/** Patches of one stack: each costs a disk, and lookups where the union is the kernel's. */
#define MLIMG_STACK_PATCH_MAX 16
/** Read-only layers of one stack. */
#define MLIMG_STACK_LAYERS_MAX (1 + MLIMG_STACK_PATCH_MAX + MLIMG_STACK_SOFTWARE_MAX)

#define MLIMG_STACK_FORMAT 1
#define MLIMG_STACK_JSON_MAX \
	(MLIMG_STACK_LAYERS_MAX * MLIMG_LAYER_JSON_MAX) /**< bytes that a reader accepts */

/** A stack under construction. Zero it to begin with. */
struct mlimg_stack {
	const struct mlimg_layer_info
		*layers[MLIMG_STACK_LAYERS_MAX]; /**< bottom first; not owned */
	size_t n_layers;
	size_t n_patches;
	const struct mlimg_layer_info *user; /**< or NULL; not owned */
};

/**
 * Put a layer on top. Refused: a system layer that is not the first, any other without a system
 * beneath, a patch above a software layer or whose base is not the system beneath it, anything
 * above a user layer, the same build id twice, more than MLIMG_STACK_SOFTWARE_MAX software layers
 * or MLIMG_STACK_PATCH_MAX patches.
 *
 * @param stack  the stack
 * @param info   with its build id; must live as long as the stack
 * @param err    names the layer
 * @return       0, -EUCLEAN
 */
int mlimg_stack_push(struct mlimg_stack *stack, const struct mlimg_layer_info *info,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the id of the system, "" when there is none yet; points into a layer */
const char *mlimg_stack_system_id(const struct mlimg_stack *stack);

/**
 * The ids of the stack, as a software layer that is built over it has them in "over".
 *
 * @param stack    the stack
 * @param ret_ids  bottom first; they point into the layers
 * @return         their number
 */
size_t mlimg_stack_ids(
	const struct mlimg_stack *stack, const char *ret_ids[1 + MLIMG_STACK_SOFTWARE_MAX]);

/** The stack id of the read-only layers. */
void mlimg_stack_id(const struct mlimg_stack *stack, char ret_id[MLIMG_SHA256_HEX_SIZE]);

/**
 * Whether every software layer stands on what it was built over: its "over" ids must be found among
 * the ids of the stack beneath it, in the same order; others may lie between. A new system version
 * beneath makes the answer no: that is for the caller to judge.
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

/** Descriptions of read-only layers, as stack.json holds them. Zero it to begin with. */
struct mlimg_stack_infos {
	struct mlimg_layer_info layers[MLIMG_STACK_LAYERS_MAX]; /**< bottom first; owned */
	size_t n_layers;
};

/**
 * Read stack.json. Refused is also what makes no stack, and a stack id that is not these layers'.
 *
 * @param text       bytes
 * @param size       their number, at most MLIMG_STACK_JSON_MAX
 * @param ret_infos  filled on success; mlimg_stack_infos_done() when done
 * @param err        "stack.json: ..."
 * @return           0, -EUCLEAN, -ENOMEM
 */
int mlimg_stack_from_json(const char *text, size_t size, struct mlimg_stack_infos *ret_infos,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what is owned; accepts a zeroed one. */
void mlimg_stack_infos_done(struct mlimg_stack_infos *infos);

#endif
