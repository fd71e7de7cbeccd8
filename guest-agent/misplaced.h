/* SPDX-License-Identifier: MIT */
/**
 * @file misplaced.h
 * Names of the user layer's /mlimg that the agent writes itself, and root in the guest can put
 * anything at: a directory in the place of a file makes replacing it fail, in the middle of what is
 * under way and at each boot after.
 *
 * Looked at are the names of what may be missing. Where a layer's description, its state, the base
 * manifest or a journal is not what it must be, those who read it refuse the user layer.
 */
#ifndef MLIMG_MISPLACED_H
#define MLIMG_MISPLACED_H

#include "libmlimg/boot.h"
#include "libmlimg/err.h"

/**
 * Set aside what has a name of the agent's and is of another type: as NAME.misplaced beside it, or
 * NAME.misplaced-2 and so on.
 *
 * @param own_fd  the user layer's /mlimg
 * @param boot    gets a note for each
 * @param err     names it
 * @return        0 or -errno
 */
int mlimg_misplaced_set_aside(
	int own_fd, struct mlimg_boot *boot, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
