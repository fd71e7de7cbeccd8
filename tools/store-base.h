/* SPDX-License-Identifier: MIT */
/**
 * @file store-base.h
 * Bases: user disks that nobody writes any more, because disks of several tenants lie over them
 * (qcow2's backing files).
 *
 *     bases/ID/base.qcow2   ID has 32 digits. The disks over it name it ../../bases/ID/base.qcow2,
 *                           which is right below tenants/, incoming/, removed/ and bases/ alike
 *
 * Database:
 *
 *     base      id, over_id (the base that it lies over itself, or NULL), added_s
 *     base_use  tenant_id, base_id: whose disk lies over which. A removed tenant's stays as long as
 *               what it had is there: in removed/, or on its way to it
 *
 * A tenant's disk becomes a base in an operation "link-disk" whose token is the base's id: it gets a
 * second name in bases/; an empty disk over it is made below incoming/; the transaction that writes
 * the rows renames that one over the first name. Who was killed before the rows were there leaves
 * the disk under one of both names at least, and nothing in the one over it, since whoever runs the
 * tenant takes its lock first, and with it ends what was left undone (tenant.h): the disk gets its
 * name again. mlimg_store_gc() removes bases that no tenant and no other base needs.
 */
#ifndef MLIMG_TOOLS_STORE_BASE_H
#define MLIMG_TOOLS_STORE_BASE_H

#include "tools/store.h"

/**
 * Make an empty disk over a base.
 *
 * @param path  where; there is nothing yet
 * @param base  the base's name as the disk has it
 * @param ctx   the caller's
 * @param err   where to put an error
 * @return      0 when it is on stable storage; negative
 */
typedef int mlimg_store_over_fn(
	const char *path, const char *base, void *ctx, struct mlimg_err *err);

/** The name of a base as disks over it have it. */
#define MLIMG_STORE_BASE_NAME 72
const char *mlimg_store_base_name(const char *id, char ret_name[MLIMG_STORE_BASE_NAME]);

/**
 * Make a tenant's disk a base; it has an empty one over it afterwards. On stable storage on return
 * with 0, else nothing has changed.
 *
 * @param store      the store, not in a transaction
 * @param tenant_id  whose; the caller holds its lock, and it is off
 * @param disk       the disk's name in the tenant's directory
 * @param fn         makes the disk over it
 * @param ctx        handed to @p fn
 * @param ret_id     the base's
 * @param err        names what failed
 * @return           0 or -errno
 */
int mlimg_store_base_make(struct mlimg_store *store, const char *tenant_id, const char *disk,
	mlimg_store_over_fn *fn, void *ctx, char ret_id[MLIMG_STORE_ID_SIZE],
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The base that a tenant's disk lies over. @return 1, 0 when it lies over none, -errno */
int mlimg_store_base_of(struct mlimg_store *store, const char *tenant_id,
	char ret_id[MLIMG_STORE_ID_SIZE], struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Note that a tenant's disk lies over a base. @return 0, -EEXIST: there is none; other -errno */
int mlimg_store_base_use(struct mlimg_store *store, const char *tenant_id, const char *id,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Of mlimg_store_gc(): remove the bases that nobody needs. Parameters as there. */
int mlimg_store_base_gc(struct mlimg_store *store, const struct mlimg_store_gc *gc,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Of mlimg_store_check(): bases that are lost. Parameters as there. */
int mlimg_store_base_check(struct mlimg_store *store, mlimg_store_finding_fn *fn, void *ctx,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
