/* SPDX-License-Identifier: MIT */
/**
 * @file tenant-start.h
 * A tenant as options of `mlimg-vm run`, for whoever runs it, and what the store is told when its
 * guest starts.
 */
#ifndef MLIMG_TOOLS_TENANT_START_H
#define MLIMG_TOOLS_TENANT_START_H

#include "tools/tenant.h"
#include "tools/vm-options.h"

/** The options, and what they point at beside the tenant. Zero it to begin with. */
struct mlimg_tenant_start {
	struct mlimg_vm_options run;
	const char *root_hashes[MLIMG_STACK_LAYERS_MAX], *build_ids[MLIMG_STACK_LAYERS_MAX];
	char *index_dir;
};

/**
 * Fill in the options: layers and machine, the console on a socket.
 *
 * @param ret        mlimg_tenant_start_done() when done, also after a failure; must not be moved
 * @param store_dir  the store, whose indexes are used
 * @param tenant     the tenant; must live as long as @p ret
 * @param err        names it: it has no layers yet; refused: its user disk is no qcow2 image
 * @return           0 or -errno
 */
int mlimg_tenant_start_fill(struct mlimg_tenant_start *ret, const char *store_dir,
	const struct mlimg_tenant *tenant, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_tenant_start_done(struct mlimg_tenant_start *options);

/**
 * Note that a tenant's guest runs: since when, that the generation is the current one, an event. In
 * the caller's transaction.
 *
 * @param store   the store
 * @param tenant  the tenant
 * @param accel   how its processor is provided
 * @param err     names the database
 * @return        0 or -errno
 */
int mlimg_tenant_start_note(struct mlimg_store *store, const struct mlimg_tenant *tenant,
	enum mlimg_accel accel, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
