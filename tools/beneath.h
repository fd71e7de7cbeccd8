/* SPDX-License-Identifier: MIT */
/**
 * @file beneath.h
 * What a new layer lies over: layer images that make a stack, and the merged tree that they show
 * (libmlimg/merge.h). The entries are those of the layers' stored manifests, which their build ids
 * vouch for; contents are read from the images, and whoever relies on them being what a manifest
 * says compares digests.
 *
 * Images may be a stranger's: they are read through ext4-read.h. For one thread at a time.
 */
#ifndef MLIMG_TOOLS_BENEATH_H
#define MLIMG_TOOLS_BENEATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/err.h"
#include "libmlimg/layer.h"
#include "libmlimg/manifest.h"
#include "libmlimg/stack.h"
#include "tools/ext4-read.h"

/** Layers that lie beneath a new one. */
struct mlimg_beneath;

/**
 * Open layers.
 *
 * @param images    paths of the images, bottom first: system, patches, software
 * @param n_images  1 or more
 * @param ret       mlimg_beneath_free() it
 * @param err       names the image. Refused: what ext4-read.h refuses, a user layer, a stack that
 *                  may not be (stack.h), a manifest that is not sound or not what layer.json says,
 *                  one that cannot be merged
 * @return          0, -EUCLEAN when refused, other -errno
 */
int mlimg_beneath_open(const char *const *images, size_t n_images, struct mlimg_beneath **ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Close the images, free; accepts NULL. */
void mlimg_beneath_free(struct mlimg_beneath *b);

/** Layers that another thread opens. */
struct mlimg_beneath_later;

/**
 * Let another thread open layers.
 *
 * @param images    as for mlimg_beneath_open(); must live as long
 * @param n_images  1 or more
 * @param ret       mlimg_beneath_later_free() it
 * @param err       what failed
 * @return          0 or -errno
 */
int mlimg_beneath_open_later(const char *const *images, size_t n_images,
	struct mlimg_beneath_later **ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return whether mlimg_beneath_wait() will not have to wait */
bool mlimg_beneath_is_open(struct mlimg_beneath_later *later);

/**
 * Wait until they are open. Any thread may, several times.
 *
 * @param later  the layers
 * @param ret    they; stay @p later 's. NULL when they cannot be opened
 * @param err    as mlimg_beneath_open() says it; may be NULL
 * @return       as mlimg_beneath_open()
 */
int mlimg_beneath_wait(struct mlimg_beneath_later *later, struct mlimg_beneath **ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Wait, close the images, free; accepts NULL. */
void mlimg_beneath_later_free(struct mlimg_beneath_later *later);
MLIMG_DEFINE_CLEANUP(struct mlimg_beneath, mlimg_beneath_free)
#define mlimg_autobeneath mlimg_cleanup(mlimg_beneath_free_cleanup) /**< mlimg_beneath_free() */

/** @return the number of layers */
size_t mlimg_beneath_n(const struct mlimg_beneath *b);

/** @return the description of layer @p i, 0 is the lowest */
const struct mlimg_layer_info *mlimg_beneath_info(const struct mlimg_beneath *b, size_t i);

/** @return the layers as a stack */
const struct mlimg_stack *mlimg_beneath_stack(const struct mlimg_beneath *b);

/** @return the open image of layer @p i; stays @p b 's */
struct mlimg_ext4 *mlimg_beneath_image(const struct mlimg_beneath *b, size_t i);

/** @return the manifest of layer @p i */
const struct mlimg_manifest *mlimg_beneath_layer(const struct mlimg_beneath *b, size_t i);

/** @return what all layers together show, sorted */
const struct mlimg_manifest *mlimg_beneath_manifest(const struct mlimg_beneath *b);

/** @return the entry that shows at @p path ("" is the root), or NULL */
const struct mlimg_entry *mlimg_beneath_find(const struct mlimg_beneath *b, const char *path);

/** @return whether any file that shows has this size and a digest */
bool mlimg_beneath_has_size(const struct mlimg_beneath *b, uint64_t size_bytes);

/**
 * @return a regular file that shows and has these contents, of several the one with the shortest
 * path; or NULL
 */
const struct mlimg_entry *mlimg_beneath_find_content(const struct mlimg_beneath *b,
	uint64_t size_bytes, const uint8_t digest[MLIMG_SHA256_SIZE]);

/**
 * Where the contents of a file lie.
 *
 * @param b          the layers
 * @param entry      a regular file out of mlimg_beneath_manifest()
 * @param ret_layer  the layer whose image has them
 * @param ret_inode  the file's inode in that image; of the size that the entry has
 * @param err        names image and path
 * @return           0; -EUCLEAN when image and manifest differ; other -errno
 */
int mlimg_beneath_locate(const struct mlimg_beneath *b, const struct mlimg_entry *entry,
	size_t *ret_layer, struct mlimg_ext4_inode *ret_inode,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read the contents of a file. They are not compared with its digest.
 *
 * @param b      the layers
 * @param entry  as for mlimg_beneath_locate()
 * @param fn     gets the pieces in order; a hole as NULL
 * @param ctx    handed to @p fn
 * @param err    names image and path
 * @return       0, what @p fn returned when negative, or as mlimg_beneath_locate()
 */
int mlimg_beneath_read(const struct mlimg_beneath *b, const struct mlimg_entry *entry,
	mlimg_ext4_data_fn *fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
