/* SPDX-License-Identifier: MIT */
/**
 * @file upgrade-after.h
 * What an upper holds when a plan (libmlimg/plan.h) has been carried out, as far as one must know
 * it to say what covers what: names, types, and what hides or shows another directory. Nothing is
 * carried out.
 */
#ifndef MLIMG_TOOLS_UPGRADE_AFTER_H
#define MLIMG_TOOLS_UPGRADE_AFTER_H

#include "libmlimg/plan.h"

/** A thing of an upper. */
struct mlimg_upgrade_thing {
	const char *path;
	const struct mlimg_xattr *redirect; /**< a directory that was renamed; or NULL */
	size_t was;                         /**< private: in the order in which it was found */
	uint8_t type;                       /**< enum mlimg_type */
	bool is_opaque;
	bool is_gone; /**< by mlimg_upgrade_after_remove() */
};

/** An upper. Zero it to begin with. */
struct mlimg_upgrade_after {
	struct mlimg_upgrade_thing *things; /**< in the order of manifests, the root among them */
	size_t n;
	size_t room; /**< private */
};

/**
 * Make it.
 *
 * @param upper  what there is before, in the neutral form (libmlimg/upper-source.h); stays, as the
 *               plan does, as long as the result is used
 * @param plan   what is done to it
 * @param ret    mlimg_upgrade_after_done() it, also after a failure
 * @param err    see there
 * @return       0, -ENOMEM
 */
int mlimg_upgrade_after_make(const struct mlimg_manifest *upper, const struct mlimg_plan *plan,
	struct mlimg_upgrade_after *ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Take a thing away, with all below: is_gone. */
void mlimg_upgrade_after_remove(struct mlimg_upgrade_after *after, const char *path);

/**
 * Where what the layers show in a directory of the upper comes from: elsewhere in and below one
 * that was renamed.
 *
 * @param after         the upper
 * @param path          the directory
 * @param heeds_opaque  in an opaque directory, and below, nothing shows
 * @param ret_from      a path of the layers
 * @return              false: nothing shows
 */
bool mlimg_upgrade_after_origin(const struct mlimg_upgrade_after *after, const char *path,
	bool heeds_opaque, char ret_from[MLIMG_PATH_MAX + 1]);

/** @return the thing at @p path that is not gone, or NULL. Binary search. */
const struct mlimg_upgrade_thing *mlimg_upgrade_after_find(
	const struct mlimg_upgrade_after *after, const char *path);

/** Free what it owns; accepts a zeroed one. */
void mlimg_upgrade_after_done(struct mlimg_upgrade_after *after);

#endif
