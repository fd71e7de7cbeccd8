/* SPDX-License-Identifier: MIT */
/**
 * @file export-links.h
 * Files with several names: which name of one was written first. They are told by the numbers that
 * the merged root gives them, since one name may be in the upper and another in a directory that was
 * renamed, whose files are the layers'. unionfs-fuse gives each name another number.
 */
#ifndef MLIMG_EXPORT_LINKS_H
#define MLIMG_EXPORT_LINKS_H

#include <stdbool.h>
#include <sys/stat.h>

#include "libmlimg/err.h"

/** Names. Zero it to begin with. */
struct mlimg_export_links {
	void *root; /**< private: tsearch(3)'s */
};

/** @return whether lstat(2)'s answer in the merged root is of a file with several names */
static inline bool mlimg_export_is_shared(const struct stat *st)
{
	return !S_ISDIR(st->st_mode) && st->st_nlink > 1;
}

/** @return the path of a name that was added, or NULL */
const char *mlimg_export_links_find(const struct mlimg_export_links *links, const struct stat *st);

/** Add the first name. @param path  copied @return 0, -ENOMEM */
int mlimg_export_links_add(
	struct mlimg_export_links *links, const struct stat *st, const char *path) MLIMG_MUST_CHECK;

/** Free them. */
void mlimg_export_links_done(struct mlimg_export_links *links);

#endif
