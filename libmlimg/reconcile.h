/* SPDX-License-Identifier: MIT */
/**
 * @file reconcile.h
 * What becomes of a user's entry when the stack beneath it changes: the pure decision. Nothing here
 * reads a disk or changes anything.
 *
 * Three ways: base (what the user's layer was made on), next (what it will lie on), mine (what is
 * in the upper). "Same" means the same type, mode, owner, size, contents, link target, device and
 * xattrs; times do not count, since a rebuilt package and a touch(1) change them alone; nor do
 * overlayfs' own xattrs, nor hard links. Files whose contents are not known (no digest) are not the
 * same, unless both are empty. Absent is the same as absent.
 *
 * Rules, the first that fits:
 *
 *     mine                | and                             | verdict          | because
 *     --------------------+---------------------------------+------------------+-------------------
 *  1. a whiteout          | next absent                     | whiteout-gone    | it hides nothing
 *  2. a whiteout          | base same as next               | keep             | hides what it did
 *  3. a whiteout          | otherwise                       | whiteout-changed | hides what is new
 *  4. an opaque directory | next absent or same as base     | keep             | the user's own
 *  5. an opaque directory | next a directory                | conflict         | hides what is new
 *  6. an opaque directory | otherwise                       | type-change      |
 *  7. a directory         | same as next                    | keep             | it holds things
 *  8. same as next        |                                 | same             | superfluous copy
 *  9. anything            | base same as next               | keep             | the user's change
 * 10. a directory         | same as base, next another type | type-change      | it holds things
 * 11. same as base        |                                 | stale            | hides what is new,
 *                         |                                 |                  | or is gone
 * 12. anything            | next absent                     | conflict         | removed there
 * 13. anything            | next of the same type           | conflict         | both changed it
 * 14. anything            | next of another type            | type-change      |
 *
 * A directory is judged by its own attributes alone, in base and next as well: whether something
 * within it changed is told by the entries within it. So an opaque directory, or a whiteout of a
 * directory, is "keep" even when new files came into the directory that it hides. With
 * redirect_dir=on overlayfs makes every new directory opaque, so rule 5 is also what tells of a
 * directory that both the user and the new stack made. And a directory that is stale can be dropped
 * only when nothing in it stays.
 */
#ifndef MLIMG_RECONCILE_H
#define MLIMG_RECONCILE_H

#include "libmlimg/manifest.h"

/** The verdicts of DESIGN's table. */
enum mlimg_verdict {
	MLIMG_KEEP = 1,         /**< the user's own, or changed by him alone */
	MLIMG_STALE,            /**< same as base, so that what is new there ought to show */
	MLIMG_SAME,             /**< same as next: the copy is superfluous */
	MLIMG_CONFLICT,         /**< the user changed it and so did the new stack */
	MLIMG_TYPE_CHANGE,      /**< mine and next differ in type (file, directory, link...) */
	MLIMG_WHITEOUT_GONE,    /**< a whiteout of something that no longer exists */
	MLIMG_WHITEOUT_CHANGED, /**< a whiteout of something that the new stack changed */
};

#define MLIMG_N_VERDICTS 8 /**< one more than the greatest verdict */

/**
 * @return its name as in reports: "keep", "stale", "same", "conflict", "type-change",
 *         "whiteout-gone", "whiteout-changed"
 */
const char *mlimg_verdict_name(enum mlimg_verdict verdict);

/**
 * Decide.
 *
 * @param base  the entry in the merged manifest of the old stack, or NULL
 * @param next  the entry in the merged manifest of the new stack, or NULL
 * @param mine  the entry in the upper, whiteouts included; of a regular file the digest must be
 *              there when @p base or @p next is a regular file of the same size. For a directory
 *              with trusted.overlay.redirect, @p base and @p next are those of the path that it
 *              names
 * @return      the verdict
 */
enum mlimg_verdict mlimg_reconcile_decide(const struct mlimg_entry *base,
	const struct mlimg_entry *next, const struct mlimg_entry *mine);

#endif
