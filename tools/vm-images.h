/* SPDX-License-Identifier: MIT */
/**
 * @file vm-images.h
 * The images of a guest, looked into before it is started: what they are, and whether they make a
 * stack.
 */
#ifndef MLIMG_VM_IMAGES_H
#define MLIMG_VM_IMAGES_H

#include "tools/vm-options.h"

/** Descriptions of a guest's layers. Zero it to begin with. */
struct mlimg_vm_images {
	struct mlimg_layer_info
		infos[MLIMG_VM_DISKS_MAX]; /**< system, patches, software, user; bottom first */
	size_t n;
	struct mlimg_stack
		stack; /**< points into @p infos; without the user when that is a qcow2 */
	/** or may be: the guest makes the user layer, of which @p infos tells */
	bool is_user_blank;
};

/**
 * Read the descriptions. Refused (kind MLIMG_ERR_REFUSED): an image that is no sound layer, one of
 * another kind than its place asks for, or not the build that its keeper says, a stack that breaks stack.h's rules. A software layer that
 * was built over something else is only warned of.
 *
 * @param options  which images
 * @param ret      mlimg_vm_images_done() when done, also after a failure
 * @return         0 or -errno
 */
int mlimg_vm_images_load(const struct mlimg_vm_options *options, struct mlimg_vm_images *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the path of image @p i, in the order of mlimg_vm_images.infos */
const char *mlimg_vm_image_path(const struct mlimg_vm_options *options, size_t i);

/**
 * Check that a user layer, of whatever format, can be written and is not in use.
 *
 * @param path          the image
 * @param is_only_read  it need not be written, and may be in use by others who only read it
 * @param err           names it
 * @return              0 or -errno
 */
int mlimg_vm_user_check(
	const char *path, bool is_only_read, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what is owned. */
void mlimg_vm_images_done(struct mlimg_vm_images *images);

/**
 * "debian 12.1 + nginx 1.22": the read-only layers, a system with patches as the one that they
 * show, bottom first; cut at @p size.
 */
void mlimg_vm_images_describe(const struct mlimg_vm_images *images, char *ret_text, size_t size);

#endif
