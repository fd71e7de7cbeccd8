/* SPDX-License-Identifier: MIT */
/**
 * @file upper-view.h
 * What shows at a path for whoever sees an upper on a stack, out of their manifests alone:
 * whiteouts, opaque and renamed directories on the way are taken into account, symbolic links are
 * not followed. For the few paths of which one must know this singly; a whole upper is walked
 * (reconcile-plan.h).
 */
#ifndef MLIMG_UPPER_VIEW_H
#define MLIMG_UPPER_VIEW_H

#include "libmlimg/manifest.h"

/** Whose thing it is. */
enum mlimg_seen_kind {
	MLIMG_SEEN_NOTHING = 0, /**< the upper has nothing there, and shows nothing of the stack */
	MLIMG_SEEN_UPPER,       /**< the upper's; a directory of it shows what is beneath, too */
	MLIMG_SEEN_STACK,       /**< what the stack has, if it has anything there */
	MLIMG_SEEN_ELSEWHERE,   /**< a directory on the way is a symbolic link */
};

/** What shows at a path. */
struct mlimg_seen {
	enum mlimg_seen_kind kind;
	const struct mlimg_entry *entry; /**< the upper's; else NULL */
	bool has_lower;                  /**< something of the stack shows there or in it */
	char lower[MLIMG_PATH_MAX + 1];  /**< where that lies in the stack */
};

/**
 * Look.
 *
 * @param upper  in the neutral form (upper-source.h)
 * @param base   the stack that the upper was written on: the mark of an opaque directory means
 *               something only where that has one
 * @param path   as in manifests
 * @param ret    what is there; @p entry belongs to @p upper
 */
void mlimg_upper_see(const struct mlimg_manifest *upper, const struct mlimg_manifest *base,
	const char *path, struct mlimg_seen *ret);

/**
 * @param upper  as above
 * @param base   as above
 * @param path   as in manifests
 * @return       whether a regular file shows there, the upper's or the stack's
 */
bool mlimg_upper_shows_file(
	const struct mlimg_manifest *upper, const struct mlimg_manifest *base, const char *path);

/**
 * @param upper  as above
 * @param base   as above
 * @param path   as in manifests
 * @return       where the symbolic link leads that shows there, the upper's or the stack's; NULL:
 *               there is none
 */
const char *mlimg_upper_shows_link(
	const struct mlimg_manifest *upper, const struct mlimg_manifest *base, const char *path);

/**
 * Where a renamed directory leads: what trusted.overlay.redirect names, as a path in the stack.
 *
 * @param redirect   the xattr: a name, or a path that begins with '/'; anything else names nothing
 * @param own        where the directory would lie beneath by its own path; NULL: nothing does
 * @param ret_lower  the path
 * @return           whether it names one
 */
bool mlimg_redirect_follow(
	const struct mlimg_xattr *redirect, const char *own, char ret_lower[MLIMG_PATH_MAX + 1]);

#endif
