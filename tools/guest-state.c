/* SPDX-License-Identifier: MIT */
#include "tools/guest-state.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char *const names[MLIMG_GUEST_STATES] = {[MLIMG_GUEST_OFF] = "off",
	[MLIMG_GUEST_STARTING] = "starting",
	[MLIMG_GUEST_UP] = "up",
	[MLIMG_GUEST_SILENT] = "silent",
	[MLIMG_GUEST_STOPPING] = "stopping",
	[MLIMG_GUEST_PAUSED] = "paused",
	[MLIMG_GUEST_DIED] = "died",
	[MLIMG_GUEST_UNREACHABLE] = "unreachable"};

const char *mlimg_guest_state_name(enum mlimg_guest_state state)
{
	return names[state];
}

void mlimg_guest_stuck_why(const char *name, bool is_full, char ret_why[MLIMG_GUEST_WHY_SIZE])
{
	snprintf(ret_why, MLIMG_GUEST_WHY_SIZE,
		"its disk cannot be written: %s, then 'mlimg-vm start %.128s'",
		is_full ? "no room on the host's disk; make room"
			: "the host's disk failed; mend it",
		name);
}

bool mlimg_guest_state_of(const char *name, enum mlimg_guest_state *ret_state)
{
	for (size_t i = 0; i < MLIMG_GUEST_STATES; i++)
		if (strcmp(names[i], name) == 0) {
			*ret_state = (enum mlimg_guest_state)i;
			return true;
		}
	return false;
}

bool mlimg_guest_is_on(enum mlimg_guest_state state)
{
	return state >= MLIMG_GUEST_STARTING && state <= MLIMG_GUEST_PAUSED;
}
