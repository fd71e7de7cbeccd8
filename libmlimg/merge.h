/* SPDX-License-Identifier: MIT */
/**
 * @file merge.h
 * The merged manifest of a stack: what a reader sees when the layers lie above each other, as
 * overlayfs defines it (the kernel's Documentation/filesystems/overlayfs.rst; tests/root/merge.bats
 * compares).
 *
 * - A whiteout hides the name in the layers beneath, and never shows itself, not even from the
 *   lowest layer.
 * - A directory that is in several layers has the attributes of the topmost one and the union of
 *   the contents, down to an opaque one, or to anything else of that name, which ends it. The root
 *   merges always.
 * - Anything else hides what is beneath it.
 * - trusted.overlay.* does not show. A reference of a patch layer (patch.h) shows as the file that
 *   it is.
 * - Hard links exist within a layer only. Groups are numbered anew by first appearance; nlink is
 *   what it is in the layer, as stat(2) tells it, so it may be more than the names that show.
 */
#ifndef MLIMG_MERGE_H
#define MLIMG_MERGE_H

#include "libmlimg/manifest.h"

/**
 * Merge.
 *
 * @param layers      manifests, bottom first, each with its root; must outlive the result, which
 *                    shares their strings
 * @param n_layers    1 or more
 * @param ret_merged  the merged manifest without header lines; free with mlimg_manifest_free()
 * @param err         names the layer and the path
 * @return            0; -ENOMEM; -EUCLEAN when something that shows has trusted.overlay.redirect or
 *                    trusted.overlay.metacopy, which send a reader elsewhere, and is no reference
 *                    of a patch layer, or one that does not lead to such contents
 */
int mlimg_manifest_merge(const struct mlimg_manifest *const *layers, size_t n_layers,
	struct mlimg_manifest **ret_merged, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
