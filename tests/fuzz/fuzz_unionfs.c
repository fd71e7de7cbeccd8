/* SPDX-License-Identifier: MIT */
/* Names below .unionfs-fuse: what they hide is a path that can be in a layer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/unionfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char tag[] = "_HIDDEN~";
	mlimg_autofree char *path = strndup((const char *)data, size);
	size_t hidden;
	char *name;

	if (!path || !mlimg_unionfs_marker(path, &hidden))
		return 0;
	if (hidden == 0 || strcmp(path + hidden, tag) != 0)
		abort();
	path[hidden] = '\0';
	name = strrchr(path, '/');
	name = name ? name + 1 : path;
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		abort();
	return 0;
}
