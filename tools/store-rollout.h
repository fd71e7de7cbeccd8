/* SPDX-License-Identifier: MIT */
/**
 * @file store-rollout.h
 * Rollouts (rollout.h) as the store (store.h) keeps them.
 *
 *     rollout         number (ascending), undoes (the rollout that it takes back, or NULL), target
 *                     (for people), state (running, paused, stopped, aborted, done), request ("",
 *                     pause, abort), policy (now, next, HH:MM-HH:MM), waves, at_once, health_s,
 *                     max_failures, forgiven, created_s, ended_s (NULL as long as it has not ended)
 *     rollout_tenant  rollout, position (from 0), tenant_id (which need not be there any more),
 *                     name, wave, place, is_lost, attempt, from_number and to_number (generations),
 *                     since_s, baseline, text, boot
 *
 * At most one rollout has not ended (paused and stopped ones have not). The generations of one that
 * has not ended stay, and of the others those that a tenant could be brought back to.
 */
#ifndef MLIMG_TOOLS_STORE_ROLLOUT_H
#define MLIMG_TOOLS_STORE_ROLLOUT_H

#include "tools/rollout.h"

/**
 * Add a rollout.
 *
 * @param store    the store
 * @param rollout  what it is; gets its number
 * @param rows     its tenants; position, tenant_id, name, wave, place, from, to and text count
 * @param n        their number
 * @param err      -EBUSY: names the one that has not ended
 * @return         0 when all of it is on stable storage; -EBUSY, other -errno
 */
int mlimg_store_rollout_add(struct mlimg_store *store, struct mlimg_rollout *rollout,
	const struct mlimg_rollout_row *rows, uint32_t n, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * A rollout.
 *
 * @param store        the store
 * @param number       which; 0: the newest
 * @param ret_rollout  the rollout
 * @param err          "no rollout 7", "there has been no rollout"
 * @return             0, -ENOENT, other -errno
 */
int mlimg_store_rollout_get(struct mlimg_store *store, uint32_t number,
	struct mlimg_rollout *ret_rollout, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Told of a rollout. @return 0 to go on, negative to stop */
typedef int mlimg_store_rollout_fn(
	const struct mlimg_rollout *rollout, void *ctx, struct mlimg_err *err);

/** All rollouts, the newest first; as mlimg_store_layer_each(). */
int mlimg_store_rollout_each(struct mlimg_store *store, mlimg_store_rollout_fn *fn, void *ctx,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Note how a rollout is: its state, max_failures and forgiven; what was asked of it is forgotten.
 * One that is done or aborted has ended now.
 *
 * @return 0, -ENOENT, other -errno
 */
int mlimg_store_rollout_set(struct mlimg_store *store, const struct mlimg_rollout *rollout,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Ask something of who carries a rollout out. @return 0, -ENOENT, other -errno */
int mlimg_store_rollout_ask(struct mlimg_store *store, uint32_t number,
	enum mlimg_rollout_request request, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** What has been asked of him. @return 0, -ENOENT, other -errno */
int mlimg_store_rollout_asked(struct mlimg_store *store, uint32_t number,
	enum mlimg_rollout_request *ret_request, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The tenants of a rollout, by position.
 *
 * @param store     the store
 * @param number    the rollout's
 * @param ret_rows  free() it
 * @param ret_n     their number
 * @param err       names the database
 * @return          0 or -errno
 */
int mlimg_store_rollout_rows(struct mlimg_store *store, uint32_t number,
	struct mlimg_rollout_row **ret_rows, uint32_t *ret_n,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** One tenant of a rollout. @return 0; -ENOENT: it is not in it; other -errno */
int mlimg_store_rollout_row(struct mlimg_store *store, uint32_t number, const char *tenant_id,
	struct mlimg_rollout_row *ret_row, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Note where a tenant is: place, is_lost, attempt, since_s, baseline, text, boot. @return 0 or -errno */
int mlimg_store_rollout_row_set(struct mlimg_store *store, uint32_t number,
	const struct mlimg_rollout_row *row, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Forget a rollout that has ended. @return 0, -ENOENT; -EBUSY: it has not; other -errno */
int mlimg_store_rollout_forget(
	struct mlimg_store *store, uint32_t number, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** What the tenant with that id is called now. @return 1, 0 when there is none, -errno */
int mlimg_store_tenant_name(struct mlimg_store *store, const char *id,
	char ret_name[MLIMG_STORE_NAME_SIZE], struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
