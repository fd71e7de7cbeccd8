/* SPDX-License-Identifier: MIT */
/*
 * Lines of reconcile.d: the file up to the first NUL, then paths that are classified, a NUL after
 * each.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/path-class.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mlimg_path_classes *classes = mlimg_path_classes_new();
	const uint8_t *end = size ? memchr(data, '\0', size) : NULL;
	size_t text_size = end ? (size_t)(end - data) : size;
	struct mlimg_err err = MLIMG_ERR_INIT;
	char path[256];

	if (!classes)
		abort();
	if (mlimg_path_classes_add(classes, "x.conf", (const char *)data, text_size, &err) < 0 &&
		!err.text[0])
		abort();
	for (size_t at = text_size + 1; at < size;) {
		size_t n = strnlen((const char *)data + at, size - at);

		if (n < sizeof(path)) {
			memcpy(path, data + at, n);
			path[n] = '\0';
			if (!mlimg_path_class_of(classes, path) ||
				mlimg_path_class_beside(classes, path) > MLIMG_BESIDE_NOWHERE)
				abort();
		}
		at += n + 1;
	}
	mlimg_path_classes_free(classes);
	return 0;
}
