/* SPDX-License-Identifier: MIT */
/**
 * @file change.h
 * Carries out a change of the stack in the user layer, or takes the last one back; stopped at any
 * moment, by a power cut too, and begun again it ends the same. The union is not mounted meanwhile,
 * and nobody else writes to the user layer's file system.
 *
 * In the user layer's /mlimg, while the change that makes generation N of M is under way:
 *
 *     reconcile.new/     what the steps put: slots named by the numbers of the steps; state.json of
 *                        generation N; rebuild (rebuild.h); notes (libmlimg/notes.h): what the boot
 *                        that ends it has to tell if the one that began it was stopped
 *     undo/N/log         the steps (undo-log.h)
 *     undo/N/state.json  the state of generation M
 *     undo/N/taken/      what the steps take away; later also base.manifest and base.texts of M
 *                        beside it
 *     undo/N/made/       copies of the databases of the upper as the steps leave them
 *                        (libmlimg/accounts.h, packages.h), at their paths
 *     undo/N/paths       which paths the upper had before (upper-list.h). Where there is no room
 *                        for it the change does without
 *     undo/N/left-accounts, left-packages
 *                        empty: the change has not merged them (libmlimg/reconcile-plan.h), and
 *                        the way back is not to, either
 *     aside/N/           what they set aside, each at its path. One that is there already becomes
 *                        aside/N.1, and so on
 *     aside/given-up-N/  undo/N of a change that nobody has ended, or reconcile.new of a rollback,
 *                        and LIST, where there was room for it: a line "taken/SLOT PATH" for each
 *                        thing that is in a directory taken there, the path as in manifests
 *     reconcile.plan     one line, "mlimg change 1 N M" or "mlimg rollback 1 N+1 N": it is decided
 *
 * The order, so that a stop leaves either what was before or something that the next boot ends:
 *
 * 1. Everything that takes room is made: contents that are to be put, with their attributes;
 *    directories for what is set aside; the log; the new state, its base manifest and texts, the
 *    report, the list of caches to be made anew. It is on stable storage before
 * 2. reconcile.plan is written. Until then a stop leaves things that mean nothing, which the next
 *    change removes. From then on every boot that writes ends the change before it does anything
 *    else, whatever stack it is to run on: nothing but the user layer is needed.
 * 3. The steps, all of them renames or changes of attributes within one file system; then the times
 *    of directories. Then copies forget of what they are copies (origins.h), which no rollback
 *    brings back.
 * 4. When that is on stable storage, base.manifest.M and base.texts.M go to undo/N, the list of
 *    caches and the new state take the place of the old ones.
 * 5. reconcile.plan is removed. What earlier changes left in undo goes now.
 *
 * So what finds no room does so in 1, and nothing was changed; so do more xattrs than a file can
 * have (they are tried, there and back, on something else of the same type), and a log that is
 * longer than will be read. Renames need room too where a directory grows; for that much must be
 * free after 1. A file system whose last blocks are gone cannot be changed: the boot goes on with
 * what there was, and the next one tries again. What cannot be looked at (EIO) is not taken for
 * gone: it ends the change until the next boot. Nor is what a step puts, where it is neither in its
 * slot nor at its place, or a reconcile.new without the state: nothing is done then, for this is no
 * change that was stopped. Whoever removes reconcile.plan gives it up: what it had taken goes to
 * aside (mlimg_change_keep_given_up()), and the state is that of M.
 *
 * Back: undo/N stays until the next change, or until one finds no room and would with that of
 * undo/N (mlimg_change_forgetting_helps()); should it not after all, a note says that it is gone.
 * When the stack of
 * generation M is asked for again, the steps are undone, the last one first, as generation N+1, in
 * the same way. What is made in 1 is the new state, directories in aside/N+1 for what may find no
 * place, and what change-since.h says; what the change has put goes to slots of reconcile.new. The
 * report is written last, before 4. What the user has written since stays:
 *
 *     the step       is undone when              else
 *     o a e          nothing is at its place     what was there goes to aside/N+1, and is told
 *     i              what was put is unchanged   it stays
 *     s              the attributes are the new  they stay, but for numbers of accounts
 *     u c            it is a directory           it stays
 *     t              the time is the new one     it is set to what it was when the rollback began
 *
 * Before all that goes what came into the upper since, which nobody has changed: neither was it
 * there before the change and stayed, nor did a step put it. It would show the newer stack's
 * contents over the former system.
 *
 *     a copy (contents, mode, owner, xattrs are the newer stack's)      goes, whether the former
 *                                                                       stack has one or not
 *     a directory that is the same, when nothing is left in it          goes
 *     a directory in which something stays                              gets the attributes that
 *                                                                       the former stack has, where
 *                                                                       the user did not change
 *                                                                       them
 *     a file or link of which he has changed attributes alone           becomes the former stack's
 *                                                                       with what he has changed;
 *                                                                       if that has none there,
 *                                                                       or the file has several
 *                                                                       names, it stays
 *     a whiteout of what the former stack has not, nor comes back       goes; others stay: he has
 *                                                                       removed it
 *     opaque and renamed directories; what is of class keep             stay
 *                                                                       (libmlimg/path-class.h)
 *     files of a package that stays the user's, in his version          stay, whatever the newer
 *                                                                       stack has
 *
 * A time alone is no change, as nowhere in a reconcile. So what a step has taken returns where
 * there is but such a copy. Without a whole list in undo/N/paths, and without base manifests of
 * both stacks, nothing of this is done. Where the former stack's contents are needed, its layers
 * are; without them there is no rollback (mlimg-agent rollback).
 *
 * Something in the place of what a step has taken, or gone from the place of what one has put, is
 * the user's since. The upper is then what it was before the change, byte for byte, times included,
 * but for what was written since, for directories in which that was, and for owners: an account
 * that has to give way to one of his, or whose number the stacks do not agree on and he has moved,
 * has its number in what comes back, too. An account that he alone has moved since, with usermod
 * -u, has it in what comes back as little as in what is there: that changes whose a home is, and
 * leaves the rest to him.
 * Databases that he has changed since are merged into what they were; caches that were made since
 * go, and all that the change or the rollback has touched are made anew. This leaves nothing to
 * undo: the newer stack again is a change as any other.
 *
 * When a rollback is decided base.texts.N goes first, which nobody will ask for, so that its blocks
 * are there for the steps. What must be free for 1 is a block each for the new state, the list of
 * steps and its directory, the caches' list and the notes as far as there are any; directories of
 * aside/N+1 for what may find no place; databases that are merged, and contents that a changed mode
 * is on. For the rest, 16 blocks, two bytes for each byte of a name that moves, and a block for
 * each change of extended attributes, those of base.texts.N count as well.
 */
