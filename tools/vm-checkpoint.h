/* SPDX-License-Identifier: MIT */
/**
 * @file vm-checkpoint.h
 * What mlimg-vm's commands on checkpoints share.
 */
#ifndef MLIMG_VM_CHECKPOINT_H
#define MLIMG_VM_CHECKPOINT_H

#include "tools/checkpoint.h"

/**
 * The checkpoints of a tenant.
 *
 * @param store   as in struct mlimg_checkpoints
 * @param tenant  as in struct mlimg_checkpoints
 * @param ret_of  points to both
 * @param err     that who runs the tenant has none
 * @return        0, -EOPNOTSUPP
 */
int mlimg_checkpoints_of(struct mlimg_store *store, struct mlimg_tenant *tenant,
	struct mlimg_checkpoints *ret_of, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Before anything is settled, or a row is there that nobody could end: refuse a user disk that is no
 * qcow2 image, or not there, and one that waits for its guest's saved memory. One on another host is that one's to look at.
 *
 * @return 0; -ENOENT; -EUCLEAN; other -errno
 */
int mlimg_checkpoints_check_disk(
	const struct mlimg_tenant *tenant, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Take a tenant's lock to change his checkpoints: what somebody left undone is ended, and a guest
 * that has died is off.
 *
 * @param store       as in struct mlimg_checkpoints
 * @param name        the tenant's
 * @param what        as of mlimg_tenant_take()
 * @param ret_tenant  mlimg_tenant_done() when done, also after a failure; zeroed before
 * @param ret_lock    its lock; close(2)
 * @param ret_of      points to store and tenant
 * @param err         as of mlimg_tenant_take(), mlimg_checkpoint_settle(); as of
 *                    mlimg_checkpoints_check_disk()
 * @return            0 or -errno
 */
int mlimg_checkpoints_lock(struct mlimg_store *store, const char *name, const char *what,
	struct mlimg_tenant *ret_tenant, int *ret_lock, struct mlimg_checkpoints *ret_of,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
