/* SPDX-License-Identifier: MIT */
/**
 * @file rollout-verify.h
 * Whether the layers that a rollout gives to tenants are sound, before a guest is stopped for them.
 */
#ifndef MLIMG_TOOLS_ROLLOUT_VERIFY_H
#define MLIMG_TOOLS_ROLLOUT_VERIFY_H

#include "tools/upgrade-fleet.h"

/**
 * Verify each layer of the stacks that tenants are to get, once. All of their images are read.
 *
 * @param store      the store
 * @param fleet      the tenants; those that cannot have their stack are left out
 * @param leave_out  of each tenant, whether it is left out besides
 * @param err        of the first that is damaged: "nothing has been begun: ..."
 * @return           0, -EUCLEAN, other -errno
 */
int mlimg_rollout_verify(struct mlimg_store *store, const struct mlimg_upgrade_fleet *fleet,
	const bool *leave_out, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
