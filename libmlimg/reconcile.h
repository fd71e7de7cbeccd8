/* SPDX-License-Identifier: MIT */
/**
 * @file reconcile.h
 * What becomes of a user's entry when the stack beneath it changes: the pure decision. Nothing here
 * reads a disk or changes anything, and nothing knows of classes (path-class.h) or of other entries
 * (reconcile-plan.h).
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
 *  4. same as next        |                                 | keep when a      | it holds things
 *                         |                                 | directory, else  |
 *                         |                                 | same             | superfluous copy
 *  5. anything            | base same as next               | keep             | the user's change
 *  6. a directory         | same as base, next another type | type-change      | it holds things
 *  7. same as base        |                                 | stale            | hides what is new,
 *                         |                                 |                  | or is gone
 *  8. a directory         | base none, next absent          | keep             | the user's own
 *  9. anything            | next absent                     | conflict         | removed there
 * 10. next another type   | next has base's contents        | keep             | the user's change
 * 11. next another type   |                                 | type-change      |
 * 12. anything            | no component changed by both    | merged           |
 * 13. anything            |                                 | conflict         | both changed it
 *
 * A directory is judged by its own attributes alone, in base and next as well: whether something
 * within it changed is told by the entries within it. So a whiteout of a directory is "keep" even
 * when new files came into the directory that it hides. Whether one is marked as opaque says
 * nothing here (reconcile-plan.h). And a directory that is stale can be dropped only when nothing
 * in it stays.
 *
 * Components are the contents (type, size and digest, link target, device), the mode, the owner,
 * the group, and each xattr; of an access ACL what it has beside the mode's digits (acl.h), and the
 * merged one has the merged mode's. Changed by both means other than in base on both sides, and not alike.
 * What base has not got, or has of another type than mine, both have changed. So a user's chmod of
 * a file whose contents are new merges into the new contents with his mode, and a file that he
 * edited gets the mode that the new stack gives it.
 */
#ifndef MLIMG_RECONCILE_H
#define MLIMG_RECONCILE_H

#include "libmlimg/arena.h"
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
	MLIMG_MERGED,           /**< both changed it, but not the same of it */
};

#define MLIMG_N_VERDICTS 9 /**< one more than the greatest verdict */

/** Components of an entry, or-ed. */
enum mlimg_component {
	MLIMG_CONTENTS = 1,
	MLIMG_MODE = 2,
	MLIMG_UID = 4,
	MLIMG_GID = 8,
	MLIMG_XATTRS = 16,
};

/** An entry merged by component. */
struct mlimg_merged_entry {
	/**
	 * Path, hard links and overlayfs' own xattrs are mine. What both changed is mine, too. The
	 * time goes with the contents. Shares memory with mine and next.
	 */
	struct mlimg_entry entry;
	unsigned conflicts;    /**< enum mlimg_component: what both changed */
	bool is_contents_next; /**< the contents are next's, and mine are others */
};

/**
 * @return its name as in reports: "keep", "stale", "same", "conflict", "type-change",
 *         "whiteout-gone", "whiteout-changed", "merged"
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

/** @return whether both are same as the rules mean it; NULL is the same as NULL */
bool mlimg_reconcile_is_same(const struct mlimg_entry *a, const struct mlimg_entry *b);

/** @return whether both have the same contents: type, size and digest, link target, device */
bool mlimg_reconcile_has_same_contents(const struct mlimg_entry *a, const struct mlimg_entry *b);

/**
 * Merge by component.
 *
 * @param base        or NULL; one of another type than @p mine counts as NULL
 * @param next        of @p mine's type
 * @param mine        no whiteout; the digest as for mlimg_reconcile_decide()
 * @param arena       for the list of xattrs
 * @param ret_merged  the result
 * @return            0, -ENOMEM
 */
int mlimg_reconcile_merge(const struct mlimg_entry *base, const struct mlimg_entry *next,
	const struct mlimg_entry *mine, struct mlimg_arena *arena,
	struct mlimg_merged_entry *ret_merged) MLIMG_MUST_CHECK;

#endif
