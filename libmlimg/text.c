/* SPDX-License-Identifier: MIT */
#include "libmlimg/text.h"

#include <string.h>

#include "libmlimg/arena.h"

void mlimg_text_put(void *ctx, const char *data, size_t size)
{
	struct mlimg_text *text = ctx;

	if (text->has_failed ||
		mlimg_buffer_reserve(&text->data, &text->room, text->size + size + 1) < 0) {
		text->has_failed = true;
		return;
	}
	memcpy(text->data + text->size, data, size);
	text->size += size;
	text->data[text->size] = '\0';
}
