/* SPDX-License-Identifier: MIT */
/**
 * @file merge3.h
 * Three-way merge of texts by lines: what both changed is merged when the changes do not touch, and
 * else refused as a whole: what is merged here are files that programs read. For somebody who edits
 * the result there is another call, which marks conflicts.
 *
 * The semantics are diff3's: S. Khanna, K. Kunal, B. C. Pierce, "A Formal Investigation of Diff3",
 * FSTTCS 2007. The base is compared with each side; where both agree with it is stable, and what
 * lies between is a chunk. A chunk that one side left as it was takes the other side's lines; one
 * that both changed alike takes these; any other is a conflict. Changes that touch without a line
 * between them that both have kept fall into one chunk, so two lines inserted at one place, or
 * changes of adjacent lines, are a conflict, as they are to GNU diff3 (tests/unit/test_merge3.c).
 * How texts are compared, and what a line is, says lines.h; ends of lines are kept as they are.
 */
#ifndef MLIMG_MERGE3_H
#define MLIMG_MERGE3_H

#include "libmlimg/lines.h"

#define MLIMG_MERGE3_SIZE_MAX MLIMG_LINES_SIZE_MAX /**< bytes of each text */
#define MLIMG_MERGE3_LINE_MAX MLIMG_LINES_LINE_MAX /**< bytes of a line */
/** Lines that differ between the base and a side. Beyond it is a conflict. */
#define MLIMG_MERGE3_EDITS_MAX MLIMG_LINES_EDITS_MAX

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

/** Texts to be merged for somebody who edits what comes of it. */
struct mlimg_merge3_marking {
	struct mlimg_merge3_text base, a, b;
	bool has_base;               /**< without one, all that differs is a conflict */
	const char *a_name, *b_name; /**< one line each, for the marks */
};

/**
 * Merge, and mark conflicts as diff3 -m and others do: the lines of one side, then those of the
 * other, between
 *
 *     <<<<<<< A_NAME
 *     =======
 *     >>>>>>> B_NAME
 *
 * each mark on a line of its own; before one a last line without a newline gets one.
 *
 * @param in               see there
 * @param ret_text         the text, NUL-terminated (the NUL is not counted), set when merged;
 *                         free() it
 * @param ret_size         its bytes
 * @param ret_n_conflicts  how many are marked
 * @param err              see there
 * @return                 MLIMG_MERGE3_MERGED, with conflicts too; MLIMG_MERGE3_CONFLICT: more
 *                         edits than the limit; MLIMG_MERGE3_NO_TEXT; -ENOMEM
 */
int mlimg_merge3_marked(const struct mlimg_merge3_marking *in, char **ret_text, size_t *ret_size,
	size_t *ret_n_conflicts, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the number of the first line that begins a mark of these, from 1; 0: there is none */
size_t mlimg_merge3_find_mark(const char *text, size_t size);

#endif
