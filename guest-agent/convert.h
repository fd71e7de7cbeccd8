/* SPDX-License-Identifier: MIT */
/**
 * @file convert.h
 * Rewrites the marks of a user layer from the form that one union driver writes to that of another:
 * whiteouts and opaque directories of overlayfs (libmlimg/whiteout.h) to markers of unionfs-fuse
 * (libmlimg/unionfs.h), and back. Files and directories of the user's stay as they are, their times
 * included.
 *
 * All that is to be done is written down before anything is: the plan, /mlimg/convert.plan in the
 * user layer. Each step of it does nothing when it was done already, and the plan goes away last.
 * So what was stopped at any moment, by a power cut too, is ended by doing all of it again; and
 * until then no boot takes the layer. What is immutable or append-only gets its mark instead before
 * that (file-flags.h), which stays with either driver. The plan's format, which a stranger may have written: a line
 * "mlimg convert 1 TO", then records of one letter, a path and a NUL, in the order in which they
 * are done:
 *
 *     d PATH   make the directory, which is in the base manifest (boot.h) with its attributes
 *     w PATH   hide it: make the whiteout or the marker
 *     o PATH   make the directory opaque: by xattr, or by a marker
 *     r PATH   remove the whiteout
 *     x PATH   remove all trusted.overlay.* of it, but for .protattr
 *     m PATH   remove what is in MLIMG_UNIONFS_DIR; "" is that directory itself
 *     t SECONDS.NANOSECONDS PATH
 *              set the directory's time, which the steps before have changed
 *
 * d and m are for the way to overlay, r and x for that to unionfs, the others for both.
 * Before the first of r, x and m all before it is on stable storage.
 */
#ifndef MLIMG_CONVERT_H
#define MLIMG_CONVERT_H

#include "guest-agent/mounted.h"
#include "libmlimg/boot.h"

#define MLIMG_CONVERT_PLAN "convert.plan" /**< in the user layer's /mlimg */
#define MLIMG_CONVERT_PLAN_MAX \
	(256 << 20) /**< bytes that are read: a million steps of the usual paths take 60 MB */

/** What is to be done. */
struct mlimg_convert_plan {
	bool to_unionfs; /**< else to overlayfs' form */
	char *text;      /**< the records, each ending with a NUL; free() it */
	size_t size;
	uint64_t n_marks; /**< w and o among them */
};

/**
 * Read a plan.
 *
 * @param text      bytes of the file
 * @param size      their number
 * @param ret_plan  free its text
 * @param err       "convert.plan: ..."
 * @return          0, -EUCLEAN, -ENOMEM
 */
int mlimg_convert_parse(const char *text, size_t size, struct mlimg_convert_plan *ret_plan,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Write the file of a plan.
 *
 * @param plan      see there
 * @param ret_text  free() it
 * @param ret_size  bytes, at most MLIMG_CONVERT_PLAN_MAX
 * @param err       "convert.plan: ..."
 * @return          0; -EUCLEAN: it would be longer; -ENOMEM
 */
int mlimg_convert_put(const struct mlimg_convert_plan *plan, char **ret_text, size_t *ret_size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Find out what is to be done; nothing is changed.
 *
 * @param user      the user layer
 * @param state     its state
 * @param ret_plan  free its text
 * @param err       names the path that has no other form
 * @return          0, -EUCLEAN, -errno
 */
int mlimg_convert_make_plan(const struct mlimg_mounted *user, const struct mlimg_boot_state *state,
	struct mlimg_convert_plan *ret_plan, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Called before each change of the disk, by tests.
 * @return 0; anything else ends the conversion there
 */
typedef int mlimg_convert_step_fn(void *ctx);

/**
 * Convert, or end a conversion that was stopped. A change of the stack (change.h) or a factory reset
 * (reset.h) that was stopped is ended before.
 *
 * @param user        the user layer; its file system is mounted, the union is not
 * @param to          MLIMG_UNION_OVERLAY or MLIMG_UNION_UNIONFS
 * @param step        or NULL
 * @param ctx         handed to @p step
 * @param boot        zeroed; gets what there is to tell of what was ended, also on failure
 * @param ret_n       marks that were converted; 0 also when the layer was in that form already, or
 *                    has never run
 * @param err         names the path
 * @return            0, -EUCLEAN when refused (then nothing was changed), -ECANCELED by @p step,
 *                    -errno
 */
int mlimg_convert(const struct mlimg_mounted *user, const char *to, mlimg_convert_step_fn *step,
	void *ctx, struct mlimg_boot *boot, uint64_t *ret_n,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @param dir_fd  the user layer's /mlimg. @return whether a conversion was stopped */
bool mlimg_convert_is_pending(int dir_fd);

#endif
