/* SPDX-License-Identifier: MIT */
/**
 * @file rollout-run.h
 * Carrying a rollout (rollout.h) out: which tenant is taken when, what becomes of what came of it,
 * and when it stops. What is done to a tenant, and what time it is, is asked of a world, so that a
 * fleet can be simulated.
 *
 * Every move of a tenant is a transaction of its own, and an intent is on stable storage before the
 * world is told to do it. Nothing counts on a clock: bounds are the world's, by a clock that only
 * goes forward, and begin anew for who resumes.
 */
#ifndef MLIMG_TOOLS_ROLLOUT_RUN_H
#define MLIMG_TOOLS_ROLLOUT_RUN_H

#include "tools/store-rollout.h"

/** What came of an intent. */
struct mlimg_rollout_report {
	uint32_t position; /**< whose */
	enum mlimg_rollout_result result;
	char baseline[MLIMG_ROLLOUT_BASELINE]; /**< of MLIMG_ROLLOUT_CHECKPOINT */
	char boot[MLIMG_ROLLOUT_BOOT];         /**< of that, too */
	char text[MLIMG_ROLLOUT_TEXT];         /**< why not */
};

/** Who does what is to be done. */
struct mlimg_rollout_world {
	void *ctx; /**< handed to each of these */

	/**
	 * Begin with a tenant's intent, and return at once.
	 *
	 * @param ctx      the world's
	 * @param rollout  the rollout
	 * @param row      the tenant; place says what
	 * @param err      why it cannot be begun: whoever carries the rollout out ends then
	 * @return         0 or -errno
	 */
	int (*begin)(void *ctx, const struct mlimg_rollout *rollout,
		const struct mlimg_rollout_row *row, struct mlimg_err *err);

	/**
	 * Wait until something that was begun has ended.
	 *
	 * @param ctx         the world's
	 * @param timeout_ms  how long at most
	 * @param ret_report  what came of it
	 * @param err         what could not be waited for
	 * @return            1; 0: nothing has ended; -errno
	 */
	int (*wait)(void *ctx, unsigned timeout_ms, struct mlimg_rollout_report *ret_report,
		struct mlimg_err *err);

	/** How a tenant on hold is. @return 0 or -errno */
	int (*look)(void *ctx, const struct mlimg_rollout_row *row,
		enum mlimg_rollout_look *ret_look, struct mlimg_err *err);

	/** @return the minute of the day, local time */
	unsigned (*minute)(void *ctx);

	/** @return milliseconds of a clock that only goes forward */
	uint64_t (*clock_ms)(void *ctx);

	/** @return whether somebody wants this process to end: the rollout is paused then */
	bool (*is_interrupted)(void *ctx);

	/** Told of each move; of NULL when a wave begins, or the rollout ends. May be NULL. */
	void (*tell)(void *ctx, const struct mlimg_rollout *rollout,
		const struct mlimg_rollout_row *row, unsigned wave);
};

/**
 * Carry a rollout out, until there is nothing more to be done, or somebody has asked to pause or
 * abort it, or too many have failed; what has been begun with a tenant is brought to an end before.
 * That nobody else does is for the caller to see.
 *
 * @param store        the store, not in a transaction
 * @param rollout      which; its state and request count; its state is what became of it
 * @param world        who does what is to be done
 * @param ret_n_other  tenants that are not done, and not off either; may be NULL
 * @param err          what stopped it: the rollout can be resumed
 * @return             0 or -errno
 */
int mlimg_rollout_run(struct mlimg_store *store, struct mlimg_rollout *rollout,
	const struct mlimg_rollout_world *world, uint32_t *ret_n_other,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
