/* SPDX-License-Identifier: MIT */
/**
 * @file path.h
 * Parts of paths as manifests have them (manifest.h): relative, without empty components, "" the
 * root itself. Nothing is looked up.
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

/**
 * @return the bytes of @p path that name the directory it is in, without a slash behind; 0 of what
 *         is in the root, and of the root
 */
static inline size_t mlimg_path_dir_size(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) : 0;
}

/** @return the number of components; 0 of the root */
static inline size_t mlimg_path_depth(const char *path)
{
	size_t depth = *path != '\0';

	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

/**
 * @return whether @p path is below the directory @p dir, which is not below itself; below the root
 *         is everything else
 */
static inline bool mlimg_path_is_below(const char *path, const char *dir)
{
	size_t size = strlen(dir);

	return size == 0 ? *path != '\0' : strncmp(path, dir, size) == 0 && path[size] == '/';
}

/** @return whether @p path is @p dir, or below it */
static inline bool mlimg_path_is_within(const char *path, const char *dir)
{
	return strcmp(path, dir) == 0 || mlimg_path_is_below(path, dir);
}

/**
 * Join a directory and what is in it.
 *
 * @param ret_path   gets it, NUL-terminated; has room for strlen(@p dir) + @p name_size + 2 bytes
 * @param dir        "" for the root
 * @param name       need not be NUL-terminated
 * @param name_size  its bytes
 */
static inline void mlimg_path_join(
	char *ret_path, const char *dir, const char *name, size_t name_size)
{
	size_t size = strlen(dir);

	memcpy(ret_path, dir, size);
	if (size)
		ret_path[size++] = '/';
	memcpy(ret_path + size, name, name_size);
	ret_path[size + name_size] = '\0';
}

#endif
