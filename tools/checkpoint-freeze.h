/* SPDX-License-Identifier: MIT */
/**
 * @file checkpoint-freeze.h
 * A guest's user file system, frozen by its agent as long as its disk is saved
 * (guest-agent/PROTOCOL.md, "Freezing").
 */
#ifndef MLIMG_TOOLS_CHECKPOINT_FREEZE_H
#define MLIMG_TOOLS_CHECKPOINT_FREEZE_H

#include "tools/backend.h"

/** The agent thaws by itself after so long: who writes in the guest waits until then at most. */
#define MLIMG_FREEZE_MS 30000

/** A freeze. Initialise with MLIMG_FREEZE_INIT. */
struct mlimg_freeze {
	struct mlimg_chan chan; /**< the agent's port: the freeze ends when it is closed */
};

#define MLIMG_FREEZE_INIT               \
	{                               \
		.chan = MLIMG_CHAN_INIT \
	}

/**
 * Freeze the guest's user file system.
 *
 * @param backend  who runs the tenant's guest
 * @param tenant   the tenant; on
 * @param freeze   mlimg_freeze_end() when done
 * @param err      -ETIMEDOUT: the agent does not answer; what it says
 * @return         0 or -errno
 */
int mlimg_freeze_begin(const struct mlimg_backend *backend, const struct mlimg_tenant *tenant,
	struct mlimg_freeze *freeze, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Thaw it.
 *
 * @param freeze  a freeze
 * @param err     that it has ended before, so that what was saved meanwhile is no better than a
 *                guest's disk after a power cut
 * @return        0 when it was frozen all the time, -ESTALE, other -errno
 */
int mlimg_freeze_thaw(struct mlimg_freeze *freeze, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Let go of the agent, which thaws what is frozen still. Accepts an initialised one. */
void mlimg_freeze_end(struct mlimg_freeze *freeze);

#endif
