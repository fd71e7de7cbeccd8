/* SPDX-License-Identifier: MIT */
/* Caches that were made since: of libraries, say, that are no more. */
#include <stdlib.h>

#include "guest-agent/change-since-impl.h"
#include "guest-agent/rebuild.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/rebuild.h"

/* What nobody can read is not known to be one. */
static bool is_made(const struct since *s, const char *path)
{
	mlimg_autofree char *data = NULL;
	size_t size;

	return mlimg_read_beneath_head(
		       s->c->upper_fd, path, MLIMG_REBUILD_HEAD_SIZE, &data, &size, NULL) == 0 &&
		mlimg_rebuild_is_made(path, data, size);
}

/* What lies in the place of one and was made by nobody knows whom would be lost when it is made. */
int since_caches(struct since *s)
{
	int r = 0;

	for (size_t i = 0; i < s->upper->n_entries && r == 0; i++) {
		const struct mlimg_entry *e = &s->upper->entries[i];
		char listed[MLIMG_LAYER_PATH_MAX + 1];

		if (e->type != MLIMG_FILE || !mlimg_rebuild_is_cache(e->path, listed))
			continue;
		r = is_made(s, e->path) ? since_clear(s, e->path)
					: since_set_aside_first(s, e->path);
		mlimg_rebuild_collect(&s->rebuild, listed);
	}
	return r;
}
