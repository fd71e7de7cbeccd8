/* SPDX-License-Identifier: MIT */
/* Notes that are kept for another boot, in a user layer: what is read is written and read as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/notes.h"
#include "libmlimg/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mlimg_notes notes = {.n = 0}, again = {.n = 0};
	struct mlimg_text first = {.data = NULL}, second = {.data = NULL};
	char *copy = malloc(size + 1);

	memcpy(copy, data, size);
	copy[size] = '\0';
	(void)!mlimg_notes_parse(copy, size, &notes);
	free(copy);
	mlimg_notes_put(&notes, mlimg_text_put, &first);
	if (mlimg_notes_parse(first.data, first.size, &again) < 0 || again.n != notes.n)
		abort();
	mlimg_notes_put(&again, mlimg_text_put, &second);
	if (first.size != second.size || memcmp(first.data, second.data, first.size) != 0)
		abort();
	mlimg_notes_done(&notes);
	mlimg_notes_done(&again);
	free(first.data);
	free(second.data);
	return 0;
}