#ifndef MLIMG_CHANGE_H
#define MLIMG_CHANGE_H

#include <errno.h>

#include "guest-agent/entry-at.h"
#include "guest-agent/undo-log.h"
#include "libmlimg/boot.h"
#include "libmlimg/notes.h"

#define MLIMG_CHANGE_PLAN "reconcile.plan"
#define MLIMG_CHANGE_NEW "reconcile.new"
#define MLIMG_CHANGE_UNDO "undo"
#define MLIMG_CHANGE_ASIDE "aside"
#define MLIMG_CHANGE_MADE "made"                   /* in undo/N */
#define MLIMG_CHANGE_PATHS "paths"                 /* in undo/N */
#define MLIMG_CHANGE_LEFT_ACCOUNTS "left-accounts" /* in undo/N */
#define MLIMG_CHANGE_LEFT_PACKAGES "left-packages" /* in undo/N */
#define MLIMG_CHANGE_NOTES "notes"                 /* in reconcile.new, as the next ones */
#define MLIMG_CHANGE_FIRST "first"
#define MLIMG_CHANGE_THEN "then"
#define MLIMG_CHANGE_STAYS "stays"
#define MLIMG_CHANGE_NAME_SIZE 64 /**< "undo/999999999/base.manifest" and the like, NUL included */

/** Called before each change of the disk, by tests. @return 0; anything else ends it there */
typedef int mlimg_change_step_fn(void *ctx);

/** What a rollback did with a thing beside taking steps back. */
enum mlimg_change_told {
	MLIMG_CHANGE_IS_ASIDE, /**< it was not put back because the user has written there since */
	/** what the user has written since is aside, and what was there before, or shows, is back */
	MLIMG_CHANGE_GAVE_WAY,
	/** a database has what was in it before, and what the user has put there since */
	MLIMG_CHANGE_MERGED,
	/** a cache or a copy that was made since is gone, or a whiteout of what is not there */
	MLIMG_CHANGE_DROPPED,
};

/**
 * Told of that.
 *
 * @param path        in the upper, and in aside
 * @param what        see there
 * @param is_file     it is a regular file, or a whiteout; where that is not known, true
 * @param generation  of aside
 * @param ctx         the call's
 */
typedef void mlimg_change_told_fn(const char *path, enum mlimg_change_told what, bool is_file,
	uint64_t generation, void *ctx);

struct mlimg_change_call;
struct mlimg_lowers;
struct mlimg_upper_list;

/**
 * Called when the steps of a rollback are done and all is told, before its state is the user
 * layer's: to write the report. Called again when the rollback is begun again.
 *
 * @param call     generation is set
 * @param from     the state before the rollback
 * @param to       the one that it makes
 * @param err      ends the rollback until the next boot
 * @return         0, -errno
 */
