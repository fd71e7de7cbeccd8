/* SPDX-License-Identifier: MIT */
/**
 * @file upgrade-stack.h
 * A stack of the store's layers as a boot will show it, read from their images: the merged
 * manifest, with what is composed above the layers (libmlimg/compose.h), and contents of files.
 * Once it is open several threads may use it.
 */
#ifndef MLIMG_TOOLS_UPGRADE_STACK_H
#define MLIMG_TOOLS_UPGRADE_STACK_H

#include "libmlimg/boot.h"
#include "tools/tenant-stack.h"
#include "tools/upgrade-protect.h"

/** A stack. */
struct mlimg_upgrade_stack;

/**
 * Open a stack's images.
 *
 * @param store   the store
 * @param layers  the stack; copied
 * @param ret     mlimg_upgrade_stack_close() it
 * @param err     names the image, or a declaration that a boot would refuse
 * @return        0, -EUCLEAN, other -errno
 */
int mlimg_upgrade_stack_open(const struct mlimg_store *store,
	const struct mlimg_tenant_stack *layers, struct mlimg_upgrade_stack **ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Close it; accepts NULL. */
void mlimg_upgrade_stack_close(struct mlimg_upgrade_stack *stack);

/** @return whether it is of these layers */
bool mlimg_upgrade_stack_is_of(
	const struct mlimg_upgrade_stack *stack, const struct mlimg_tenant_stack *layers);

/** @return what it shows */
const struct mlimg_manifest *mlimg_upgrade_stack_manifest(const struct mlimg_upgrade_stack *stack);

/** @return what a boot writes down of it, but for the union driver */
const struct mlimg_boot_stack *mlimg_upgrade_stack_boot(const struct mlimg_upgrade_stack *stack);

/** @return what its layers protect from their users */
const struct mlimg_protected *mlimg_upgrade_stack_protected(
	const struct mlimg_upgrade_stack *stack);

/** @return bytes that its manifest takes as text, and what is kept of its texts, about */
uint64_t mlimg_upgrade_stack_base_bytes(const struct mlimg_upgrade_stack *stack);

/**
 * Read a file that it shows.
 *
 * @param stack     the stack
 * @param path      where it shows
 * @param digest    of its contents
 * @param max       bytes that it may have
 * @param ret_data  free() it; a NUL is behind it
 * @param ret_size  bytes
 * @return          0; -ENOENT: there is none with these contents; -EFBIG, -ENOMEM, other -errno
 */
int mlimg_upgrade_stack_read(struct mlimg_upgrade_stack *stack, const char *path,
	const uint8_t digest[MLIMG_SHA256_SIZE], size_t max, char **ret_data,
	size_t *ret_size) MLIMG_MUST_CHECK;

#endif
