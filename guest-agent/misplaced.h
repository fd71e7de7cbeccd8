/* SPDX-License-Identifier: MIT */
/**
 * @file misplaced.h
 * Names of the user layer's /mlimg that the agent writes itself, and root in the guest can put
 * anything at: a directory in the place of a file makes replacing it fail, in the middle of what is
 * under way and at each boot after.
 *
 * Looked at are the names of what may be missing, and those of what a generation is about to get.
 * Where a layer's description, its state, the base manifest of the present generation or a journal
 * is not what it must be, those who read it say so, and refuse the user layer or leave it as it is.
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

/**
 * The same with base manifest, base texts and report of one generation, before it is made. A change
 * that is decided could not be ended otherwise.
 *
 * @param own_fd      as above; "reports" in there is a directory, or is missing
 * @param generation  that is to be made
 * @param boot        as above
 * @param err         as above
 * @return            as above
 */
int mlimg_misplaced_set_aside_of(int own_fd, uint64_t generation, struct mlimg_boot *boot,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
