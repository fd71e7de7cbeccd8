/* SPDX-License-Identifier: MIT */
/**
 * @file guest-state.h
 * What a guest does, as commands tell it.
 */
#ifndef MLIMG_TOOLS_GUEST_STATE_H
#define MLIMG_TOOLS_GUEST_STATE_H

#include <stdbool.h>

#define MLIMG_GUEST_WHY_SIZE 256 /**< of a state's reason, NUL included; longer ones are cut */

#define MLIMG_GUEST_ENDED \
	"ended by force" /**< the reason of one that is OFF and did not power off */

/** What a guest does. */
enum mlimg_guest_state {
	MLIMG_GUEST_OFF = 0,
	MLIMG_GUEST_STARTING, /**< it boots; the reason is how far it came */
	MLIMG_GUEST_UP,       /**< its default target is reached */
	MLIMG_GUEST_SILENT,   /**< on for longer than a boot may last, and its agent says nothing */
	MLIMG_GUEST_STOPPING, /**< it was asked to power off */
	MLIMG_GUEST_PAUSED,   /**< its processors stand still */
	MLIMG_GUEST_DIED,     /**< off, and nobody wanted it: its boot failed, QEMU was killed */
	MLIMG_GUEST_UNREACHABLE, /**< its host does not answer */
	MLIMG_GUEST_STATES,
};

/**
 * Why a guest is PAUSED that had to write what its host's disk could not take, and the way on.
 *
 * @param name     the tenant's
 * @param is_full  whether it is for want of room
 * @param ret_why  one clause
 */
void mlimg_guest_stuck_why(const char *name, bool is_full, char ret_why[MLIMG_GUEST_WHY_SIZE]);

/** @return "off", "starting", "up", "silent", "stopping", "paused", "died", "unreachable" */
const char *mlimg_guest_state_name(enum mlimg_guest_state state);

/** The state called @p name. @return whether there is one */
bool mlimg_guest_state_of(const char *name, enum mlimg_guest_state *ret_state);

/** @return whether it has memory and processors, so that it cannot be started */
bool mlimg_guest_is_on(enum mlimg_guest_state state);

#endif
