/* SPDX-License-Identifier: MIT */
/**
 * @file power.h
 * The host ends the guest, and sets its clock.
 *
 * Init is told by a signal what it is to do: systemd by SIGRTMIN+3 to +5 (systemd(1), "SIGNALS"),
 * busybox' init by SIGUSR1, SIGUSR2 and SIGTERM (its init/init.c). Any other is asked by the
 * programs halt, poweroff and reboot, which come with it.
 */
#ifndef MLIMG_POWER_H
#define MLIMG_POWER_H

#include "guest-agent/protocol.h"

/** The command `guest-shutdown`: leaves in the call what is to be done when it is answered. */
json_t *mlimg_shutdown_command(struct mlimg_call *call);

/** The command `guest-set-time`. */
json_t *mlimg_set_time_command(struct mlimg_call *call);

/** Do it: send init @p signal, or run @p program when that is not NULL. */
void mlimg_power_go(const struct mlimg_agent *agent, int signal, const char *program);

#endif
