/* SPDX-License-Identifier: MIT */
/**
 * @file user-pending.h
 * What a guest has begun in its user layer and not ended: a change of the stack (its
 * guest-agent/change.h), a conversion for another union driver (convert.h), a factory reset
 * (reset.h). Until a boot ends it the upper is of two minds, and whatever was built of it, or
 * planned for it, would be neither what the user had nor what he will have.
 */
#ifndef MLIMG_TOOLS_USER_PENDING_H
#define MLIMG_TOOLS_USER_PENDING_H

#include "tools/ext4-read.h"

/**
 * Find out.
 *
 * @param fs        the image of a user layer; of another layer nothing is found
 * @param ret_what  "a change of the stack", "a conversion for another union driver", "a factory
 *                  reset"; NULL: nothing is pending
 * @param err       names the image and the place
 * @return          0; -EUCLEAN when /mlimg is not sound; -errno
 */
int mlimg_user_pending(
	struct mlimg_ext4 *fs, const char **ret_what, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Refuse a user layer whose upper is not to be read as what the user has: its journal holds
 * changes, or something is pending.
 *
 * @param fs   as above
 * @param err  of kind MLIMG_ERR_REFUSED, says what to do
 * @return     0, -EUCLEAN, -errno
 */
int mlimg_user_check_settled(struct mlimg_ext4 *fs, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
