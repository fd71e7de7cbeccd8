/* SPDX-License-Identifier: MIT */
/**
 * @file compare.h
 * Compares every entry of a user's upper with the stack it was made on and the stack it will lie on. Reads only.
 */
#ifndef MLIMG_COMPARE_H
#define MLIMG_COMPARE_H

#include "libmlimg/report.h"

/**
 * Compare.
 *
 * @param upper_fd  the upper
 * @param base      merged manifest of the old stack
 * @param next      merged manifest of the new stack
 * @param report    gets a verdict for each entry but the root
 * @param err       names the path
 * @return          0, -errno
 */
int mlimg_compare_upper(int upper_fd, const struct mlimg_manifest *base,
	const struct mlimg_manifest *next, struct mlimg_report *report,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
