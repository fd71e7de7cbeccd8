/* SPDX-License-Identifier: MIT */
/**
 * @file reconcile-plan.h
 * Decides for a whole upper what becomes of it on another stack: every entry three ways
 * (reconcile.h), and by class where both sides have changed it (path-class.h). Reads through
 * callbacks and changes nothing; plan.h says what is to be done.
 *
 * By verdict and class, for what is no directory (MINE is the user's entry, NEXT what the new stack
 * has):
 *
 *     verdict            config                owned       data       accounts, packages
 *     -----------------+---------------------+-----------+----------+---------------------
 *     keep              stays
 *     stale, same       dropped
 *     merged            MINE's contents with other attributes (s), NEXT's with the user's
 *                       attributes (t), merged text (p)
 *     conflict          stays; NEXT's file    set aside   stays      the merged text (p),
 *                       is put beside, if                            where there is one;
 *                       its contents differ                          else stays
 *     type-change       as conflict, but set aside, with all below, when MINE or NEXT is a
 *                       directory
 *     whiteout-gone     dropped
 *     whiteout-changed  stays
 *
 * merge: as config, but what a hook makes of the three takes the place of merging by lines; where
 * it cannot or does not want to, as config in conflict. derived: everything but directories is
 * dropped when it is a cache that rebuild.h knows and begins as one, a whiteout, or as BASE or NEXT
 * have it, else set aside (conflict). keep: everything stays, verdict keep. Where something stays in
 * spite of a conflict, what was changed on one side alone is merged all the same: contents from NEXT
 * with the user's mode are told as conflict when the owner was changed on both sides.
 *
 * What packages decide (packages.h) comes before that: what is the user's version's, or was removed
 * by him, stays as it is, but for whiteouts of what the new stack has not; what belongs to a
 * version of his that gave way is set aside, dpkg's own files of it too (var/lib/dpkg/info), and his
 * whiteouts of what the new stack's version has are dropped.
 *
 * Databases that are not what any program leaves (accounts.h, packages.h), are no files or behind a
 * link, cannot be read, or stay as they are (reconcile-kept.h) are not merged, nor are those that
 * belong together with them; no number moves and no file is hidden then, and a note says why, and
 * what to do.
 *
 * What is put where the upper has nothing (texts, links, what is to be hidden, things whose owner
 * has moved) is one thing at a path: in this order, the first that wants to be there.
 *
 * Directories: one of the user's own, and one that holds something, stays, with the merged
 * attributes; where both changed one, the user's. Any other, and one whose merged attributes are
 * NEXT's, is dropped (verdict same, stale or merged). When NEXT is something else it is set aside
 * with all below (type-change).
 *
 * Opaque directories: how a directory is marked must not matter, but what the user sees of the old
 * stack. overlayfs marks one that is removed and made anew, as when a package is purged and
 * installed again (redirect_dir=on: also where there was none to hide), and what is made within it
 * has no mark; with unionfs-fuse it is again otherwise. So where BASE has a directory at its own
 * path, and NEXT as well or nothing, what is in it is compared by all these rules, and it is joined
 * (u): what NEXT alone has shows. What BASE has in it and the user does not see is judged as if his
 * whiteout were there, the topmost such path alone, and where that would stay, and NEXT has
 * something there, it is put (h). The same goes for directories within it, marked or not. One
 * whose contents are the same in BASE and NEXT stays as it is, or becomes opaque (c), so that
 * nothing is done for nothing: the next change compares with a stack on which the user sees the
 * same. When NEXT has a directory where BASE had none, both are joined (u), too, as they would be
 * with unionfs-fuse.
 *
 *     class data   an opaque directory hides what BASE had there and goes on doing so, and nothing
 *                  below it is compared: such a directory is a user's own, filled by programs
 *     class keep   the same; and where NEXT has a directory and BASE had none, it stays as the user
 *                  has made it, and becomes opaque (c) where it is not, whatever the union driver
 *     any          as data where it hides the place from which a directory was renamed, is in one
 *                  that was renamed, or has something in it whose redirect is a name alone or that
 *                  could not be read
 *
 * Names in base and next: an entry is compared with what lies beneath it. That is what has the same
 * path, except in a directory that was renamed: trusted.overlay.redirect names where its contents
 * lie in the layers, from their root when it begins with '/', else in the directory that lies
 * beneath its parent; what is below it lies below that. Beneath what is in an opaque directory
 * there is nothing. When the place that a redirect names is no directory in the new stack, what
 * showed through it is gone, and that is told (conflict); so is a directory which the new stack
 * puts where the renamed one lies. One in a directory that is set aside goes with it, with what the
 * user has written in it; what it showed of the layers does not, and that is told (conflict). Class
 * and owner are always those of the path that the user sees.
 *
 * What hides from the user the place from which a directory was renamed stays, whatever its class
 * and verdict, as long as the renamed directory does: whiteouts, files, opaque directories, and
 * directories that are to be set aside with such things in them. Otherwise that directory of the
 * layers would show in two places, and overlayfs takes two directories of the same files for one
 * (reconcile-renamed.c). Verdicts stale, same and whiteout-gone are told as keep then. Where
 * nothing hides it any more, since the user removed what did on a stack that had nothing there, a
 * whiteout is put (h); where he has made a directory there since, that becomes opaque (c).
 *
 * What the user has had dpkg divert from PATH to TO: what he has at PATH is his, and stays, unless
 * it is as in base; at TO, where no stack has anything, it is compared with what base and next have
 * at PATH, with the class of TO. What is to show there is put (t), since nothing of the stacks
 * does: also where PATH is new in next, and the upper has nothing at TO; PATH is hidden then (h).
 *
 * Packages of the user's that watch paths (deb-triggers(5)) at or below which base and next differ
 * are told; nobody runs their triggers.
 *
 * Hard links: each name is judged for itself, and dropped or set aside alone. Attributes of a file
 * with several names in the upper are changed only when that is right for all of them that stay;
 * else it stays as it is, but for the numbers of its owners, and is told (conflict). The numbers
 * too are those of before where a name of it is in a directory that is set aside.
 *
 * What the user has made immutable or append-only (chattr(1); trusted.overlay.protattr) is of class
 * keep, whatever its path: a file stays as it is, a directory keeps its attributes and its place.
 * But what the new stack has changed there is told: conflict, or type-change. What is in such a
 * directory is judged by itself; with a directory above it that is set aside, it goes.
 *
 * Entries with trusted.overlay.metacopy, and those that cannot be read, stay as they are, as do all
 * directories above them.
 *
 * Numbers that have moved: mine is mapped with @p moved before it is compared, base with @p
 * moved_in_base, next with @p moved_in_next; what stays gets the numbers that its owner has in the
 * new stack, verdict keep included. A thing of the new stack whose owner gives way is copied up
 * (t), and the copy stays as long as that is so, verdict keep.
 */
