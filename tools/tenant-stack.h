/* SPDX-License-Identifier: MIT */
/**
 * @file tenant-stack.h
 * Which layers of the store a tenant shall run on: from what somebody says, and what it runs on
 * already, to a stack (libmlimg/stack.h). Nothing is changed here.
 *
 * A name without a version means the newest added that fits; of a software layer that is there
 * several times, built over different systems, the one that was built over what lies beneath it
 * here. A system that the store has as a patch brings what the patch lies over.
 */
#ifndef MLIMG_TOOLS_TENANT_STACK_H
#define MLIMG_TOOLS_TENANT_STACK_H

#include "tools/tenant.h"

#define MLIMG_TENANT_STACK_TEXT 256 /**< bytes of a stack's description, NUL included */

/** What somebody says; all texts as of mlimg_store_layer_find(). Zeroed: nothing. */
struct mlimg_stack_wish {
	const char *system;                         /**< NULL: that which it has */
	const char *patches[MLIMG_STACK_PATCH_MAX]; /**< on top of the system, bottom first */
	size_t n_patches;
	const char *software[MLIMG_STACK_SOFTWARE_MAX]; /**< instead of what it has */
	size_t n_software;
	bool no_software; /**< instead of what it has, nothing */
	/** Above what it has, or in the place of another version. */
	const char *add[MLIMG_STACK_SOFTWARE_MAX];
	size_t n_add;
	const char *remove[MLIMG_STACK_SOFTWARE_MAX]; /**< of what it has */
	size_t n_remove;
};

/** @return whether anything is said */
bool mlimg_stack_wish_is_empty(const struct mlimg_stack_wish *wish);

/** A stack of the store's layers. Zero it to begin with. */
struct mlimg_tenant_stack {
	struct mlimg_store_layer layers[MLIMG_STACK_LAYERS_MAX]; /**< bottom first; owned */
	struct mlimg_stack stack;                                /**< points into them */
};

/**
 * Choose the layers. What is kept of a tenant's software is the same version for another system,
 * where the store has it.
 *
 * @param store      the store
 * @param wish       what is wanted
 * @param was        what the tenant has; NULL: nothing yet, so that a system must be wished
 * @param ret_stack  zeroed; mlimg_tenant_stack_done() when done, also after a failure
 * @param err        names what the store, or the tenant, does not have; refused are layers that
 *                   make no stack; of kind MLIMG_ERR_USAGE: a software layer given twice
 * @return           0, -ENOENT, -ENOTUNIQ, -EUCLEAN, other -errno
 */
int mlimg_tenant_stack_choose(struct mlimg_store *store, const struct mlimg_stack_wish *wish,
	const struct mlimg_tenant *was, struct mlimg_tenant_stack *ret_stack,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_tenant_stack_done(struct mlimg_tenant_stack *stack);
#define mlimg_autotenantstack mlimg_cleanup(mlimg_tenant_stack_done) /**< its done() */

/** The build ids, bottom first; they point into @p stack. @return their number */
size_t mlimg_tenant_stack_ids(
	const struct mlimg_tenant_stack *stack, const char *ret_ids[MLIMG_STACK_LAYERS_MAX]);

/** "debian 12.1 + nginx 1.22": a system with patches as the one that they show. */
void mlimg_tenant_stack_describe(
	const struct mlimg_store_layer *layers, size_t n, char ret_text[MLIMG_TENANT_STACK_TEXT]);

/**
 * What may be wrong with a stack that is one.
 *
 * @param stack     the stack
 * @param ret_text  "software layer 'nginx 1.22' was built over ..."
 * @return          false when there is nothing to say
 */
bool mlimg_tenant_stack_doubt(
	const struct mlimg_tenant_stack *stack, char ret_text[MLIMG_ERR_TEXT_SIZE]);

#endif
