/* SPDX-License-Identifier: MIT */
/**
 * @file text.h
 * Text that grows in memory, as the receiver of what writes into a sink (manifest.h). A sink cannot
 * fail, so this one remembers.
 */
#ifndef MLIMG_TEXT_H
#define MLIMG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/** A text. Zero it to begin with; free() its data in the end. */
struct mlimg_text {
	char *data;      /**< NUL-terminated; NULL as long as nothing was put */
	size_t size;     /**< bytes without the NUL */
	size_t room;     /**< private */
	bool has_failed; /**< there was no memory: the text is not whole */
};

/** Append: a mlimg_sink. @p ctx: struct mlimg_text *. */
void mlimg_text_put(void *ctx, const char *data, size_t size);

#endif
