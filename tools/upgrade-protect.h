/* SPDX-License-Identifier: MIT */
/**
 * @file upgrade-protect.h
 * Protected paths (guest-agent/protect.h), foretold: what a new stack declares, and what of a user
 * layer covers it when the change is done, which the boot sets aside then. By the same rules, on
 * manifests, with one difference: of a stack the merged tree decides, as it does in a boot with an
 * index; without one it may be that more is set aside, where a layer's opaque directory hides
 * something protected of those beneath.
 */
#ifndef MLIMG_TOOLS_UPGRADE_PROTECT_H
#define MLIMG_TOOLS_UPGRADE_PROTECT_H

#include "libmlimg/plan.h"
#include "libmlimg/protected.h"

/**
 * Read a declaration.
 *
 * @param path  of the file
 * @param text  what is in it
 * @param size  its bytes
 * @param to    gets the paths
 * @param err   names the file and the line; refused, as a boot does
 * @return      0, -EUCLEAN, -ENOMEM
 */
int mlimg_upgrade_protected_add(const char *path, const char *text, size_t size,
	struct mlimg_protected *to, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return whether an entry of the merged tree is one that declares */
bool mlimg_upgrade_protected_is_file(const struct mlimg_entry *entry);

/** What is set aside. Zero it to begin with. */
struct mlimg_upgrade_covered {
	char *paths; /**< the first ones of them, as boot.json has them, a line each; or NULL */
	uint64_t n;  /**< how many there are */
	bool has_renamed; /**< and there may be more, of directories that were renamed */
};

/**
 * Find what covers protected paths.
 *
 * @param of     what is protected
 * @param next   merged manifest of the new stack
 * @param upper  the user's, before the change
 * @param plan   of the change
 * @param ret    mlimg_upgrade_covered_done() it
 * @param err    see there
 * @return       0, -ENOMEM
 */
int mlimg_upgrade_covered_find(const struct mlimg_protected *of, const struct mlimg_manifest *next,
	const struct mlimg_manifest *upper, const struct mlimg_plan *plan,
	struct mlimg_upgrade_covered *ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_upgrade_covered_done(struct mlimg_upgrade_covered *of);

#endif
