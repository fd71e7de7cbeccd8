/* SPDX-License-Identifier: MIT */
/**
 * @file path.h
 * Parts of paths as manifests have them (manifest.h): relative, without empty components, "" the root itself. Nothing is looked up.
 */
#ifndef MLIMG_PATH_H
#define MLIMG_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/** @return the last component, within @p path; "" of the root */
static inline const char *mlimg_path_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/** @return the number of components; 0 of the root */
static inline size_t mlimg_path_depth(const char *path)
{
	size_t depth = *path != '\0';

	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

/** @return whether @p path is below the directory @p dir, which is not below itself; below the root is everything else */
static inline bool mlimg_path_is_below(const char *path, const char *dir)
{
	size_t size = strlen(dir);

	return size == 0 ? *path != '\0' : strncmp(path, dir, size) == 0 && path[size] == '/';
}

#endif
