/* SPDX-License-Identifier: MIT */
/**
 * @file owner-set.h
 * Which users and groups things belong to, ACLs included: whose number is asked for again and again
 * when accounts are merged (accounts.h).
 *
 * What a user layer has outside of its upper, in /carve-outs (guest-agent/carve.h), is no part of
 * what a change of the stack compares or rewrites: there may be millions. A server whose number is
 * another one in the new system could not open its data any more, and whoever has the number now
 * could. So numbers that things in there have stay what they are (accounts.h, rule 6), and nothing
 * in there has to be touched, on the way there or back. Who reads them, in a directory
 * (guest-agent/carve-owners.h) or in an image (tools/image-owners.h), reads at most
 * MLIMG_OWNER_SET_THINGS_MAX, breadth first. Where there are more, or some cannot be looked at, any
 * number may be among them.
 */
#ifndef MLIMG_OWNER_SET_H
#define MLIMG_OWNER_SET_H

#include "libmlimg/manifest.h"

/** Things outside of an upper that are looked at; so many took 0.4 s of a busy machine with two cores */
#define MLIMG_OWNER_SET_THINGS_MAX 50000

#define MLIMG_OWNER_SET_IDS 65536u /**< users and groups of a system have lower numbers */

/** Zeroed it has nobody. mlimg_owner_set_done() it. */
struct mlimg_owner_set {
	uint8_t *owners; /**< private: a bit for each lower number, of users, then of groups */
	bool has_large;  /**< and some above that */
	bool is_cut;     /**< not all was looked at */
};

/** Add a user, or a group. @return 0, -ENOMEM */
int mlimg_owner_set_add(struct mlimg_owner_set *set, bool is_group, uint32_t id) MLIMG_MUST_CHECK;

/** Add owner and group of an entry, and those of its ACLs. @return 0, -ENOMEM */
int mlimg_owner_set_add_entry(
	struct mlimg_owner_set *set, const struct mlimg_entry *entry) MLIMG_MUST_CHECK;

/**
 * Add the users and groups of an ACL.
 *
 * @param set    the set
 * @param value  as getxattr(2) returns it; one that is not well formed has none
 * @param size   its bytes
 * @return       0, -ENOMEM
 */
int mlimg_owner_set_add_acl(
	struct mlimg_owner_set *set, const uint8_t *value, size_t size) MLIMG_MUST_CHECK;

/** @return 1 when it has that user, or group; 0 when not; -1: it may have */
int mlimg_owner_set_has(const struct mlimg_owner_set *set, bool is_group, uint32_t id);

/**
 * @return whether one thing belongs to that user, or group, or an ACL of it names them: whoever has
 * the number next would have what it says
 */
bool mlimg_entry_is_of(const struct mlimg_entry *entry, bool is_group, uint32_t id);

/** Free what it owns. */
void mlimg_owner_set_done(struct mlimg_owner_set *set);

#endif
