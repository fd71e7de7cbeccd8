/* SPDX-License-Identifier: MIT */
/**
 * @file merge3.h
 * Three-way merge of texts by lines: what both changed is merged when the changes do not touch, and
 * else refused as a whole. There are no conflict markers: what is merged here are files that
 * programs read.
 *
 * The semantics are diff3's: S. Khanna, K. Kunal, B. C. Pierce, "A Formal Investigation of Diff3",
 * FSTTCS 2007. The base is compared with each side; where both agree with it is stable, and what
 * lies between is a chunk. A chunk that one side left as it was takes the other side's lines; one
 * that both changed alike takes these; any other is a conflict. Changes that touch without a line
 * between them that both have kept fall into one chunk, so two lines inserted at one place, or
 * changes of adjacent lines, are a conflict, as they are to GNU diff3 (tests/unit/test_merge3.c).
 * Comparing is E. W. Myers, "An O(ND) Difference Algorithm and Its Variations", Algorithmica 1,
 * 1986, in its linear-space variation; which of several shortest differences is found is not
 * specified but is always the same.
 *
 * A line is its bytes with its newline. So a last line without newline differs from the same line
 * with one, and lines that end in CR LF from those that end in LF: both are kept as they are.
 */
#ifndef MLIMG_MERGE3_H
#define MLIMG_MERGE3_H

#include <stdbool.h>
#include <stddef.h>

#include "libmlimg/err.h"

#define MLIMG_MERGE3_SIZE_MAX 262144 /**< bytes of each text: that of base texts (base-texts.h) */
#define MLIMG_MERGE3_LINE_MAX 65536  /**< bytes of a line: beyond that it is hardly a text */
/**
 * Lines that differ between the base and a side. The time of comparing grows with their square:
 * some tenths of a second at the limit. Beyond it is a conflict.
 */
#define MLIMG_MERGE3_EDITS_MAX 4096

/** What came of it. */
enum mlimg_merge3_result {
	MLIMG_MERGE3_MERGED = 1,
	MLIMG_MERGE3_CONFLICT, /**< changes that touch, or more than the limit */
	MLIMG_MERGE3_NO_TEXT,  /**< one has a NUL, a line that is too long, or is too large */
};

/** A text. */
struct mlimg_merge3_text {
	const char *data; /**< need not be NUL-terminated; may be NULL when @p size is 0 */
	size_t size;
};

/**
 * Merge.
 *
 * @param base      what both started from
 * @param a         one side
 * @param b         the other; exchanging both changes nothing
 * @param ret_text  the merged text, NUL-terminated (the NUL is not counted), set when merged;
 *                  free() it
 * @param ret_size  its bytes
 * @param err       see there
 * @return          enum mlimg_merge3_result, or -ENOMEM
 */
int mlimg_merge3(struct mlimg_merge3_text base, struct mlimg_merge3_text a,
	struct mlimg_merge3_text b, char **ret_text, size_t *ret_size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
