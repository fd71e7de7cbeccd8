/* SPDX-License-Identifier: MIT */
/* The queue in a user layer: what is read is written as the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/queue.h"
#include "libmlimg/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mlimg_text text = {.data = NULL};
	struct mlimg_queue *queue;

	if (mlimg_queue_parse((const char *)data, size, &queue, NULL) < 0)
		return 0;
	mlimg_queue_put(queue, mlimg_text_put, &text);
	if (text.has_failed || text.size != size || memcmp(text.data, data, size) != 0)
		abort();
	mlimg_queue_free(queue);
	free(text.data);
	return 0;
}
