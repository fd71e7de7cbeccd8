/* SPDX-License-Identifier: MIT */
/* The plan of a reconcile, in a user layer: what is read is written again as it was. */
#include <stdlib.h>
#include <string.h>

#include "libmlimg/plan.h"
#include "libmlimg/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mlimg_text again = {.data = NULL};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_plan plan;

	if (mlimg_plan_parse((const char *)data, size, &plan, &err) < 0) {
		if (!err.text[0])
			abort();
		return 0;
	}
	mlimg_plan_put(&plan, mlimg_text_put, &again);
	if (again.has_failed || again.size != size || memcmp(again.data, data, size) != 0)
		abort();
	free(again.data);
	mlimg_plan_done(&plan);
	return 0;
}
