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

#endif