#ifndef MLIMG_RECONCILE_PLAN_H
#define MLIMG_RECONCILE_PLAN_H

#include "libmlimg/class-files.h"
#include "libmlimg/merge3.h"
#include "libmlimg/owner-moves.h"
#include "libmlimg/packages.h"
#include "libmlimg/plan.h"
#include "libmlimg/reconcile.h"
#include "libmlimg/report.h"
#include "libmlimg/upper-source.h"

#define MLIMG_RECONCILE_TEXTS_MAX \
	(8u << 20) /**< bytes of all texts that are merged by lines: what is beyond is a conflict */

/** A database merged by record. */
struct mlimg_reconcile_text {
	const char *path;
	const char *data;
	size_t size;
};

/**
 * Read a text that may be merged.
 *
 * @param path      where the file lies in the new stack
 * @param digest    of its contents
 * @param max       bytes; more are -EFBIG
 * @param ctx       the input's
 * @param ret_data  free() it
 * @param ret_size  bytes
 * @return          0; -errno: it is not merged then. -ENOMEM ends the planning
 */
typedef int mlimg_reconcile_read_fn(const char *path, const uint8_t digest[MLIMG_SHA256_SIZE],
	size_t max, void *ctx, char **ret_data, size_t *ret_size);

/** What a hook is asked (path-class.h, class merge). */
struct mlimg_reconcile_hook {
	const char *name;                    /**< which hook */
	const char *path;                    /**< of the file, as the user sees it */
	struct mlimg_merge3_text base;       /**< data is NULL when it is not known */
	struct mlimg_merge3_text mine, next; /**< at most MLIMG_MERGE3_SIZE_MAX bytes, any bytes */
};

/**
 * Merge three files into one.
 *
 * @param hook      what is asked
 * @param ctx       the input's
 * @param ret_text  what came of it; free() it
 * @param ret_size  its bytes
 * @return          1 merged; 0 it is a conflict, or could not be done; -ENOMEM ends the planning
 */
