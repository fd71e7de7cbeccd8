/* SPDX-License-Identifier: MIT */
/**
 * @file freeze.h
 * The user file system is frozen while the host takes a snapshot of its disk, FIFREEZE of ioctl(2)
 * (the kernel's fs/super.c): all that was written before is on the disk, its journal is empty, and
 * whoever writes waits.
 *
 * A process of its own (worker.h) freezes, keeps the freeze and thaws: when it is told to, when its
 * time is over, and when the daemon closes its end of their socket or is no more, whatever ended
 * it. When the process itself is killed the daemon thaws, also when it had told it to and it had not
 * done it yet; when both are, mlimg-agent.service. When it is there but does not thaw in time, since
 * somebody has stopped it, the daemon kills it. What somebody else has frozen is left alone, whenever
 * the process was killed, but in the moment of its FIFREEZE: whether that was done nobody can say,
 * and one thaw too many is better than a freeze that stays (freeze-impl.h says how else it is known).
 * All of its memory is locked, for a program that lies on unionfs-fuse would need the very file
 * system that waits; and so the program is there for the daemon, too, which answers meanwhile.
 */
#ifndef MLIMG_FREEZE_H
#define MLIMG_FREEZE_H

#include "guest-agent/protocol.h"

#define MLIMG_FREEZE_MS 10000     /**< how long a freeze lasts at most, by default */
#define MLIMG_FREEZE_MAX_MS 60000 /**< and at most: programs in the guest stand still */
#define MLIMG_FREEZE_LATE_MS \
	1000 /**< what the process that keeps it is given to thaw, on a busy machine */

/** The command `guest-fsfreeze-freeze`. */
json_t *mlimg_freeze_command(struct mlimg_call *call);

/** The command `guest-fsfreeze-thaw`. */
json_t *mlimg_freeze_thaw_command(struct mlimg_call *call);

/** The command `guest-fsfreeze-status`. */
json_t *mlimg_freeze_status_command(struct mlimg_call *call);

/**
 * Thaw, where the process that keeps a freeze was killed.
 *
 * @return whether there is such a process, also one that was told to thaw
 */
bool mlimg_freeze_is_kept(struct mlimg_agent *agent);

/** @return whether there is a freeze, or one is on its way; none that was told to end */
bool mlimg_freeze_is_on(struct mlimg_agent *agent);

/** @return whether it is, and this client has asked for it */
bool mlimg_freeze_is_of(struct mlimg_agent *agent, unsigned client);

/** @return when the freeze must have ended, by clock.h; 0: there is none, or nothing left to do */
int64_t mlimg_freeze_deadline(const struct mlimg_agent *agent);

/** Kill the process that keeps a freeze if that should be over. @param now_ms by clock.h */
void mlimg_freeze_watch(struct mlimg_agent *agent, int64_t now_ms);

/** Thaw, if there is a freeze. It is not waited for. */
void mlimg_freeze_end(struct mlimg_agent *agent);

#endif
