/* SPDX-License-Identifier: MIT */
/**
 * @file carve-owners.h
 * Whose the things in carve-outs are (carve.h), whose numbers stay what they are
 * (libmlimg/owner-set.h). They are looked at when the first number is asked for that would change,
 * which is seldom.
 */
#ifndef MLIMG_CARVE_OWNERS_H
#define MLIMG_CARVE_OWNERS_H

#include "libmlimg/owner-set.h"

/** Zeroed but for user_fd. mlimg_carve_owners_done() it. */
struct mlimg_carve_owners {
	int user_fd;                /**< the user layer's top directory */
	bool is_read;               /**< the rest is set */
	struct mlimg_owner_set set; /**< is_cut where not all was looked at */
};

/** @return 1 when things in carve-outs have that owner or group, 0 when not, -1: they may have */
int mlimg_carve_owners_has(struct mlimg_carve_owners *carved, bool is_group, uint32_t id);

/** Free what it owns. */
void mlimg_carve_owners_done(struct mlimg_carve_owners *carved);

#endif
