/* SPDX-License-Identifier: MIT */
/**
 * @file upgrade-away.h
 * Planning for a tenant whose user disk is on another host: a copy of it, as libvirt reads the volume
 * there, lies in the store for as long as it takes. Nothing on the host is changed, and nobody is
 * kept from anything: the tenant's lock is not taken.
 *
 * So it is looked afterwards what happened meanwhile. Of a guest that is off the copy counts when
 * nobody has written to the volume since. Of one that is on a checkpoint in the copy counts, whose
 * clusters QEMU does not write again, when there are the same checkpoints as before.
 *
 * The copy is the file of an operation (store-impl.h), and what is left of a command that is killed
 * the next one removes. It takes no room that tenants could need: one that might not fit is not begun.
 *
 * As with all of libvirt: one thread calls this.
 */
#ifndef MLIMG_TOOLS_UPGRADE_AWAY_H
#define MLIMG_TOOLS_UPGRADE_AWAY_H

#include "tools/upgrade-plan.h"

/**
 * mlimg_upgrade_plan() of such a tenant.
 *
 * @param store  the store, not in a transaction
 * @param t      as there; what is asked has its host, and of a guest that is on its checkpoint
 * @param bases  as there
 */
void mlimg_upgrade_plan_away(struct mlimg_store *store, struct mlimg_upgrade_tenant *t,
	struct mlimg_upgrade_bases *bases);

#endif
