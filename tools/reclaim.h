/* SPDX-License-Identifier: MIT */
/**
 * @file reclaim.h
 * Room of a tenant's user disk that was lost when its QEMU died. QEMU counts a cluster as used before
 * anything refers to it, so that a kill, or a power cut, loses nothing: but what is counted by then
 * and not referred to is room that nobody uses any more. Most is lost by a kill that comes while a
 * checkpoint is saved.
 *
 * It is freed by whoever uses the disk next, while it is off. That reads the disk's tables
 * (mlimg_qemu_img_check()), which is why it is not done before every start, and shows whether they
 * are sound: 0.4 s for a disk of 200 GiB, all written, whose tables the host has in memory.
 */
#ifndef MLIMG_TOOLS_RECLAIM_H
#define MLIMG_TOOLS_RECLAIM_H

#include "tools/backend.h"

/**
 * Free what a death has lost. Does nothing, and looks at nothing, where the guest is on or has ended
 * well, or where its disk is not here: that of a tenant on another host is looked at when it comes home.
 *
 * That it cannot be done (somebody else has the disk open; there is no qemu-img) is an event of the
 * tenant's, and no failure: the disk can be used as it is. What was freed is an event, too.
 *
 * @param store   the store, not in a transaction
 * @param tenant  the tenant, with its lock
 * @param state   what it does, as mlimg_backend_look() has told
 * @param why     and why
 * @param err     refused: the disk is damaged, and what can be done; then it is not written to
 * @return        0; -errno
 */
int mlimg_reclaim(struct mlimg_store *store, const struct mlimg_tenant *tenant,
	enum mlimg_guest_state state, const char *why, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The same, where nobody has looked yet what it does. @return 0 or -errno */
int mlimg_reclaim_look(struct mlimg_store *store, struct mlimg_tenant *tenant,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Note what came of it, as an event of the tenant's.
 *
 * @param store        the store, not in a transaction
 * @param tenant_id    whose
 * @param freed_bytes  what can be used again; 0: nothing is noted, unless it failed
 * @param failed       why it could not be done; NULL: it was
 */
void mlimg_reclaim_note(struct mlimg_store *store, const char *tenant_id, uint64_t freed_bytes,
	const struct mlimg_err *failed);

/** The same of a disk that has come home, whatever happened to it there. @return 0 or -errno */
int mlimg_reclaim_now(struct mlimg_store *store, const struct mlimg_tenant *tenant,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
