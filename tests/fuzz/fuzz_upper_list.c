/* SPDX-License-Identifier: MIT */
/* Lists of paths, in a user layer: one that is read has as many numbers as it has bytes for. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/upper-list.h"
#include "libmlimg/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_upper_list list;
	struct mlimg_text text = {.data = NULL};
	char *copy = malloc(size + 1);
	int r;

	memcpy(copy, data, size);
	r = mlimg_upper_list_parse(copy, size, &list, &err);
	free(copy);
	if (r < 0) {
		if (!err.text[0])
			abort();
		return 0;
	}
	mlimg_upper_list_put(&list, mlimg_text_put, &text);
	if (text.size != size || memcmp(text.data, data, size) != 0)
		abort();
	mlimg_upper_list_done(&list);
	free(text.data);
	return 0;
}
