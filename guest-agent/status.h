/* SPDX-License-Identifier: MIT */
/**
 * @file status.h
 * How the guest is: what `guest-status` returns.
 */
#ifndef MLIMG_STATUS_H
#define MLIMG_STATUS_H

#include "guest-agent/protocol.h"

#define MLIMG_SYSTEMCTL_TIMEOUT_MS \
	5000 /**< for each of three questions to systemd; after one without answer no more are asked */
#define MLIMG_FAILED_UNITS_MAX 100 /**< names of failed units in an answer */

#define MLIMG_STATUS_PENDING_MAX 100 /**< operations for the next boot that an answer tells */

/** @return whether systemd is the guest's init */
bool mlimg_status_is_systemd(const struct mlimg_agent *agent);

/**
 * What init says.
 *
 * @param is_systemd  whether that is systemd; other inits say nothing
 * @return            object with "init", "system_state", "default_target_reached", "failed_units"
 */
json_t *mlimg_status_init(bool is_systemd);

/** @return whether units have failed, as far as is known; true where systemd did not tell */
bool mlimg_status_has_failed_units(const json_t *init);

/** The command `guest-status`. */
json_t *mlimg_status_command(struct mlimg_call *call);

#endif
