/* SPDX-License-Identifier: MIT */
/**
 * @file inspect-differences.h
 * Entries that are not as they must be: the first ones are named, all are counted.
 */
#ifndef MLIMG_TOOLS_INSPECT_DIFFERENCES_H
#define MLIMG_TOOLS_INSPECT_DIFFERENCES_H

#include "tools/manifest-diff.h"

/** A screenful, and a destroyed image has thousands. */
#define MLIMG_DIFFERENCES_SHOWN_MAX 20

/** What has been found. Zero it to begin with. */
struct mlimg_differences {
	uint64_t n;
	char *paths[MLIMG_DIFFERENCES_SHOWN_MAX];      /**< escaped */
	unsigned changes[MLIMG_DIFFERENCES_SHOWN_MAX]; /**< manifest-diff.h */
};

/** Keep one. @return 0, -ENOMEM */
int mlimg_differences_add(struct mlimg_differences *d, unsigned changes, const char *path,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Print them for people, a line each. */
void mlimg_differences_put(const struct mlimg_differences *d);

/**
 * @return a list of objects with "path" and "changes", json_decref() it; NULL when there is no
 * memory
 */
struct json_t *mlimg_differences_json(const struct mlimg_differences *d);

/** Free what it owns. */
void mlimg_differences_done(struct mlimg_differences *d);

#endif
