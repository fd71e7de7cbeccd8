/* SPDX-License-Identifier: MIT */
/**
 * @file user-layer.h
 * An empty user layer: what makes it this one, known before there is one. So a host can name a
 * layer that its guest will make on a blank disk (guest-agent/format.h), and the guest can see that
 * it makes the right one.
 *
 * It is what `SOURCE_DATE_EPOCH=0 mlimg-mkfs --kind user --name NAME --instance INSTANCE` makes:
 * version "0", one directory of root's with mode 0755, time 0. The build id follows from that as of
 * every layer (layer.h).
 */
#ifndef MLIMG_USER_LAYER_H
#define MLIMG_USER_LAYER_H

#include "libmlimg/layer.h"

#define MLIMG_USER_MANIFEST_SIZE 512 /**< bytes of the manifest, NUL included */

/** An empty user layer. Nothing in it is to be freed. */
struct mlimg_user_layer {
	struct mlimg_layer_info info; /**< with its build id */
	char manifest[MLIMG_USER_MANIFEST_SIZE];
};

/**
 * Describe it.
 *
 * @param name      see mlimg_layer_name_is_valid()
 * @param instance  see mlimg_layer_instance_is_valid()
 * @param ret       filled on success
 * @param err       of kind MLIMG_ERR_USAGE: which of both is not valid
 * @return          0, -EINVAL
 */
int mlimg_user_layer_describe(const char *name, const char *instance, struct mlimg_user_layer *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * As mlimg_user_layer_describe(), from one word.
 *
 * @param text  "NAME:INSTANCE"; a name may have colons itself
 */
int mlimg_user_layer_parse(
	const char *text, struct mlimg_user_layer *ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
