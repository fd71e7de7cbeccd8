/* SPDX-License-Identifier: MIT */
/**
 * @file upgrade-carry.h
 * Carrying a rollout out, and telling of it: what several commands of mlimg-upgrade do.
 */
#ifndef MLIMG_TOOLS_UPGRADE_CARRY_H
#define MLIMG_TOOLS_UPGRADE_CARRY_H

#include "tools/upgrade-commands.h"

/**
 * Carry a rollout out, whose lock is held, and print what becomes of it.
 *
 * @param store    the store
 * @param rollout  which
 * @param json     print JSON at the end, and nothing else
 * @param err      what stopped it
 * @return         the exit code, or -errno
 */
int mlimg_upgrade_carry(struct mlimg_store *store, struct mlimg_rollout *rollout, bool json,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The rollout that has not ended. @return 0, -ENOENT: all have; other -errno */
int mlimg_upgrade_find_open(struct mlimg_store *store, struct mlimg_rollout *ret_rollout,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** How many of its tenants have failed, those not counted that are tried again. @return 0, -errno */
int mlimg_upgrade_count_failed(struct mlimg_store *store, const struct mlimg_rollout *rollout,
	uint32_t *ret_n, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
