/* SPDX-License-Identifier: MIT */
/* The list of resolved conflicts in a user layer: what is taken is written as the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/resolved.h"
#include "libmlimg/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mlimg_resolved resolved;
	struct mlimg_text text = {.data = NULL};

	if (mlimg_resolved_parse((const char *)data, size, &resolved, NULL) == 0) {
		mlimg_resolved_put(&resolved, mlimg_text_put, &text);
		if (text.size != size || memcmp(text.data, data, size) != 0)
			abort();
	}
	mlimg_resolved_done(&resolved);
	free(text.data);
	return 0;
}
