/* SPDX-License-Identifier: MIT */
/**
 * @file resolve-texts.h
 * The three texts of a conflict, and what merging them gives. For `mlimg resolve`.
 */
#ifndef MLIMG_RESOLVE_TEXTS_H
#define MLIMG_RESOLVE_TEXTS_H

#include "guest-agent/view.h"
#include "libmlimg/merge3.h"

/** Bytes of a text that is merged. */
#define MLIMG_RESOLVE_TEXT_MAX MLIMG_MERGE3_SIZE_MAX

/** A text to be read. */
struct mlimg_resolve_from {
	int dir_fd;       /**< the directory that it is in */
	const char *name; /**< its name in there */
};

/** What is to be merged. */
struct mlimg_resolve_texts {
	struct mlimg_resolve_from mine, theirs;
	const char *theirs_name; /**< for the marks */
	uint64_t generation;     /**< that the change led to: what it has put away has the base */
	const char *base_path;   /**< in the former stack */
};

/** What came of it. */
struct mlimg_resolve_merged {
	char *text; /**< free() it */
	size_t size;
	size_t n_conflicts; /**< that are marked in it (merge3.h) */
	bool has_base;      /**< the former stack's text was there */
};

/**
 * Merge.
 *
 * @param view   with a user layer
 * @param texts  see there
 * @param path   for messages
 * @param ret    set on success
 * @param err    not a text, too large, too much differs
 * @return       0, -errno
 */
int mlimg_resolve_merge(const struct mlimg_view *view, const struct mlimg_resolve_texts *texts,
	const char *path, struct mlimg_resolve_merged *ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Read a regular file of at most MLIMG_RESOLVE_TEXT_MAX bytes. @return 0, -EFBIG, -errno */
int mlimg_resolve_read(
	const struct mlimg_resolve_from *from, char **ret_text, size_t *ret_size) MLIMG_MUST_CHECK;

#endif
