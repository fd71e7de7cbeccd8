/* SPDX-License-Identifier: MIT */
/* Declarations of protected paths: what is taken leads downwards, and covers itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/protect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int is_bad(const char *path)
{
	size_t len = strlen(path);

	return len == 0 || len > MLIMG_DECLARED_PATH_MAX || path[0] == '/' ||
		path[len - 1] == '/' || strstr(path, "//") || strncmp(path, "../", 3) == 0 ||
		strstr(path, "/../") || strcmp(path, "..") == 0 ||
		(len > 3 && strcmp(path + len - 3, "/..") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mlimg_protect protect;
	struct mlimg_protected *declared = &protect.declared;

	memset(&protect, 0, sizeof(protect));
	mlimg_protected_parse("fuzz.conf", (const char *)data, size, declared);
	if (declared->n_patterns > MLIMG_PROTECTED_MAX)
		abort();
	for (size_t i = 0; i < declared->n_patterns; i++) {
		if (is_bad(declared->patterns[i]))
			abort();
		if (!strpbrk(declared->patterns[i], "*?[") &&
			!mlimg_protect_is_covered_by(&protect, declared->patterns[i]))
			abort();
	}
	return 0;
}
