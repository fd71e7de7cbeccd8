/* SPDX-License-Identifier: MIT */
/**
 * @file upgrade-room.h
 * How much room a boot takes in a user layer to bring it into agreement with another stack
 * (guest-agent/change.h, 1), and how much there is. The first is about right, and rather too much:
 * how a file system lays out directories is its own affair.
 */
#ifndef MLIMG_TOOLS_UPGRADE_ROOM_H
#define MLIMG_TOOLS_UPGRADE_ROOM_H

#include "libmlimg/plan.h"
#include "tools/ext4-read.h"

/** What takes room. */
struct mlimg_upgrade_needs {
	const struct mlimg_plan *plan;
	uint64_t base_bytes;   /**< base manifest and texts of the new stack */
	uint64_t report_bytes; /**< of the report as JSON; for people it takes as much */
	uint64_t queue_bytes;  /**< of the report of what is queued, likewise; 0: nothing is */
	uint64_t paths_bytes;  /**< of all paths in the upper */
};

/** @return bytes that must be free */
uint64_t mlimg_upgrade_room(const struct mlimg_upgrade_needs *needs);

/** @return bytes that are free when a boot has made the file system as large as the disk */
uint64_t mlimg_upgrade_free_bytes(const struct mlimg_ext4_super *super, uint64_t disk_bytes);

#endif