typedef int mlimg_reconcile_hook_fn(
	const struct mlimg_reconcile_hook *hook, void *ctx, char **ret_text, size_t *ret_size);

/** What is decided on. What is NULL is not there. */
struct mlimg_reconcile_input {
	const struct mlimg_manifest *base;  /**< merged manifest of the old stack */
	const struct mlimg_manifest *next;  /**< of the new one */
	struct mlimg_upper_source *upper;   /**< the user's */
	struct mlimg_path_classes *classes; /**< the table */
	/**
	 * Add to @p classes what the new stack and the user declare (class-files.h), read through
	 * the callbacks below and the upper
	 */
	bool reads_classes;
	void (*left_out)(const struct mlimg_err *why, void *ctx); /**< as in class-files.h */
	void *left_out_ctx;                                       /**< handed to @p left_out */
	/**
	 * Told of all that the upper has, before anything is decided; or NULL. @return 0, -ENOMEM,
	 * which ends the planning
	 */
	int (*loaded)(const struct mlimg_manifest *upper, void *ctx);
	void *loaded_ctx;      /**< handed to @p loaded */
	uint64_t generation;   /**< that the change leads to */
	const char *from, *to; /**< stack ids */
	mlimg_reconcile_read_fn
		*read_base; /**< reads a base text (base-texts.h); @p path means nothing to it */
	mlimg_reconcile_read_fn *read_next; /**< reads a file of the new stack */
	void *read_ctx;                     /**< handed to both */
	/** merges what is of class merge; NULL where no program is run: a conflict, told as "hook" */
	mlimg_reconcile_hook_fn *hook;
	void *hook_ctx; /**< handed to @p hook */
	const struct mlimg_owner_moves *
		moved; /**< numbers of the old stack's users and groups that are others in the new one */
	/** those of the old stack's files; NULL: @p moved */
	const struct mlimg_owner_moves *moved_in_base;
	const struct mlimg_owner_moves *
		moved_in_next; /**< the new stack's numbers that the user's accounts have already */
	/**
	 * numbers that have become somebody's, each to UINT32_MAX (accounts.h). What stays and has
	 * one has belonged to nobody: an operation that sets what it has already says so, or whoever
	 * takes the change back would take it for that account's
	 */
	const struct mlimg_owner_moves *came;
	/**
	 * Whose files are to be there (packages.h); asked for what is neither a directory nor of
	 * class keep or derived
	 */
	enum mlimg_package_verdict (*package)(const char *path, void *ctx);
	void *package_ctx; /**< handed to @p package */
	const struct mlimg_reconcile_text
		*texts; /**< databases merged by record, in the order of manifests */
	size_t n_texts;
	const char *const
		*hidden; /**< what is to be hidden, in the order of manifests; no directories */
	size_t n_hidden;
	/** files of the system's that the user has diverted, by where they are then */
	const struct mlimg_packages_diversion *diversions;
	size_t n_diversions;
	const struct mlimg_packages_link
		*links; /**< symbolic links that follow from databases, by path */
	size_t n_links;
	/**
	 * Merge the accounts (accounts.h) and packages (packages.h) of the three sides, as the
	 * callbacks above and the upper have them: gives all from @p moved to @p links, which need
	 * not be set. What cannot be merged is noted, and stays as it would without
	 */
	bool merges_databases;
	/**
	 * Whether anything of the user's outside of the upper belongs to a user, or with @p
	 * is_group to a group: it is not rewritten, so the number stays (accounts.h, rule 6). 1: it
	 * does; 0: not; -1: it may. NULL: there is nothing
	 */
	int (*owns_outside)(void *ctx, bool is_group, uint32_t id);
	void *outside_ctx;         /**< handed to @p owns_outside */
	struct mlimg_notes *notes; /**< what people should know of that */
	mlimg_walk_skip_fn *skip;  /**< told of what cannot be read; NULL: that is an error */
	void *skip_ctx;            /**< handed to @p skip */
};

/** @return whether @p path is a database of accounts or packages, which are merged by record */
bool mlimg_reconcile_is_database(const char *path);

/**
 * Plan.
 *
 * @param input     see there
 * @param report    gets every entry; initialised
 * @param ret_plan  mlimg_plan_done() it. No operations: the upper is in agreement
 * @param err       names the path
 * @return          0, -ENOMEM, -errno of the upper
 */
int mlimg_reconcile_plan(const struct mlimg_reconcile_input *input, struct mlimg_report *report,
	struct mlimg_plan *ret_plan, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
