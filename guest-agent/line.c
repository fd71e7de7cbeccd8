/* SPDX-License-Identifier: MIT */
#include "guest-agent/line.h"

#define RESYNC '\xff'

void mlimg_line_reset(struct mlimg_line *line)
{
	line->size = 0;
	line->is_too_long = false;
}

static bool finish(struct mlimg_line *line, mlimg_line_fn *fn, void *ctx)
{
	bool go_on = fn(line->is_too_long ? NULL : line->text, line->size, ctx);

	mlimg_line_reset(line);
	return go_on;
}

/* One byte below the limit: the newline counts, too, and is not kept. */
static void append(struct mlimg_line *line, char c)
{
	if (line->size == MLIMG_LINE_MAX - 1) {
		line->size = 0;
		line->is_too_long = true;
	}
	if (!line->is_too_long)
		line->text[line->size++] = c;
}

size_t mlimg_line_feed(
	struct mlimg_line *line, const char *data, size_t size, mlimg_line_fn *fn, void *ctx)
{
	for (size_t i = 0; i < size; i++) {
		if (data[i] == RESYNC)
			mlimg_line_reset(line);
		else if (data[i] != '\n')
			append(line, data[i]);
		else if (!finish(line, fn, ctx))
			return i + 1;
	}
	return size;
}
