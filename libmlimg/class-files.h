/* SPDX-License-Identifier: MIT */
/**
 * @file class-files.h
 * Which files declare classes (path-class.h): NAME.conf in usr/lib/mlimg/reconcile.d, for who makes
 * a layer, and in etc/mlimg/reconcile.d, for whom it belongs to. All of them come after the
 * defaults, in this order, so that what comes later wins:
 *
 *     1. the layers': those that show on the new stack, usr/lib's first, then etc's, each by the byte order of names
 *     2. the user's own: in the same order
 *
 * A layer's file that a higher layer, or the user, has replaced or removed does not count. The
 * user's copy of what the old or the new stack has at the same path is not his own: it counts as
 * the layer's. Out of manifests and not of directories, so all union drivers see the same.
 */
#ifndef MLIMG_CLASS_FILES_H
#define MLIMG_CLASS_FILES_H

#include "libmlimg/path-class.h"
#include "libmlimg/upper-source.h"

#define MLIMG_CLASS_DIR "reconcile.d" /**< where the files lie, in etc/mlimg and usr/lib/mlimg */
#define MLIMG_CLASS_FILES_MAX 256     /**< files that are read of each directory of either side */

/** What is read. */
struct mlimg_class_files {
	const struct mlimg_manifest *stack;  /**< merged manifest of the new stack */
	const struct mlimg_manifest *before; /**< of the stack that the upper was written on */
	const struct mlimg_manifest *mine;   /**< the upper's entries; NULL: there is no upper */
	struct mlimg_upper_source *upper;    /**< the upper, unless @p mine is NULL */
	/** Reads a file of the new stack, as mlimg_reconcile_read_fn (reconcile-plan.h) */
	int (*read)(const char *path, const uint8_t digest[MLIMG_SHA256_SIZE], size_t max,
		void *ctx, char **ret_data, size_t *ret_size);
	void *read_ctx; /**< handed to @p read */
	/** Told why a file is left out; may be NULL */
	void (*left_out)(const struct mlimg_err *why, void *ctx);
	void *left_out_ctx; /**< handed to @p left_out */
};

/**
 * Read them. What cannot be taken is left out, a file as a whole.
 *
 * @param files    see there
 * @param classes  gets their lines
 * @param err      see there
 * @return         0, -ENOMEM
 */
int mlimg_class_files_read(const struct mlimg_class_files *files,
	struct mlimg_path_classes *classes, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
