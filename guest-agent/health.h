/* SPDX-License-Identifier: MIT */
/**
 * @file health.h
 * Is the guest well? That its default target is reached, which of its units have failed, and what
 * the executables in /etc/mlimg/health.d say: each one that exits with anything but 0 is a failure.
 *
 * The executables may need what the daemon has not got (network, files of other users): under
 * systemd they run in a unit of their own, `mlimg-health.service`, which calls `mlimg-agent
 * health`. Under another init the daemon's own process for the command (worker.h) runs them. What
 * they found last is in /run/mlimg/health.json, where guest-status looks.
 *
 * health.json: { "is_healthy": false,
 *                "checks": [ { "name": "web", "status": 7, "output": "..." }, ... ] }
 *
 * "status" is the exit status; 128 and the number of a signal that ended it; null when it took
 * longer than it may, or was not run: for want of time, or since its name is a symbolic link that
 * leads nowhere. Where nothing could be found out (the directory cannot be read, the file not be
 * written), there is no health.json afterwards. Names are those that run-parts(8) takes:
 * letters, digits, "_" and "-". They run in the order of their names.
 */
#ifndef MLIMG_HEALTH_H
#define MLIMG_HEALTH_H

#include "guest-agent/protocol.h"

#define MLIMG_HEALTH_DIR "/etc/mlimg/health.d"
#define MLIMG_HEALTH_CHECK_MS 10000   /**< for each executable */
#define MLIMG_HEALTH_ALL_MS 30000     /**< for all of them */
#define MLIMG_HEALTH_CHECKS_MAX 100   /**< entries; of those behind the first is told as failed */
#define MLIMG_HEALTH_OUTPUT_SIZE 1024 /**< bytes of what each prints that are kept, NUL included */
#define MLIMG_HEALTH_JSON_MAX \
	0x100000 /**< bytes of health.json; escaped 6 for 1, 700,000 at most */

/** The command `mlimg-health`. */
json_t *mlimg_health_command(struct mlimg_call *call);

/** @return whether a check has failed when they were last run, or what they found is damaged; false when never */
bool mlimg_health_has_failed(const struct mlimg_agent *agent);

#endif
