/* SPDX-License-Identifier: MIT */
#include "libmlimg/unified.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"

#define NO_NEWLINE "\n\\ No newline at end of file\n"

struct out {
	const struct mlimg_lines *from, *to;
	const int32_t *match; /* of each line of from, the line of to that it is, or -1 */
	mlimg_sink *sink;
	void *ctx;
};

/* A piece that differs: lines of from, and the lines of to in their place. */
struct piece {
	int32_t from, from_end, to, to_end;
};

/* The first piece from a place on where both agree. @return whether there is one */
static bool next_piece(const struct out *o, int32_t from, int32_t to, struct piece *ret)
{
	while (from < o->from->n && o->match[from] == to)
		from++, to++;
	if (from == o->from->n && to == o->to->n)
		return false;
	*ret = (struct piece){from, from, to, to};
	while (ret->from_end < o->from->n && o->match[ret->from_end] < 0)
		ret->from_end++;
	ret->to_end = ret->from_end < o->from->n ? o->match[ret->from_end] : o->to->n;
	return true;
}

static void put_lines(
	const struct out *o, char mark, const struct mlimg_lines *l, int32_t begin, int32_t end)
{
	for (int32_t i = begin; i < end; i++) {
		const char *line = l->data + l->starts[i];
		size_t size = l->starts[i + 1] - l->starts[i];

		o->sink(o->ctx, &mark, 1);
		o->sink(o->ctx, line, size);
		if (line[size - 1] != '\n')
			o->sink(o->ctx, NO_NEWLINE, strlen(NO_NEWLINE));
	}
}

/* "12,7": one line has no number of lines, and none is told by the line before it. */
static void put_range(const struct out *o, char mark, int32_t begin, int32_t n)
{
	char text[40];

	if (n == 1)
		snprintf(text, sizeof(text), " %c%d", mark, begin + 1);
	else
		snprintf(text, sizeof(text), " %c%d,%d", mark, n ? begin + 1 : begin, n);
	o->sink(o->ctx, text, strlen(text));
}

/* Pieces with no more than twice the context between them, and the context around them. */
static void put_hunk(const struct out *o, struct piece first, struct piece *ret_last)
{
	int32_t before = first.from < MLIMG_UNIFIED_CONTEXT ? first.from : MLIMG_UNIFIED_CONTEXT;
	struct piece last = first, next;
	int32_t after;

	while (next_piece(o, last.from_end, last.to_end, &next) &&
		next.from - last.from_end <= 2 * MLIMG_UNIFIED_CONTEXT)
		last = next;
	after = o->from->n - last.from_end < MLIMG_UNIFIED_CONTEXT ? o->from->n - last.from_end
								   : MLIMG_UNIFIED_CONTEXT;
	o->sink(o->ctx, "@@", 2);
	put_range(o, '-', first.from - before, last.from_end + after - (first.from - before));
	put_range(o, '+', first.to - before, last.to_end + after - (first.to - before));
	o->sink(o->ctx, " @@\n", 4);
	put_lines(o, ' ', o->from, first.from - before, first.from);
	next = first;
	for (;;) {
		int32_t agreed = next.from_end;

		put_lines(o, '-', o->from, next.from, next.from_end);
		put_lines(o, '+', o->to, next.to, next.to_end);
		if (next.from == last.from && next.to == last.to)
			break;
		if (!next_piece(o, next.from_end, next.to_end, &next))
			break;
		put_lines(o, ' ', o->from, agreed, next.from);
	}
	put_lines(o, ' ', o->from, last.from_end, last.from_end + after);
	*ret_last = last;
}

int mlimg_unified_put(struct mlimg_lines *from, struct mlimg_lines *to, mlimg_sink *sink, void *ctx)
{
	struct mlimg_lines *const both[] = {from, to};
	struct out o = {from, to, NULL, sink, ctx};
	mlimg_autofree int32_t *match = NULL;
	struct piece at = {0};
	int r;

	if (!mlimg_lines_is_text(from->data, from->size) ||
		!mlimg_lines_is_text(to->data, to->size))
		return MLIMG_UNIFIED_NO_TEXT;
	r = mlimg_lines_split(both, 2);
	if (r == 0)
		r = mlimg_lines_compare(from, to, &match);
	o.match = match;
	while (r == 1 && next_piece(&o, at.from_end, at.to_end, &at))
		put_hunk(&o, at, &at);
	mlimg_lines_done(from);
	mlimg_lines_done(to);
	if (r < 0)
		return r;
	return r ? MLIMG_UNIFIED_WRITTEN : MLIMG_UNIFIED_TOO_MUCH;
}
