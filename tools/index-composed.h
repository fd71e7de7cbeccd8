/* SPDX-License-Identifier: MIT */
/**
 * @file index-composed.h
 * The list of composed entries (index-merge.h) as index-merge.c goes through it. Not for other
 * modules.
 */
#ifndef MLIMG_TOOLS_INDEX_COMPOSED_H
#define MLIMG_TOOLS_INDEX_COMPOSED_H

#include "tools/index-merge.h"

/** Goes through the composed entries of one directory, in the order of names. */
struct mlimg_index_cursor {
	const struct mlimg_index_composed *at, *end;
	size_t prefix_size; /**< bytes of a path before the name */
};

/** @return 0, -EINVAL when the list is not as index-merge.h wants it */
int mlimg_index_composed_check(
	const struct mlimg_index_composed *list, size_t n, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Begin with the entries right in the directory @p dir, "" for the root. */
void mlimg_index_cursor_begin(struct mlimg_index_cursor *cursor,
	const struct mlimg_index_composed *list, size_t n, const char *dir);

/** @return the entry the cursor stands at, or NULL at the end */
const struct mlimg_index_composed *mlimg_index_cursor_peek(struct mlimg_index_cursor *cursor);

/** @return the name of the entry that mlimg_index_cursor_peek() has returned */
static inline const char *mlimg_index_cursor_name(const struct mlimg_index_cursor *cursor)
{
	return cursor->at->entry->path + cursor->prefix_size;
}

#endif
