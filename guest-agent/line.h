/* SPDX-License-Identifier: MIT */
/**
 * @file line.h
 * Puts a stream of bytes together into lines, in bounded memory. Knows nothing of what the lines
 * say, but for the byte 0xFF, which can be in no UTF-8 text and means "forget the unfinished line"
 * (PROTOCOL.md).
 */
#ifndef MLIMG_LINE_H
#define MLIMG_LINE_H

#include <stdbool.h>
#include <stddef.h>

#define MLIMG_LINE_MAX \
	65536 /**< bytes of a line, newline included; requests are small, the QEMU guest agent's too */

/** An unfinished line. Zero it to begin with. */
struct mlimg_line {
	char text[MLIMG_LINE_MAX]; /**< what there is of it */
	size_t size;               /**< bytes of it */
	bool is_too_long;          /**< the limit was passed: thrown away up to its newline */
};

/**
 * Called for every line that ends.
 *
 * @param text  the line without its newline, not NUL-terminated; NULL for one that was longer than
 *              MLIMG_LINE_MAX
 * @param size  bytes of @p text
 * @return      false to stop: what is behind this line is not taken
 */
typedef bool mlimg_line_fn(const char *text, size_t size, void *ctx);

/**
 * Feed what was received.
 *
 * @param line  the unfinished line
 * @param data  bytes
 * @param size  their number
 * @param fn    gets each line
 * @param ctx   handed to @p fn
 * @return      bytes that were taken: all, unless @p fn said to stop
 */
size_t mlimg_line_feed(
	struct mlimg_line *line, const char *data, size_t size, mlimg_line_fn *fn, void *ctx);

/** Forget the unfinished line. */
void mlimg_line_reset(struct mlimg_line *line);

#endif
