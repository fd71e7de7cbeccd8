/* SPDX-License-Identifier: MIT */
/*
 * Declarations of carve-outs: what is taken is a path that leads downwards, and lies in no other.
 */
#include <stdlib.h>
#include <string.h>

#include "guest-agent/carve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int is_bad(const char *path)
{
	size_t len = strlen(path);

	return len == 0 || len > MLIMG_CARVE_PATH_MAX || path[0] == '/' || path[len - 1] == '/' ||
		strstr(path, "//") || strncmp(path, "../", 3) == 0 || strstr(path, "/../") ||
		strcmp(path, "..") == 0 || (len > 3 && strcmp(path + len - 3, "/..") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mlimg_carve carve;

	memset(&carve, 0, sizeof(carve));
	mlimg_carve_parse("fuzz.conf", (const char *)data, size, &carve);
	if (carve.n_paths > MLIMG_CARVE_MAX || carve.n_notes > MLIMG_CARVE_NOTES_MAX)
		abort();
	for (size_t i = 0; i < carve.n_paths; i++) {
		size_t len = strlen(carve.paths[i]);

		if (is_bad(carve.paths[i]))
			abort();
		for (size_t k = 0; k < carve.n_paths; k++)
			if (i != k && strncmp(carve.paths[i], carve.paths[k], len) == 0 &&
				(carve.paths[k][len] == '/' || !carve.paths[k][len]))
				abort();
	}
	return 0;
}
