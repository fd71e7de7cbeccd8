/* SPDX-License-Identifier: MIT */
/**
 * @file protect.h
 * Protected paths: what the layers have there, or do not have there, is what a guest sees, whatever
 * its user layer says. They are for what a provider answers for, such as the certificates or the
 * agent of its own; not a wall against root in the guest, who can mount over anything once it runs,
 * but the next boot shows it as it was.
 *
 * What a line of a declaration means is in libmlimg/protected.h. A flawed one stops the boot.
 *
 * Before the union is mounted, what covers them in the upper is renamed to PATH in the user layer's
 * /mlimg/aside/protected-N, N being the first number that is free:
 *
 * - what has a path that is matched, or a whiteout of it;
 * - what stands where a directory above one is, when the layers have something there that is
 *   matched: a whiteout, what is no directory, an opaque directory, one that was renamed
 *   (overlayfs' redirect), and a directory in the place of a symbolic link; for unionfs-fuse, a
 *   marker (libmlimg/unionfs.h) and the directory that it makes opaque;
 * - a directory that was renamed, when what it shows of the layers would be matched in its new
 *   place, or shows in its old place again: overlayfs has a directory of a layer in one place only.
 *
 * Each goes as it is, with all that is below it. The copies that remain lose overlayfs'
 * trusted.overlay.origin, and so the inode number of what they are copies of, for that may show in
 * its own place now. Nothing is deleted but caches that mlimg has made itself (rebuild.h): they are
 * made anew after each boot in which they covered something. When the power is cut in between,
 * which the file /mlimg/protecting tells, the next boot sets the rest aside, in a directory of its
 * own. In the modes that must not write to the user layer the boot is refused instead, except in a
 * rescue, whose root has none of the user's. Caches that mlimg has made stay there, with a note in
 * boot.json: a boot that may write would make them again.
 *
 * So does a declaration that cannot be read or is no regular file, or something else in the place of
 * a directory above it.
 *
 * Where a layer has a symbolic link in the place of a directory above what a line names, the link
 * itself is protected, and not where it leads: a line should name the real path. Of layers the
 * topmost that has a path decides what is there; that an opaque directory of a layer hides what is
 * beneath it is not looked at, so at most too much is set aside.
 */
#ifndef MLIMG_PROTECT_H
#define MLIMG_PROTECT_H

#include "guest-agent/lowers.h"
#include "libmlimg/protected.h"

#define MLIMG_PROTECT_NOTES_MAX 4 /**< notes about caches that stay */

/** What is declared, and what was set aside for it. Zero it to begin with. */
struct mlimg_protect {
	struct mlimg_protected declared;
	char notes[MLIMG_PROTECT_NOTES_MAX][MLIMG_ERR_TEXT_SIZE];
	size_t n_notes;
	char aside[32]; /**< name in /mlimg/aside, or "" */
	char shown[MLIMG_PROTECTED_SHOWN_MAX][MLIMG_PROTECTED_SHOWN_SIZE];
	size_t n_aside; /**< all that was set aside, shown or not */
};

/**
 * Read what the layers declare.
 *
 * @param lowers   their trees
 * @param protect  gets the patterns
 * @param err      names the file, or the directory
 * @return         0; -EUCLEAN, -errno when what they declare cannot be known
 */
int mlimg_protect_read(const struct mlimg_lowers *lowers, struct mlimg_protect *protect,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Set aside what covers protected paths. On return that is durable.
 *
 * @param user_fd     the user layer
 * @param lowers      the layers' trees
 * @param is_unionfs  the upper has unionfs-fuse's form
 * @param can_write   else what would have to be set aside is refused
 * @param protect     with its patterns; gets what was set aside
 * @param err         names the path
 * @return            0, -EUCLEAN, other -errno
 */
int mlimg_protect_upper(int user_fd, const struct mlimg_lowers *lowers, bool is_unionfs,
	bool can_write, struct mlimg_protect *protect, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Leave the patterns in /run/mlimg for `commit`; without any, nothing.
 *
 * @param run_fd   /run/mlimg
 * @param protect  with its patterns
 * @return         0 or -errno
 */
int mlimg_protect_leave(
	int run_fd, const struct mlimg_protect *protect, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Read them again. @return 0, also when there are none; -errno */
int mlimg_protect_recall(
	int run_fd, struct mlimg_protect *protect, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Whether something mounted on a directory could cover a protected path: the directory is one, or
 * lies below one or above.
 *
 * @param protect  with its patterns
 * @param path     of the directory, without the first '/'
 */
bool mlimg_protect_is_covered_by(const struct mlimg_protect *protect, const char *path);

#endif
