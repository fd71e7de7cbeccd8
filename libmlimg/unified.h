/* SPDX-License-Identifier: MIT */
/**
 * @file unified.h
 * The difference of two texts for people and patch(1): the unified format of diff -u, as POSIX.1-2008,
 * "diff", section "Diff -u or -U Output Format" has it, with three lines of context, and
 * "\ No newline at end of file" after a last line without one. Names are the caller's affair: the two
 * lines with them are not written here.
 */
#ifndef MLIMG_UNIFIED_H
#define MLIMG_UNIFIED_H

#include "libmlimg/lines.h"
#include "libmlimg/manifest.h"

#define MLIMG_UNIFIED_CONTEXT 3 /**< lines before and after what differs */

/** What came of it. */
enum mlimg_unified_result {
	MLIMG_UNIFIED_WRITTEN = 1,
	MLIMG_UNIFIED_NO_TEXT,  /**< one is no text, or too large (lines.h) */
	MLIMG_UNIFIED_TOO_MUCH, /**< more differs than MLIMG_LINES_EDITS_MAX */
};

/**
 * Write it.
 *
 * @param from  the old text: data and size
 * @param to    the new one; both are given back as they were
 * @param sink  gets the hunks, of equal texts none
 * @param ctx   handed to @p sink
 * @return      enum mlimg_unified_result, -ENOMEM
 */
int mlimg_unified_put(struct mlimg_lines *from, struct mlimg_lines *to, mlimg_sink *sink,
	void *ctx) MLIMG_MUST_CHECK;

#endif
