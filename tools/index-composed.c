/* SPDX-License-Identifier: MIT */
#include "tools/index-composed.h"

#include <errno.h>
#include <string.h>

#include "libmlimg/whiteout.h"

static bool type_is_known(const struct mlimg_entry *entry)
{
	return entry->type == MLIMG_FILE || entry->type == MLIMG_DIR || entry->type == MLIMG_LINK ||
		mlimg_entry_is_whiteout(entry);
}

int mlimg_index_composed_check(
	const struct mlimg_index_composed *list, size_t n, struct mlimg_err *err)
{
	for (size_t i = 0; i < n; i++) {
		const char *path = list[i].entry->path;

		if (!*path || *path == '/')
			return mlimg_err_set(err, EINVAL, "composed path '%s'", path);
		if (!type_is_known(list[i].entry))
			return mlimg_err_set(err, EINVAL, "type of the composed '/%s'", path);
		if (i && mlimg_manifest_path_cmp(list[i - 1].entry->path, path) >= 0)
			return mlimg_err_set(err, EINVAL, "order of the composed '/%s'", path);
	}
	return 0;
}

void mlimg_index_cursor_begin(struct mlimg_index_cursor *cursor,
	const struct mlimg_index_composed *list, size_t n, const char *dir)
{
	size_t size = strlen(dir), from = 0, to = n;

	*cursor = (struct mlimg_index_cursor){.at = NULL};
	if (!n)
		return; /* there may be no list */
	/* What is in a directory comes right after it. */
	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (mlimg_manifest_path_cmp(list[middle].entry->path, dir) > 0)
			to = middle;
		else
			from = middle + 1;
	}
	for (to = from; to < n; to++) {
		const char *path = list[to].entry->path;

		if (size && (strncmp(path, dir, size) || path[size] != '/'))
			break;
	}
	cursor->at = list + from;
	cursor->end = list + to;
	cursor->prefix_size = size ? size + 1 : 0;
}

const struct mlimg_index_composed *mlimg_index_cursor_peek(struct mlimg_index_cursor *cursor)
{
	while (cursor->at < cursor->end &&
		strchr(cursor->at->entry->path + cursor->prefix_size, '/'))
		cursor->at++;
	return cursor->at < cursor->end ? cursor->at : NULL;
}
