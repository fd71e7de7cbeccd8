/* SPDX-License-Identifier: MIT */
/**
 * @file freeze-impl.h
 * The parts of a freeze among themselves: freeze.c (the daemon's), freeze-keep.c (the process that
 * keeps it), and what both know of it.
 *
 * A process that is killed as it calls ioctl(2) cannot say any more whether it was done. For FITHAW
 * that is told by a witness: a process that asks to write into the file system as soon as it is
 * frozen, and therefore waits. The kernel lets go of it in FITHAW itself, before anybody else can
 * freeze; so a freeze is over exactly when the witness waits no more. What it asks for is to remove
 * an extended attribute that is not there: that waits like any other change, and changes nothing.
 */
#ifndef MLIMG_FREEZE_IMPL_H
#define MLIMG_FREEZE_IMPL_H

#include <stdatomic.h>
#include <stdint.h>

#include "guest-agent/freeze.h"

/** Bytes of what the daemon sends to have it thawed: an id as it goes into the response, ',"id":7'. */
#define FREEZE_ASKED_MAX (MLIMG_ID_MAX + 16)

/** What the process that keeps a freeze does. Each is noted before it is begun. */
enum freeze_stage {
	FREEZE_BEGINS = 0, /**< nothing yet */
	FREEZE_FREEZES,    /**< FIFREEZE; and the witness does not wait yet */
	FREEZE_FROZEN,     /**< the witness waits, or there is none */
	FREEZE_OVER,       /**< all was done that there was to do */
};

/** In memory that the daemon shares with that process. */
struct mlimg_freeze_shared {
	_Atomic int stage;           /**< enum freeze_stage */
	_Atomic pid_t keeper;        /**< that process; 0: not known yet */
	_Atomic pid_t witness;       /**< 0: there is none, or it could not be seen to wait */
	_Atomic int64_t deadline_ms; /**< when it thaws by itself, by clock.h; 0: not known yet */
};

/** What that process gets. */
struct mlimg_freeze {
	struct mlimg_call *call;
	int timeout_ms;
};

/** It, as a worker (worker.h). @param ctx a struct mlimg_freeze */
void mlimg_freeze_keep(int fd, void *ctx);

/**
 * Open the root of the user file system.
 * @return a descriptor; -1 when none is mounted, and then @p failure says so
 */
int mlimg_freeze_open_user(const struct mlimg_agent *agent, struct mlimg_failure *failure);

/** @return whether the witness says that the freeze has ended, whoever thawed; false without one */
bool mlimg_freeze_is_over(const struct mlimg_freeze_shared *shared);

#endif
