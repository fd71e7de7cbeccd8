/* SPDX-License-Identifier: MIT */
/**
 * @file hook-root.h
 * What a hook (hook.h) sees and may do. For a process that was made for it, in namespaces of its
 * own.
 */
#ifndef MLIMG_HOOK_ROOT_H
#define MLIMG_HOOK_ROOT_H

#include "guest-agent/hook.h"

#define MLIMG_HOOK_MOUNT_POINT "hook" /**< in /run/mlimg */

/**
 * Make the layers this process' root, and nothing else of the machine.
 *
 * @param hooks     see there; the mount point is there
 * @param ret_what  on failure what could not be done
 * @return          0 or -errno
 */
int mlimg_hook_enter(const struct mlimg_hooks *hooks, const char **ret_what) MLIMG_MUST_CHECK;

/**
 * Give up all that reading does not need; bounds memory and what is written.
 *
 * @return 0 or -errno
 */
int mlimg_hook_confine(void) MLIMG_MUST_CHECK;

#endif
