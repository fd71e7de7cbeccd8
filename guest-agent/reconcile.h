/* SPDX-License-Identifier: MIT */
/**
 * @file reconcile.h
 * Brings what the user has written into agreement with another stack beneath it: reads what the
 * planner (libmlimg/reconcile-plan.h) asks for, and has its plan carried out (change.h); or takes
 * the last change back where the stack is the one before. Part of `mlimg-agent prepare`.
 */
#ifndef MLIMG_AGENT_RECONCILE_H
#define MLIMG_AGENT_RECONCILE_H

#include "guest-agent/base.h"
#include "guest-agent/change.h"

/** What a reconcile is given. */
struct mlimg_reconciling {
	int root_fd, dir_fd;                /**< /run/mlimg, and the user layer's /mlimg */
	const struct mlimg_mounted *user;   /**< the user layer */
	const struct mlimg_mounted *layers; /**< bottom first */
	size_t n_layers;
	bool is_index, is_unionfs;
	bool is_dry;                        /**< compare and count, and write nothing */
	size_t upper_memory_max;            /**< as in struct mlimg_upper_dir */
	const struct mlimg_boot_state *old; /**< the present state */
	struct mlimg_boot_state
		*next; /**< generation and stack are set; what base.h writes is filled in */
	struct mlimg_boot *boot; /**< gets counts, what was done, and notes */
};

/**
 * End a change that an earlier boot has begun, or keep what one has taken that was given up.
 *
 * @param user_fd  the user layer's top directory
 * @param boot     gets what was done, and a note
 * @param err      names the place
 * @return         0, -errno
 */
int mlimg_reconcile_resume(
	int user_fd, struct mlimg_boot *boot, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Take the last change back.
 *
 * @param r           see there; next becomes the state that was written
 * @param former      of mlimg_change_find_former()
 * @param err         names the place
 * @return            0; 1: it could not be begun, a note says why, and nothing was changed; -errno
 */
int mlimg_reconcile_roll_back(struct mlimg_reconciling *r, const struct mlimg_boot_state *former,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Reconcile, and record the new stack.
 *
 * @param r     see there
 * @param next  merged manifest of the new stack
 * @param err   names the place
 * @return      0; 1: it could not be begun, for want of room, of memory or of the base manifest
 *              say, a note says why, and nothing was changed; -errno: "upper" cannot be opened, or
 *              the change is decided and could not be ended
 */
int mlimg_reconcile(struct mlimg_reconciling *r, const struct mlimg_manifest *next,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Print one line for the console where something was set aside: the user's, or beside his the new
 * stack's; else nothing.
 *
 * @param boot  what was done
 * @param user  where the user layer is mounted; NULL: on "user" in boot's root
 */
void mlimg_reconcile_print(const struct mlimg_boot *boot, const char *user);

#endif
