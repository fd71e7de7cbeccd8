/* SPDX-License-Identifier: MIT */
/* The plan of a conversion, in a user layer: what is read is written again as it was. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/convert.h"
#include "libmlimg/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	mlimg_autofree char *again = NULL;
	struct mlimg_convert_plan plan;
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t again_size;

	if (mlimg_convert_parse((const char *)data, size, &plan, &err) < 0) {
		if (!err.text[0])
			abort();
		return 0;
	}
	if (mlimg_convert_put(&plan, &again, &again_size, &err) < 0 || again_size != size ||
		memcmp(again, data, size) != 0)
		abort();
	free(plan.text);
	return 0;
}
