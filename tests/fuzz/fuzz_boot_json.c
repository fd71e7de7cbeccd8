/* SPDX-License-Identifier: MIT */
/* The reader of state.json; and what it takes, written and read again, must be the same text. */
#include <stdlib.h>
#include <string.h>

#include "libmlimg/boot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mlimg_boot_state state, back;
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *text, *again;

	if (mlimg_boot_state_from_json((const char *)data, size, &state, &err) < 0) {
		if (!err.text[0] || err.kind != MLIMG_ERR_REFUSED)
			abort();
		return 0;
	}
	if (mlimg_boot_state_to_json(&state, &text, &err) < 0 ||
		mlimg_boot_state_from_json(text, strlen(text), &back, &err) < 0 ||
		mlimg_boot_state_to_json(&back, &again, &err) < 0 || strcmp(text, again) != 0)
		abort();
	free(text);
	free(again);
	return 0;
}
