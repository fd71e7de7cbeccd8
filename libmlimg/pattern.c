/* SPDX-License-Identifier: MIT */
#include "libmlimg/pattern.h"

#include <fnmatch.h>
#include <string.h>

bool mlimg_path_is_like(const char *path, const char *pattern)
{
	size_t size = strcspn(pattern, "*");

	if (strncmp(path, pattern, size) != 0)
		return false;
	if (pattern[size])
		return fnmatch(pattern, path, FNM_PATHNAME | FNM_NOESCAPE) == 0;
	return size && pattern[size - 1] == '/' ? path[size] != '\0' : path[size] == '\0';
}
