/* SPDX-License-Identifier: MIT */
/**
 * @file upgrade-checkpoint.h
 * A checkpoint of the disk of a tenant whose guest runs, for as long as a plan reads it: its user
 * disk is written all the while, and only with the file system frozen for a moment is there
 * something in it that can be read. As with any checkpoint the agent is asked, and the row of the
 * store counts (checkpoint.h): of a command that is killed meanwhile a checkpoint stays, which is
 * whole, listed, and can be deleted.
 */
#ifndef MLIMG_TOOLS_UPGRADE_CHECKPOINT_H
#define MLIMG_TOOLS_UPGRADE_CHECKPOINT_H

#include "tools/checkpoint.h"
#include "tools/upgrade-plan.h"

#define MLIMG_UPGRADE_CHECKPOINT_PREFIX "plan-" /**< of their tags; a time follows */

/**
 * Take one where the tenant's guest is on; of one that is off its disk can be read as it is.
 *
 * @param store    not in a transaction
 * @param name     the tenant's
 * @param ret_tag  its tag; "" where none was needed
 * @param err      who holds the tenant's lock; why there can be none
 * @return         0 or -errno
 */
int mlimg_upgrade_checkpoint_take(struct mlimg_store *store, const char *name,
	char ret_tag[MLIMG_CHECKPOINT_TAG_SIZE], struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Delete it.
 *
 * @param store  as for taking it
 * @param name   the tenant's
 * @param tag    what was returned
 * @param err    why it stays
 * @return       0 or -errno
 */
int mlimg_upgrade_checkpoint_delete(struct mlimg_store *store, const char *name, const char *tag,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * When a checkpoint has been read: whether it was there all the while, and the same one. Clusters of
 * one that is deleted are written again.
 *
 * @param store  as for taking it
 * @param t      the tenant, whose checkpoint has been read
 * @param err    names both
 * @return       0; -ESTALE: it was deleted; other -errno
 */
int mlimg_upgrade_checkpoint_check(struct mlimg_store *store, const struct mlimg_upgrade_tenant *t,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
