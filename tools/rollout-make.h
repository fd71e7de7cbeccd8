/* SPDX-License-Identifier: MIT */
/**
 * @file rollout-make.h
 * Making rollouts (rollout.h): of a new system for tenants, and of taking one back; and the lock of
 * who carries one out.
 */
#ifndef MLIMG_TOOLS_ROLLOUT_MAKE_H
#define MLIMG_TOOLS_ROLLOUT_MAKE_H

#include "tools/store-rollout.h"
#include "tools/upgrade-fleet.h"

/** Tenants that were meant and are in no rollout. */
struct mlimg_rollout_left {
	uint32_t n_have;    /**< that have it already, or from their next start on */
	uint32_t n_refused; /**< that cannot have it */
	uint32_t n_other;   /**< that have another generation, or are to have one */
	uint32_t n_taken;   /**< that had not been started on it, from which it was taken back */
	uint32_t n_busy;    /**< with which another command is busy */
};

/**
 * Make a rollout that gives tenants a new system. Each gets the generation that is to be, so that
 * its layers stay. Those that run on it already, or are off and have it from their next start on,
 * are left out; those that have another one pending are in it, as skipped, beside others.
 *
 * @param store        the store
 * @param wish         which system, which tenants
 * @param is_partial   leave out those that cannot be upgraded; else they stand in its way
 * @param rollout      how; gets target and number. number 0: there is nothing to do, and there is
 *                     no rollout
 * @param ret_left     the others; n_other is 0
 * @param err          of the first that cannot be upgraded, or as of mlimg_upgrade_fleet_load();
 *                     -EBUSY: all have another one pending
 * @return             0, -EUCLEAN, -EBUSY, other -errno
 */
int mlimg_rollout_make(struct mlimg_store *store, const struct mlimg_upgrade_wish *wish,
	bool is_partial, struct mlimg_rollout *rollout, struct mlimg_rollout_left *ret_left,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Make a rollout that takes another one back: its tenants that have its generation get their former
 * one again. Those that are to have it at their next start are not: that is done at once, each with
 * its lock.
 *
 * @param store    the store
 * @param of       which, not 0; it has ended
 * @param glob     only tenants whose names are like that (glob(7)); NULL: all
 * @param rollout  how; gets target, undoes and number, which is 0 as of mlimg_rollout_make()
 * @param ret_left the others
 * @param err      -EBUSY: one has not ended; -ENOENT: no tenant has such a name
 * @return         0, -EBUSY, -ENOENT, other -errno
 */
int mlimg_rollout_make_back(struct mlimg_store *store, uint32_t of, const char *glob,
	struct mlimg_rollout *rollout, struct mlimg_rollout_left *ret_left,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Become who carries rollouts of a store out.
 *
 * @param store   the store
 * @param ret_fd  close() it to let go; closed when a program is executed
 * @param err     -EBUSY: who does it already
 * @return        0, -EBUSY, other -errno
 */
int mlimg_rollout_lock(
	struct mlimg_store *store, int *ret_fd, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the process that carries rollouts of the store out, 0 when there is none */
int mlimg_rollout_holder(struct mlimg_store *store);

#endif
