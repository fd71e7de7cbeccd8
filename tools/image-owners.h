/* SPDX-License-Identifier: MIT */
/**
 * @file image-owners.h
 * Whose the things in the carve-outs of a user layer's image are, for whoever plans a reconcile
 * without mounting it: what guest-agent/carve-owners.h is in a guest, so that the same numbers stay
 * what they are (libmlimg/owner-set.h). Both look at the same number of things, but of those in one
 * directory a guest begins with others: where there are more, the two may differ.
 */
#ifndef MLIMG_TOOLS_IMAGE_OWNERS_H
#define MLIMG_TOOLS_IMAGE_OWNERS_H

#include "libmlimg/owner-set.h"
#include "tools/ext4-read.h"

/** Zeroed but for fs. mlimg_image_owners_done() it. */
struct mlimg_image_owners {
	struct mlimg_ext4 *fs;      /**< the image */
	bool is_read;               /**< the rest is set */
	struct mlimg_owner_set set; /**< is_cut where not all was looked at, or is not sound */
};

/**
 * As owns_outside of libmlimg/reconcile-plan.h.
 *
 * @param owners    struct mlimg_image_owners
 * @param is_group  whether @p id is a group
 * @param id        a number
 * @return          1 when things in carve-outs have that owner or group, 0 when not, -1: they may
 *                  have
 */
int mlimg_image_owners_has(void *owners, bool is_group, uint32_t id);

/** Free what it owns. */
void mlimg_image_owners_done(struct mlimg_image_owners *owners);

#endif
