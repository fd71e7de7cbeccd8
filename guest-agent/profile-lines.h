/* SPDX-License-Identifier: MIT */
/**
 * @file profile-lines.h
 * The list of files for mlimg-mkfs --profile (tools/profile.h), made of what was opened in the
 * merged root (record.h).
 */
#ifndef MLIMG_PROFILE_LINES_H
#define MLIMG_PROFILE_LINES_H

#include "guest-agent/view.h"
#include "libmlimg/text.h"
#include "tools/profile.h"

/** A list. Zero it to begin with; free() its text's data. */
struct mlimg_profile_lines {
	struct mlimg_text text; /**< with comments that name the layers */
	uint64_t n, bytes;      /**< files in it, and what is in them */
	uint64_t n_own;         /**< files of the user's own, which no layer has: left out */
	uint64_t n_unread;      /**< files of which nothing is in the page cache: left out */
};

/**
 * Make it. A path becomes the one that the layers have it at, where a directory was renamed. What
 * was opened and is no regular file in the layers, or an empty one, is left out. So is what was not
 * read, where that can be told: nothing of it is in the page cache, and since the start the kernel
 * has taken nothing out of there (/proc/vmstat).
 *
 * @param view     loaded
 * @param opened   paths in the merged root
 * @param proc_fd  /proc
 * @param ret      see there
 * @param err      looking at the layers
 * @return         0, -errno
 */
int mlimg_profile_lines_make(struct mlimg_view *view, const struct mlimg_profile *opened,
	int proc_fd, struct mlimg_profile_lines *ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
