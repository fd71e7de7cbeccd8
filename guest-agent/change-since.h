/* SPDX-License-Identifier: MIT */
/**
 * @file change-since.h
 * What a user has written since a change, and what taking steps back would not bring into agreement
 * with the stack before: accounts and packages of his, which are records of files that both stacks
 * have, and caches. Made ready before a rollback is decided. Part of change.h.
 *
 * In reconcile.new there are three directories then, each with a log of steps (undo-log.h), whose
 * slots are in its taken/ and new/:
 *
 *     first/  o  caches (libmlimg/rebuild.h), and databases (libmlimg/accounts.h, packages.h) that
 *                the user has changed: so that what was there before returns. Copies that nobody
 *                has changed, and whiteouts of what is not there (change.h)
 *                What the change has put, of which the user has changed attributes alone: likewise
 *             e  directories in which that was all
 *             a  files of a package of his whose version has to give way to the one of before:
 *                the former stack's, or one of his own that the change had set aside, and that
 *                returns; and files in the place of caches that no program has made there
 *     then/   i  databases, merged of what the change has left (base), what was before it (next) and
 *                what is there now (mine); these and links take the place of what is there.
 *                Directories for them. Whiteouts of what packages of his have not, and of places
 *                from which directories were renamed; where nothing is. Things of the former stack
 *                whose owner has to give way to an account of the user's, but for those that show
 *                in renamed directories alone, which have the numbers of the layers; or whose mode
 *                he has changed
 *             s  owners of what is there, where a number means another account on the former
 *                stack, and of what the steps bring back, where an account has another number
 *                than it had then; attributes of directories that follow that stack, and those
 *                that the user has given what the change had put
 *             o  files of dpkg's journal (libmlimg/packages.h) that taking the steps back returns:
 *                they are in the status that was merged
 *             a  files that taking the steps back returns, of a package of his that he has removed
 *                since, or of another version of it than the one that stays
 *             c  directories that the user has made in the place from which one was renamed
 *             t  times of directories, in the end
 *
 *     stays/ c  what a step has taken from a directory that the user has removed and made anew since:
 *               it was removed with it, and does not return. Nothing is done with these
 *            s  what the user has changed the mode, an ACL or the capabilities of since a step set
 *                its attributes: that step is not taken back. Nothing is done with these. When the
 *                way back is begun again it could not be told from what was stopped midway, as
 *                chown(2) and chmod(2) change such attributes too
 *
 * first is done before the steps are taken back, then afterwards. Without base manifest or texts of
 * both stacks nothing is merged; accounts, or packages, are not when one of their databases is no
 * file, or is behind a symbolic link. That is told.
 *
 * What then puts needs a place: all above it is a directory when the steps are taken back, or is not
 * there and is made. The user may have put links in the place of directories since, and where he has
 * removed a package, directories went with their last files. That is looked at before anything is
 * decided. What a directory that is gone, closed or another one does not show needs no whiteout. If
 * a database of packages has no place, none of them is merged, which is told.
 *
 * Where a place is missing all the same, since an older agent has decided it or a stranger has
 * written meanwhile, files and links go to aside/N+1, which is told; the rest is left out. No boot
 * stops for that.
 */
#ifndef MLIMG_CHANGE_SINCE_H
#define MLIMG_CHANGE_SINCE_H

#include "guest-agent/change-place.h"
#include "libmlimg/path-map.h"

/**
 * Make it ready.
 *
 * @param c       the change that is to be taken back, nothing of which was yet
 * @param log     its steps
 * @param state   the present state
 * @param former  that before the change
 * @param needs   what it needs is added
 * @param err     names the path
 * @return        0, -ENOMEM, -errno
 */
int mlimg_change_since(struct mlimg_change *c, struct mlimg_undo_log *log,
	const struct mlimg_boot_state *state, const struct mlimg_boot_state *former,
	struct mlimg_change_needs *needs, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** A log that is being made, in a directory of reconcile.new. */
struct mlimg_change_extra {
	struct mlimg_change *c;
	const char *name;
	int fd, new_fd; /**< or -1: not made yet */
	bool takes;     /**< a step takes something away */
	struct mlimg_text log;
	size_t n;
	struct mlimg_change_needs needs;
};

/** Begin one; nothing is made of it as long as it has no steps. mlimg_change_extra_done() it */
void mlimg_change_extra_init(
	struct mlimg_change *c, const char *name, struct mlimg_change_extra *ret);

/** Append a step. */
void mlimg_change_extra_add(
	struct mlimg_change_extra *extra, const struct mlimg_undo_record *record);

/**
 * Append that @p entry is put, with contents if it is a file.
 *
 * @param extra  the log
 * @param entry  its path is that in the upper; size and digest of a file follow from @p data
 * @param data   contents; NULL where it is no file
 * @param size   bytes
 * @param err    names the path
 * @return       0, -errno
 */
int mlimg_change_extra_put(struct mlimg_change_extra *extra, const struct mlimg_entry *entry,
	const char *data, size_t size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The same with the contents of a file of the former stack.
 *
 * @param extra   the log, of a call that has lowers
 * @param entry   as above
 * @param former  the file in the former stack, whose size and digest the contents have
 * @param err     names the path
 * @return        0, -EUCLEAN when the layers do not have them, -errno
 */
int mlimg_change_extra_copy(struct mlimg_change_extra *extra, const struct mlimg_entry *entry,
	const struct mlimg_entry *former, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Write the log, durably, if it has steps. @return 0, -errno */
int mlimg_change_extra_write(
	struct mlimg_change_extra *extra, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Close it; accepts one that was only zeroed but for its descriptors, -1. */
void mlimg_change_extra_done(struct mlimg_change_extra *extra);

/**
 * Note at which paths reconcile.new/NAME, if it is there, has some kinds of steps.
 *
 * @param c          the change
 * @param name       NAME
 * @param ops        their letters
 * @param ret_paths  gets the paths
 * @param err        names the path
 * @return           0, -errno
 */
int mlimg_change_extra_note(struct mlimg_change *c, const char *name, const char *ops,
	struct mlimg_path_map *ret_paths, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Carry out the steps of reconcile.new/NAME, if it is there.
 *
 * @param c          the change
 * @param name       NAME
 * @param err        names the path
 * @return           0, -errno
 */
int mlimg_change_extra_carry_out(
	struct mlimg_change *c, const char *name, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
