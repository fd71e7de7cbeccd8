/* SPDX-License-Identifier: MIT */
/**
 * @file change-stage.h
 * Makes ready what a plan (libmlimg/plan.h) says is to be done in an upper: step 1 of change.h. The
 * upper itself is only looked at.
 */
#ifndef MLIMG_CHANGE_STAGE_H
#define MLIMG_CHANGE_STAGE_H

#include "guest-agent/change.h"
#include "guest-agent/lowers.h"
#include "libmlimg/plan.h"

/**
 * Make a change ready. What an earlier one that was never decided has left is removed; what was set
 * aside under the same number is kept under another one.
 *
 * @param call        see there
 * @param plan        what is to be done
 * @param lowers      where the new stack's contents are
 * @param is_unionfs  the form of the upper's marks
 * @param old         the present state
 * @param next        the state that the change leads to; generation of @p plan
 * @param err         names the path
 * @return            0; -ENOSPC, -EDQUOT: there is no room; -EUCLEAN: the plan does not fit the
 *                    upper, or the layers' contents their manifests; -ECANCELED; -errno. On failure
 *                    nothing is left, unless it was by the step
 */
int mlimg_change_stage(struct mlimg_change_call *call, const struct mlimg_plan *plan,
	const struct mlimg_lowers *lowers, bool is_unionfs, const struct mlimg_boot_state *old,
	const struct mlimg_boot_state *next, struct mlimg_err *err) MLIMG_MUST_CHECK;

struct mlimg_change;

/**
 * Make the steps alone ready, where directories of one's own are opened: no state, nothing to be
 * put, nothing kept for a way back.
 *
 * @param c     upper_fd, own_fd and, where something is set aside, aside_fd are open; is_unionfs is
 *              set
 * @param plan  has no h, p, t, n and m
 * @param fd    gets the file "log"
 * @param err   names the path
 * @return      0; -ENOSPC, -EDQUOT; -EUCLEAN: the plan does not fit the upper; -errno
 */
int mlimg_change_stage_log(struct mlimg_change *c, const struct mlimg_plan *plan, int fd,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Estimate, rather too much than too little, what a change wants that has found no room.
 *
 * @param own_fd  the user layer's /mlimg
 * @param call    of the change
 * @param plan    what is to be done
 * @param next    the new stack's manifest
 * @param old     the present state
 * @return        whether that is more than is free, and there is so much once undo is gone
 */
bool mlimg_change_forgetting_helps(int own_fd, const struct mlimg_change_call *call,
	const struct mlimg_plan *plan, const struct mlimg_manifest *next,
	const struct mlimg_boot_state *old);

/** Remove what a change to @p generation, that was not decided, has made. */
void mlimg_change_unstage(int user_fd, uint64_t generation);

#endif
