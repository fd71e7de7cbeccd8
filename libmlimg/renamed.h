/* SPDX-License-Identifier: MIT */
/**
 * @file renamed.h
 * Directories of an upper that show those of the layers from another place
 * (trusted.overlay.redirect), and where else these, and what is below them, show. A stranger writes
 * the upper: he can have many directories show one, and those within it apart, so that the places
 * are as many as the square of what he has written. So they are counted.
 */
#ifndef MLIMG_RENAMED_H
#define MLIMG_RENAMED_H

#include "libmlimg/err.h"

/**
 * Bytes of all places that are looked for: 100,000 files of a directory that was renamed, with
 * paths of 300 bytes
 */
#define MLIMG_RENAMED_PLACES_MAX (32u << 20)

/** A directory of the upper that shows one of the layers' from another place. */
struct mlimg_renamed {
	const char *from; /**< in the layers; not "" */
	const char *path; /**< in the upper */
};

/** For qsort(): by @p from, in the order of manifests. */
int mlimg_renamed_cmp(const void *a, const void *b);

/** @return the first one that does not come before @p from, which may be @p n */
size_t mlimg_renamed_first(const struct mlimg_renamed *all, size_t n, const char *from);

/**
 * Told of a place.
 *
 * @param path     of the upper, where something of the layers would show; not kept
 * @param renamed  bytes of the path of the directory that shows it
 * @param ctx      mlimg_renamed_places()'s
 * @return         0; anything else ends it
 */
typedef int mlimg_renamed_fn(const char *path, size_t renamed, void *ctx);

/**
 * Find the places besides its own path where something of the layers shows, as far as renamed
 * directories above it go. In time they take as many steps as its path has components, and each
 * place one.
 *
 * @param all    sorted
 * @param n      their number
 * @param lower  its path in the layers
 * @param left   bytes that places may still have; begins with MLIMG_RENAMED_PLACES_MAX
 * @param fn     told of each
 * @param ctx    handed to @p fn
 * @param err    says that they are too many
 * @return       0, -E2BIG, what @p fn returns
 */
int mlimg_renamed_places(const struct mlimg_renamed *all, size_t n, const char *lower, size_t *left,
	mlimg_renamed_fn *fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
