/* SPDX-License-Identifier: MIT */
/**
 * @file compare.h
 * Compares every entry of a user's upper with the stack it was made on and the stack it will lie on. Reads only.
 */
#ifndef MLIMG_COMPARE_H
#define MLIMG_COMPARE_H

#include "libmlimg/report.h"

#define MLIMG_SKIPPED_NOTES 3 /**< entries that are named */

/** What could not be compared: a path over the limits, an entry that cannot be read. */
struct mlimg_skipped {
	uint64_t n; /**< entries; what is in a directory that cannot be read is not known */
	char notes[MLIMG_SKIPPED_NOTES]
		  [MLIMG_ERR_TEXT_SIZE]; /**< the first: where and why, ASCII */
};

/**
 * Compare. What a user has made never ends this: what cannot be compared is skipped.
 *
 * @param upper_fd     the upper
 * @param is_unionfs   it was written by unionfs-fuse: its markers count as whiteouts and opaque directories (libmlimg/unionfs.h)
 * @param base         merged manifest of the old stack
 * @param next         merged manifest of the new stack
 * @param report       gets a verdict for each entry but the root; MLIMG_KEEP for one that was skipped
 * @param ret_skipped  what was skipped
 * @param err          names the path
 * @return             0, -ENOMEM, -errno when the upper itself is gone
 */
int mlimg_compare_upper(int upper_fd, bool is_unionfs, const struct mlimg_manifest *base,
	const struct mlimg_manifest *next, struct mlimg_report *report,
	struct mlimg_skipped *ret_skipped, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
