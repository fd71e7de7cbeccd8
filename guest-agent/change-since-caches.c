/* SPDX-License-Identifier: MIT */
/* Caches that were made since: of libraries, say, that are no more. */
#include <stdlib.h>

#include "guest-agent/change-since-impl.h"
#include "guest-agent/rebuild.h"
#include "libmlimg/rebuild.h"

/* What returns may be of libraries that are no more, or not yet. */
static int collect_taken(struct since *s)
{
	struct mlimg_undo_record record;
	char listed[MLIMG_LAYER_PATH_MAX + 1];
	int r = 0;

	for (size_t i = 0; i < s->n_takens && r == 0; i++) {
		r = mlimg_undo_log_get(s->log, s->takens[i].n, &record, s->err);
		if (r == 0 && mlimg_rebuild_is_cache(record.path, listed) &&
			mlimg_path_class_of(s->classes, record.path) == MLIMG_CLASS_DERIVED)
			mlimg_rebuild_collect(&s->rebuild, listed);
	}
	return r;
}

/* @return 1 when it has what the newer stack's has: since_copies() looks at it; 0, -ENOMEM */
static int is_copy(struct since *s, struct mlimg_entry *e)
{
	char lower[MLIMG_PATH_MAX + 1];

	return s->knows_stacks && since_lower_of(s, e->path, lower)
		? since_has_same_contents(s, e, mlimg_manifest_find(s->now.manifest, lower))
		: 0;
}

/*
 * What lies in the place of one and was made by nobody knows whom would be lost when it is made.
 * What is declared as something else than derived is no cache.
 */
int since_caches(struct since *s)
{
	int r = collect_taken(s);

	for (size_t i = 0; i < s->upper->n_entries && r == 0; i++) {
		struct mlimg_entry *e = &s->upper->entries[i];
		char listed[MLIMG_LAYER_PATH_MAX + 1];

		if (e->type != MLIMG_FILE || !mlimg_rebuild_is_cache(e->path, listed) ||
			mlimg_path_class_of_entry(s->classes, e) != MLIMG_CLASS_DERIVED)
			continue;
		mlimg_rebuild_collect(&s->rebuild, listed);
		if (mlimg_rebuild_is_made_beneath(s->c->upper_fd, e->path, e->path)) {
			r = since_clear(s, e->path);
			continue;
		}
		r = is_copy(s, e);
		r = r ? r : since_set_aside_first(s, e->path);
		r = r < 0 ? r : 0;
	}
	return r;
}
