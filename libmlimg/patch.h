/* SPDX-License-Identifier: MIT */
/**
 * @file patch.h
 * References: how a patch layer says "these contents lie beneath". Elsewhere nothing may say so.
 *
 * A reference is a regular file with its new attributes and its true size, but without blocks, and
 * with overlayfs' own marks, so that the kernel follows it (mount options
 * metacopy=on,redirect_dir=follow):
 *
 *     trusted.overlay.metacopy   empty
 *     trusted.overlay.redirect   "/path" where the contents lie; missing where that is the file's own path
 *
 * The path is absolute and begins at the layers' root. Contents are looked for in the layers
 * beneath the patch, topmost first: a layer that has nothing at the path is passed over, another
 * reference goes on from there, and a whiteout, an opaque directory on the way or anything but a
 * regular file ends the search in vain. What the patch layer itself hides does not matter.
 *
 * Source: the kernel's Documentation/filesystems/overlayfs.rst ("Metadata only copy up",
 * "redirect_dir") and fs/overlayfs/namei.c, ovl_lookup() and ovl_get_redirect_xattr() in util.c.
 * overlayfs writes paths of at most 256 bytes (its parameter redirect_max); so does mlimg, and
 * takes no longer ones.
 */
#ifndef MLIMG_PATCH_H
#define MLIMG_PATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "libmlimg/err.h"
#include "libmlimg/manifest.h"

#define MLIMG_REDIRECT_MAX 256 /**< bytes of a redirect, its first '/' included */

/** @return whether @p m is the manifest of a patch layer */
bool mlimg_manifest_is_patch(const struct mlimg_manifest *m);

/** @return whether @p entry has any of the two marks */
bool mlimg_entry_has_reference(const struct mlimg_entry *entry);

/**
 * Check the marks of an entry that has any.
 *
 * @param entry     out of a patch layer
 * @param ret_path  where the contents lie, as paths in manifests ("a/b"); @p entry 's own path or a
 *                  copy in @p buf
 * @param buf       MLIMG_REDIRECT_MAX bytes
 * @param err       names the path. Refused: marks on what is no regular file, a metacopy that is
 *                  not empty or not there, a redirect that is relative, too long, or has empty, "."
 *                  or ".." components
 * @return          0, -EUCLEAN
 */
int mlimg_reference_path(const struct mlimg_entry *entry, const char **ret_path,
	char buf[MLIMG_REDIRECT_MAX], struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Find the entry whose layer has a file's contents.
 *
 * @param layers     manifests, bottom first
 * @param layer      the one that @p entry is in
 * @param entry      a regular file, a reference or not
 * @param ret_layer  layer that has the contents
 * @param ret_entry  the file there, of the same size and, where both are known, digest
 * @param err        names the path. Refused: a reference that mlimg_reference_path() refuses, that
 *                   is not in a patch layer, that leads to nothing or to other contents
 * @return           0, -EUCLEAN
 */
int mlimg_reference_follow(const struct mlimg_manifest *const *layers, size_t layer,
	const struct mlimg_entry *entry, size_t *ret_layer, const struct mlimg_entry **ret_entry,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
