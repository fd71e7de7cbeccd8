/* SPDX-License-Identifier: MIT */
/* The texts of a base, in a user layer: what is read is written again as it was. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/base-texts.h"
#include "libmlimg/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mlimg_base_texts texts, again = {0};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_text text = {0};
	char *copy = malloc(size + 1);

	memcpy(copy, data, size);
	if (mlimg_base_texts_parse(copy, size, &texts, &err) < 0) {
		free(copy);
		if (!err.text[0])
			abort();
		return 0;
	}
	for (size_t i = 0; i < texts.n; i++) {
		const struct mlimg_base_text *t = &texts.texts[i];
		char *part = malloc(t->size + 1);

		memcpy(part, t->data, t->size);
		if (mlimg_base_texts_add(&again, t->digest, part, t->size) < 0)
			abort();
		if (mlimg_base_texts_find(&texts, t->digest) && t->size == 0 && !t->data)
			abort();
	}
	mlimg_base_texts_put(&again, mlimg_text_put, &text);
	if (text.size != size || memcmp(text.data, data, size) != 0)
		abort();
	mlimg_base_texts_done(&texts);
	mlimg_base_texts_done(&again);
	free(text.data);
	return 0;
}
