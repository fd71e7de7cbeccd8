/* SPDX-License-Identifier: MIT */
/**
 * @file profile.h
 * A list of files in the order in which a boot reads them. mlimg-mkfs puts their contents first
 * into an image, in that order, so that a cold boot reads one run of blocks from the beginning to
 * the end.
 *
 * Format: one path a line, relative to the layer's tree; "./" or "/" may stand before it. Any byte
 * can be written as a backslash and three octal digits, as in manifests (manifest.h); the backslash
 * and the newline, and a '#' at the beginning, have to. Empty lines and lines that begin with '#'
 * are passed over, and so are paths that were there before. Symbolic links are not followed.
 */
#ifndef MLIMG_TOOLS_PROFILE_H
#define MLIMG_TOOLS_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/err.h"

#define MLIMG_PROFILE_SIZE_MAX (64 << 20) /**< bytes of the list: more than the paths of any tree */

/** A list. */
struct mlimg_profile;

/**
 * Read a list from memory.
 *
 * @param text         bytes and a NUL behind them; changed
 * @param size         of @p text
 * @param name         of the list, for messages
 * @param ret_profile  mlimg_profile_free() it
 * @param err          names the line. Refused: a NUL, a path that is too long or has empty
 *                     components, "." or ".."
 */
int mlimg_profile_parse(char *text, size_t size, const char *name,
	struct mlimg_profile **ret_profile, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Read a list from the file @p path, of at most MLIMG_PROFILE_SIZE_MAX bytes. */
int mlimg_profile_read(const char *path, struct mlimg_profile **ret_profile,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return an empty list, mlimg_profile_free() it; NULL when there is no memory */
struct mlimg_profile *mlimg_profile_new(void);

/**
 * Append a path, unless it is there.
 *
 * @param profile  see there
 * @param path     without "./" or "/"; copied
 * @return         0, -ENOMEM
 */
int mlimg_profile_add(struct mlimg_profile *profile, const char *path) MLIMG_MUST_CHECK;

/** Free it; accepts NULL. */
void mlimg_profile_free(struct mlimg_profile *profile);

/** @return how many paths there are */
size_t mlimg_profile_count(const struct mlimg_profile *profile);

/** @return the path number @p i from 0 on, without "./" or "/" */
const char *mlimg_profile_path(const struct mlimg_profile *profile, size_t i);

/** @return whether @p path, without "./" or "/", is in the list */
bool mlimg_profile_has(const struct mlimg_profile *profile, const char *path);

#endif
