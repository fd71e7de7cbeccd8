/* SPDX-License-Identifier: MIT */
/**
 * @file mounted.h
 * The layers as the initramfs has mounted them beneath /run/mlimg, and what is in each one's
 * /mlimg. They are a stranger's: files are opened beneath the layer's root, must be regular and not
 * too long, and symbolic links are not followed.
 */
#ifndef MLIMG_MOUNTED_H
#define MLIMG_MOUNTED_H

#include "libmlimg/boot.h"
#include "libmlimg/manifest.h"

#define MLIMG_MANIFEST_SIZE_MAX \
	0x40000000 /**< 1 GiB: 200 bytes an entry make five million of them */

/** What a layer is expected to be. */
struct mlimg_expected {
	enum mlimg_kind kind;
	const char *id; /**< of its build id 20 to 64 hex digits, from the beginning */
};

/** A mounted layer. */
struct mlimg_mounted {
	char where[64];               /**< "layers/0", "user" or "index", beneath the root */
	int fd;                       /**< the top directory; -1 when not open */
	char manifest[40];            /**< its manifest, beneath that: "mlimg/manifest" */
	struct mlimg_layer_info info; /**< from its layer.json */
};

/**
 * Open a mounted layer and compare it with what it is expected to be.
 *
 * @param root_fd      /run/mlimg
 * @param where        beneath it; shorter than 64 bytes
 * @param expected     what it is expected to be
 * @param ret_mounted  filled on success; mlimg_mounted_close() it
 * @param err          names the place and what is there
 * @return             0, -EUCLEAN when it is another layer, -errno
 */
int mlimg_mounted_open(int root_fd, const char *where, const struct mlimg_expected *expected,
	struct mlimg_mounted *ret_mounted, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Open the layers of a mounted index, /run/mlimg/index, and compare them with what they are
 * expected to be. Such a layer has a description and a manifest, which lies in the layer's own
 * blocks, but no top directory of its own.
 *
 * @param root_fd     /run/mlimg
 * @param expected    what they are expected to be, bottom first
 * @param n_layers    their number
 * @param ret_layers  filled on success; mlimg_mounted_close() each
 * @param err         names the layer and what is there
 * @return            0, -EUCLEAN when it is another stack, -errno
 */
int mlimg_mounted_open_index(int root_fd, const struct mlimg_expected *expected, size_t n_layers,
	struct mlimg_mounted *ret_layers, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Close it and free what it holds. */
void mlimg_mounted_close(struct mlimg_mounted *mounted);

/**
 * Read a file of a layer.
 *
 * @param mounted   the layer
 * @param path      beneath its top directory
 * @param max       bytes at most
 * @param ret_data  NUL-terminated; free() it
 * @param ret_size  bytes
 * @param err       names the layer's place and the file
 * @return          0, -ENOENT, -EUCLEAN when something else than a regular file is in its place,
 *                  -errno
 */
int mlimg_mounted_read(const struct mlimg_mounted *mounted, const char *path, size_t max,
	char **ret_data, size_t *ret_size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read a layer's manifest and check it: its digest is the build id, and its header says what
 * layer.json says.
 *
 * @param mounted       the layer
 * @param ret_manifest  free with mlimg_manifest_free()
 * @param err           names the layer
 * @return              0, -EUCLEAN, -errno
 */
int mlimg_mounted_manifest(const struct mlimg_mounted *mounted,
	struct mlimg_manifest **ret_manifest, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return whether @p text is 20 to 64 hex digits */
bool mlimg_id_is_valid(const char *text);

#endif
