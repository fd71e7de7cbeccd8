/* SPDX-License-Identifier: MIT */
/**
 * @file upgrade-fleet.h
 * The tenants of a store beside a new system: which stack each would get, and what that does to it.
 * A tenant of which that cannot be found out stands in nobody's way.
 */
#ifndef MLIMG_TOOLS_UPGRADE_FLEET_H
#define MLIMG_TOOLS_UPGRADE_FLEET_H

#include "tools/upgrade-plan.h"

/** Tenants. Zero it to begin with. */
struct mlimg_upgrade_fleet {
	char name[MLIMG_LAYER_NAME_MAX + 1]; /**< of the new system */
	char version[MLIMG_LAYER_NAME_MAX + 1];
	char system_id[MLIMG_SHA256_HEX_SIZE]; /**< libmlimg/stack.h */
	struct mlimg_upgrade_tenant *tenants;  /**< by name */
	size_t n;
	size_t tenants_room;                 /**< private */
	struct mlimg_upgrade_stack **stacks; /**< that tenants get, each once; owned */
	size_t n_stacks, stacks_room;
	struct mlimg_upgrade_bases *bases;
};

/** What is to be planned. */
struct mlimg_upgrade_wish {
	const char *system; /**< the new system, as mlimg_store_layer_find() takes it */
	/** where a tenant has software of this name, this in its place; likewise */
	const char *software[MLIMG_STACK_SOFTWARE_MAX];
	size_t n_software;
	const char *glob; /**< a pattern of tenants' names (glob(7)); NULL: all tenants */
	bool checkpoints; /**< of guests that run a checkpoint is taken (upgrade-checkpoint.h) */
};

/**
 * Look which tenants there are, and which layers they would get: the new system, and their software
 * as it is, or built for the new one (tenant-stack.h).
 *
 * @param store      the store
 * @param wish       what for
 * @param ret_fleet  zeroed; mlimg_upgrade_fleet_done() when done, also after a failure
 * @param err        there is no such system or software, or it is refused; -ENOENT: no tenant has
 *                   such a name
 * @return           0, -ENOENT, -EUCLEAN, other -errno
 */
int mlimg_upgrade_fleet_load(struct mlimg_store *store, const struct mlimg_upgrade_wish *wish,
	struct mlimg_upgrade_fleet *ret_fleet, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Plan for all of them, as many at a time as there are processors; for those whose disks are on
 * other hosts one after the other, so that there is one copy at a time (upgrade-away.h).
 *
 * @param fleet  the tenants
 * @param store  that they are of, not in a transaction
 * @param err    when no thread can be had
 * @return       0 or -errno
 */
int mlimg_upgrade_fleet_plan(struct mlimg_upgrade_fleet *fleet, struct mlimg_store *store,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Told why a tenant's checkpoint could not be deleted. */
typedef void mlimg_upgrade_stays_fn(const char *name, const char *tag, const struct mlimg_err *why);

/**
 * Delete the checkpoints that were taken for the plan.
 *
 * @param fleet  the tenants
 * @param store  that they are of
 * @param fn     told of each that stays
 */
void mlimg_upgrade_fleet_release(
	struct mlimg_upgrade_fleet *fleet, struct mlimg_store *store, mlimg_upgrade_stays_fn *fn);

/** Free what it owns; accepts a zeroed one. */
void mlimg_upgrade_fleet_done(struct mlimg_upgrade_fleet *fleet);

/**
 * What has to be made before a tenant can get a stack.
 *
 * @param store    the store
 * @param was      the tenant
 * @param stack    that it would get
 * @param ret_way  commands, a line each, or NULL when nothing has; free() it
 * @param err      names the first layer that was not built for what lies beneath it
 * @return         0; -EUCLEAN: something has; -ENOMEM
 */
int mlimg_upgrade_check_software(const struct mlimg_store *store, const struct mlimg_tenant *was,
	const struct mlimg_tenant_stack *stack, char **ret_way,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
