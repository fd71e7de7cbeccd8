/* SPDX-License-Identifier: MIT */
/**
 * @file skipped.h
 * What of an upper cannot be compared with a new stack: it is kept, and told.
 */
#ifndef MLIMG_SKIPPED_H
#define MLIMG_SKIPPED_H

#include "libmlimg/boot.h"

#define MLIMG_SKIPPED_NOTES 3 /**< entries that are named */

/** What could not be compared: a path over the limits, an entry that cannot be read. */
struct mlimg_skipped {
	uint64_t n; /**< entries; what is in a directory that cannot be read is not known */
	char notes[MLIMG_SKIPPED_NOTES]
		  [MLIMG_ERR_TEXT_SIZE]; /**< the first: where and why, ASCII */
};

/** Add an entry. @param error  negative errno */
void mlimg_skipped_add(struct mlimg_skipped *skipped, const char *path, int error);

/** Tell of them in notes. */
void mlimg_skipped_note(const struct mlimg_skipped *skipped, struct mlimg_boot *boot);

#endif
