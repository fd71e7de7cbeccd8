/* SPDX-License-Identifier: MIT */
/**
 * @file path-glob.h
 * Globs of paths. '*' and '?' stay within a component, '**' goes over any number of them, '[a-z]'
 * and '[!a-z]' are one byte but '/', and a backslash takes a byte's meaning away. A slash at the
 * beginning changes nothing. A glob stands for the path and for all that is below it.
 */
#ifndef MLIMG_PATH_GLOB_H
#define MLIMG_PATH_GLOB_H

#include <stdbool.h>

#define MLIMG_PATH_GLOB_MAX 1024 /**< bytes of a glob */

/** @return whether @p glob stands for @p path, which is as in manifests */
bool mlimg_path_is_in_glob(const char *path, const char *glob);

/** @return what is wrong with @p glob, "a '[' without ']'", or NULL */
const char *mlimg_path_glob_flaw(const char *glob);

#endif