typedef int mlimg_change_report_fn(struct mlimg_change_call *call,
	const struct mlimg_boot_state *from, const struct mlimg_boot_state *to,
	struct mlimg_err *err);

/**
 * Called when all of a rollback is ready and it is not decided yet: for what else is to count with
 * its state.
 *
 * @param call    the call
 * @param new_fd  reconcile.new; "rebuild" there goes to /mlimg with the state (rebuild.h)
 * @param err     see there
 * @return        0; -errno: there is no rollback
 */
typedef int mlimg_change_ready_fn(
	struct mlimg_change_call *call, int new_fd, struct mlimg_err *err);

/** What calls of this module are given and give back. Zero what is not set. */
struct mlimg_change_call {
	int user_fd;                       /**< the user layer's top directory */
	mlimg_change_step_fn *step;        /**< or NULL */
	mlimg_change_told_fn *told;        /**< or NULL */
	mlimg_change_ready_fn *ready;      /**< or NULL */
	mlimg_change_report_fn *report;    /**< or NULL */
	void *ctx;                         /**< handed to step and told */
	const struct mlimg_lowers *lowers; /**< the former stack's, for a rollback; or NULL */
	struct mlimg_upper_list *had;      /**< paths of the upper, for a change; or NULL */
	struct mlimg_notes *
		notes; /**< what a rollback has to tell: databases, what is gone from aside; or NULL */
	bool leaves_accounts, leaves_packages; /**< a change has not merged them */
	size_t upper_memory_max; /**< as in struct mlimg_upper_dir; 0: MLIMG_WALK_MEMORY_MAX */
	size_t log_max;          /**< bytes that a log may have; 0: MLIMG_UNDO_LOG_MAX. For tests */
	/* Given back: */
	bool is_done;        /**< there was something to end or to carry out */
	bool is_rollback;    /**< it was a rollback */
	uint64_t generation; /**< that was made */
	uint64_t n_steps;    /**< of the log */
	uint64_t n_aside;    /**< things set aside */
	bool is_had_lost;    /**< there was no room for the list of paths */
};

/**
 * @param own_fd the user layer's /mlimg. @return whether a change was stopped, or that cannot be
 * known
 */
bool mlimg_change_is_pending(int own_fd);

/**
 * End a change that was stopped, if there is one. Nothing but the user layer is needed.
 *
 * @param call  see there
 * @param err   names the place
 * @return      0, -ECANCELED by the step, -EUCLEAN when what is there is damaged, -errno
 */
int mlimg_change_resume(struct mlimg_change_call *call, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Keep what a change or a rollback has taken away that was decided and that nobody will end, since
 * somebody has removed reconcile.plan: the next change would remove it. undo/N of such a change, or
 * reconcile.new of a rollback, becomes aside/given-up-N (".1" where that is there, and so on), and a
 * base manifest that was there already returns. Nothing is done while something is under way.
 *
 * @param own_fd  the user layer's /mlimg
 * @param boot    gets a note for each
 * @param err     names the place
 * @return        0, -errno: nothing may be changed that removes it
 */
int mlimg_change_keep_given_up(
	int own_fd, struct mlimg_boot *boot, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Find out whether the last change can be taken back.
 *
 * @param own_fd      the user layer's /mlimg
 * @param state       the present state
 * @param ret_former  the state that a rollback would return to, its generation included
 * @param err         names the file
 * @return            1 when there is one, in the form that the upper has; 0 when not, or when it is
 *                    damaged; -errno when that cannot be known, which must stop the boot: a change
 *                    in its place would take away what there is to take back
 */
int mlimg_change_find_former(int own_fd, const struct mlimg_boot_state *state,
	struct mlimg_boot_state *ret_former, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Take the last change back.
 *
 * @param call    see there
 * @param state   the present state
 * @param former  of mlimg_change_find_former()
 * @param err     names the place
 * @return        0; -ENOSPC, -EDQUOT when nothing was changed; else as mlimg_change_resume()
 */
int mlimg_change_roll_back(struct mlimg_change_call *call, const struct mlimg_boot_state *state,
	const struct mlimg_boot_state *former, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Forget the last change: there is nothing to take back any more. A courtesy as
 * mlimg_base_remove_leftovers().
 */
void mlimg_change_forget(int own_fd);

/**
 * Write reconcile.plan, from where there is no way but to the end, and go there: 2 to 5. What 1
 * makes is there.
 *
 * @param call         see there
 * @param is_rollback  what it is
 * @param generation   that is made
 * @param other        the generation before; of a rollback that which is taken back
 * @param err          names the place
 * @return             as mlimg_change_resume()
 */
int mlimg_change_decide(struct mlimg_change_call *call, bool is_rollback, uint64_t generation,
	uint64_t other, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
