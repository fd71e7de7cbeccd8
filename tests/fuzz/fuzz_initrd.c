/* SPDX-License-Identifier: MIT */
/* What an initramfs says of itself: the same, however it comes in pieces. */
#include <stdlib.h>
#include <string.h>

#include "tools/initrd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mlimg_initrd whole = {.unions = ""}, pieces = {.unions = ""};

	mlimg_initrd_take(&whole, data, size);
	for (size_t at = 0; at < size; at += 7)
		mlimg_initrd_take(&pieces, data + at, size - at < 7 ? size - at : 7);
	if (strcmp(whole.unions, pieces.unions) != 0 || whole.is_done != pieces.is_done)
		abort();
	if (strlen(whole.unions) >= sizeof(whole.unions) || strchr(whole.unions, '\n'))
		abort();
	return 0;
}
