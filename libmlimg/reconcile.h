/* SPDX-License-Identifier: MIT */
/**
 * @file reconcile.h
 * What becomes of a user's entry when the stack beneath it changes: the pure decision. Nothing here reads a disk or changes anything.
 *
 * Three ways: base (what the user's layer was made on), next (what it will lie on), mine (what is in the upper).
 */
#ifndef MLIMG_RECONCILE_H
#define MLIMG_RECONCILE_H

#include "libmlimg/manifest.h"

/** The verdicts of DESIGN's table. */
enum mlimg_verdict {
	MLIMG_KEEP = 1,         /**< the user's own, or changed by him alone */
	MLIMG_STALE,            /**< same as base, so the new version ought to show */
	MLIMG_SAME,             /**< same as next: the copy is superfluous */
	MLIMG_CONFLICT,         /**< the user changed it and so did the new stack */
	MLIMG_TYPE_CHANGE,      /**< mine and next differ in type (file, directory, link...) */
	MLIMG_WHITEOUT_GONE,    /**< a whiteout of something that no longer exists */
	MLIMG_WHITEOUT_CHANGED, /**< a whiteout of something that the new stack changed */
};

#define MLIMG_N_VERDICTS 8 /**< one more than the greatest verdict */

/** @return its name as in reports: "keep", "stale", "same", "conflict", "type-change", "whiteout-gone", "whiteout-changed" */
const char *mlimg_verdict_name(enum mlimg_verdict verdict);

/**
 * Decide.
 *
 * @param base  the entry in the merged manifest of the old stack, or NULL
 * @param next  the entry in the merged manifest of the new stack, or NULL
 * @param mine  the entry in the upper, whiteouts included; of a regular file the digest must be there when both @p base or @p next
 *              are regular files of the same size
 * @return      the verdict; directories that merge (directory in all of those that exist) are compared by attributes
 */
enum mlimg_verdict mlimg_reconcile_decide(const struct mlimg_entry *base, const struct mlimg_entry *next,
	const struct mlimg_entry *mine);

#endif
