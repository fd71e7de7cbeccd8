/* SPDX-License-Identifier: MIT */
/**
 * @file unionfs.h
 * The marks of unionfs-fuse (1.0 and later, mounted with "cow"): how a branch says "what is beneath
 * is gone".
 *
 * Source of the format: unionfs-fuse 1.0, src/findbranch.c, general.c and readdir.c. The marks are
 * names in a tree of their own, the directory .unionfs-fuse at the branch's root: PATH_HIDDEN~ in
 * there hides PATH in the branches beneath. Of which type the marker is does not matter;
 * unionfs-fuse makes a file for a file and a directory for a directory. What the branch itself has
 * at PATH shows all the same, and of a directory then only what the branch itself has in it: marker
 * and directory together are what overlayfs calls an opaque directory. What is hidden hides all
 * that is below it, so markers below it mean nothing.
 *
 * unionfs-fuse 1.0 cannot say everything: a name of more than 247 bytes has no marker, listings do
 * not heed the marker of a name that has "_HIDDEN~" in it, and no path may have more than 1023
 * bytes with those of the branch before it.
 */
#ifndef MLIMG_UNIONFS_H
#define MLIMG_UNIONFS_H

#include <stdbool.h>
#include <stddef.h>

#include "libmlimg/manifest.h"

#define MLIMG_UNIONFS_DIR ".unionfs-fuse"
#define MLIMG_UNIONFS_TAG "_HIDDEN~"
/**
 * Bytes of a path within a union, that unionfs-fuse 1.0 can use whatever it is for: 1023 less a
 * branch's, MLIMG_UNIONFS_DIR's and the tag's.
 */
#define MLIMG_UNIONFS_PATH_MAX 960

/**
 * What a name in MLIMG_UNIONFS_DIR hides.
 *
 * @param path      its path in there
 * @param ret_size  bytes of @p path that are the hidden path
 * @return          whether it is a marker
 */
bool mlimg_unionfs_marker(const char *path, size_t *ret_size);

/**
 * The other way round: the marker of a path.
 *
 * @param path        what is to be hidden
 * @param ret_marker  its marker's path in MLIMG_UNIONFS_DIR
 * @param err         names the path, and why it can have none
 * @return            0, -EUCLEAN
 */
int mlimg_unionfs_marker_of(const char *path, char ret_marker[MLIMG_UNIONFS_PATH_MAX + 16],
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return whether @p path is MLIMG_UNIONFS_DIR or below it */
bool mlimg_unionfs_is_meta(const char *path);

/**
 * Called for each marker.
 *
 * @param layer  the marker belongs above this layer, 0 is the lowest, and beneath the one above it
 * @param path   what it hides
 * @param ctx    mlimg_unionfs_hidden()'s
 * @param err    to be set when it fails
 * @return       0, or a negative errno to stop
 */
typedef int mlimg_unionfs_hidden_fn(
	size_t layer, const char *path, void *ctx, struct mlimg_err *err);

/**
 * The markers with which unionfs-fuse shows of layers what overlayfs does. Layers say in overlayfs'
 * form what they hide (whiteout.h), which unionfs-fuse takes for ordinary things; and it goes on
 * through a file to the directories beneath it. So a marker is wanted, in a branch of its own
 * directly above layer N,
 *
 * - for a whiteout of layer N: it hides the device and what is beneath;
 * - for what an opaque directory above hides, where N is the first layer that has it;
 * - for what is no directory in layer N, where a layer above has one.
 *
 * @param layers    manifests, bottom first, each with its root
 * @param n_layers  1 or more
 * @param fn        told of each, in the order of manifests
 * @param ctx       handed to @p fn
 * @param err       names the layer and the path
 * @return          0, what @p fn returned, or as mlimg_manifest_merge()
 */
int mlimg_unionfs_hidden(const struct mlimg_manifest *const *layers, size_t n_layers,
	mlimg_unionfs_hidden_fn *fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
