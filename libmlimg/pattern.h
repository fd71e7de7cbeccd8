/* SPDX-License-Identifier: MIT */
/**
 * @file pattern.h
 * Patterns of paths, for tables of places that programs know.
 */
#ifndef MLIMG_PATTERN_H
#define MLIMG_PATTERN_H

#include <stdbool.h>

/**
 * Whether a path is like a pattern: fnmatch(3)'s without escapes, where '*' stays within a
 * component. A pattern without '*' that ends in '/' is all that is below that directory.
 *
 * Made for being asked of every file of a tree: the bytes before the first '*' decide nearly
 * always, and those must not be special.
 *
 * @param path     as in manifests
 * @param pattern  constant
 */
bool mlimg_path_is_like(const char *path, const char *pattern);

#endif
