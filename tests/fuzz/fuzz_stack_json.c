/* SPDX-License-Identifier: MIT */
/* The reader of an index's stack.json: what it takes is a stack. */
#include <stdlib.h>
#include <string.h>

#include "libmlimg/stack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_stack_infos infos;
	struct mlimg_stack stack = {.n_layers = 0};

	if (mlimg_stack_from_json((const char *)data, size, &infos, &err) < 0) {
		if (!err.text[0] || err.kind != MLIMG_ERR_REFUSED)
			abort();
		return 0;
	}
	for (size_t i = 0; i < infos.n_layers; i++)
		if (mlimg_stack_push(&stack, &infos.layers[i], &err) < 0)
			abort();
	if (stack.user || stack.n_layers == 0)
		abort();
	mlimg_stack_infos_done(&infos);
	return 0;
}
