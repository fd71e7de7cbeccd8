/* SPDX-License-Identifier: MIT */
/**
 * @file merge.h
 * The merged manifest of a stack: what a reader sees when the layers lie above each other, as overlayfs defines it. Whiteouts and
 * opaque directories are resolved; a directory that is in several layers has the attributes of the topmost one and the union of the
 * contents; overlayfs' own xattrs do not show. Hard links across layers do not exist; a group of which only some names show is
 * renumbered, and its nlink is the number of names that show... as the manifest counts, not as stat(2) of the upper kernel would.
 */
#ifndef MLIMG_MERGE_H
#define MLIMG_MERGE_H

#include "libmlimg/manifest.h"

/**
 * Merge.
 *
 * @param layers      manifests, bottom first; must outlive the result, which shares their strings
 * @param n_layers    1 or more
 * @param ret_merged  the merged manifest without header lines; free with mlimg_manifest_free()
 * @return            0, -ENOMEM
 */
int mlimg_manifest_merge(const struct mlimg_manifest *const *layers, size_t n_layers,
	struct mlimg_manifest **ret_merged, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
