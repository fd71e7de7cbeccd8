/* SPDX-License-Identifier: MIT */
/**
 * @file lines.h
 * Texts as lines, and a shortest difference of two of them: for merging (merge3.h) and for showing
 * (unified.h).
 *
 * Texts become lists of numbers, one for each different line. Comparing is E. W. Myers, "An O(ND)
 * Difference Algorithm and Its Variations", Algorithmica 1, 1986, in its linear-space variation;
 * which of several shortest differences is found is not specified but is always the same.
 *
 * A line is its bytes with its newline. So a last line without newline differs from the same line
 * with one, and lines that end in CR LF from those that end in LF.
 */
#ifndef MLIMG_LINES_H
#define MLIMG_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/err.h"

#define MLIMG_LINES_SIZE_MAX 262144 /**< bytes of a text: that of base texts (base-texts.h) */
#define MLIMG_LINES_LINE_MAX 65536  /**< bytes of a line: beyond that it is hardly a text */
/**
 * Lines that differ between two texts. The time of comparing grows with their square: some tenths
 * of a second at the limit.
 */
#define MLIMG_LINES_EDITS_MAX 4096

/** A text as lines. Zero it and set data and size to begin with. */
struct mlimg_lines {
	const char *data; /**< need not be NUL-terminated; may be NULL when @p size is 0 */
	size_t size;      /**< bytes */
	uint32_t *starts; /**< where lines begin; one more than there are: the end */
	uint32_t *ids;    /**< which line it is: equal lines have equal numbers */
	int32_t n;        /**< lines */
};

/** @return whether it is a text within the limits: no NUL, no line that is too long */
bool mlimg_lines_is_text(const char *data, size_t size);

/**
 * Split texts that are to be compared with each other.
 *
 * @param lines  of which mlimg_lines_is_text() is true; mlimg_lines_done() each, also on failure
 * @param n      their number
 * @return       0, -ENOMEM
 */
int mlimg_lines_split(struct mlimg_lines *const lines[], size_t n) MLIMG_MUST_CHECK;

/**
 * Compare.
 *
 * @param a          split together with
 * @param b          this one
 * @param ret_match  of each line of @p a the line of @p b that it is, ascending, or -1; free() it
 *                   whatever is returned
 * @return           1; 0 when there are more edits than the limit; -ENOMEM
 */
int mlimg_lines_compare(const struct mlimg_lines *a, const struct mlimg_lines *b,
	int32_t **ret_match) MLIMG_MUST_CHECK;

/** Free what splitting has made. */
void mlimg_lines_done(struct mlimg_lines *lines);

#endif
