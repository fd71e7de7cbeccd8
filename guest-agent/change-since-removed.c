/* SPDX-License-Identifier: MIT */
/*
 * What the user has removed since with the directory that had it, and has made that anew. Where the
 * change had taken something from such a directory nothing tells that but the directory: overlayfs
 * marks it opaque. What was in it before does not return among what he has put there.
 */
#include <stdio.h>
#include <string.h>

#include "guest-agent/change-since-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/reconcile-plan.h"
#include "libmlimg/whiteout.h"

/* Without the list nobody knows what is new. */
static int read_list(struct since *s)
{
	mlimg_autofree char *text = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t size;
	int r = mlimg_read_beneath(
		s->c->undo_fd, MLIMG_CHANGE_PATHS, MLIMG_UPPER_LIST_MAX, &text, &size, &err);

	if (r == 0)
		r = mlimg_upper_list_parse(text, size, &s->had, &err);
	if (r == -ENOMEM)
		return since_no_memory(s);
	s->knows_had = r == 0;
	return 0;
}

/*
 * @return whether the step has taken it away, and not just marks below it; a directory only if
 *         nothing was left in it
 */
static int is_gone(struct since *s, size_t n, const struct mlimg_undo_record *record)
{
	char slot[MLIMG_CHANGE_SLOT_SIZE];

	if (record->op != 'e')
		return strchr("oa", record->op) && record->parts & ~(unsigned)MLIMG_UNDO_MARKERS;
	mlimg_change_slot(n, MLIMG_UNDO_MAIN, slot);
	return mlimg_change_has(s->c->taken_fd, slot);
}

/* @marks: gets the steps that have changed one */
static int note_steps(struct since *s, struct mlimg_path_map *marks)
{
	struct mlimg_undo_record record;
	int r = 0;

	for (size_t n = 0; n < s->log->n_records && r >= 0; n++) {
		r = mlimg_undo_log_get(s->log, n, &record, s->err);
		if (r < 0)
			return r;
		if (strchr("uc", record.op) &&
			mlimg_path_map_set(marks, record.path, (size_t)record.op) < 0)
			return since_no_memory(s);
		r = is_gone(s, n, &record);
		if (r < 0)
			return mlimg_err_set(s->err, r, "look at what was '/%s'", record.path);
		if (r > 0 && mlimg_path_map_set(&s->gone, record.path, n) < 0)
			return since_no_memory(s);
	}
	return r < 0 ? r : 0;
}

/* @return 1 when the change may have left the directory opaque, 0, -errno */
static int may_have_been_opaque(
	struct since *s, const struct mlimg_path_map *marks, const struct mlimg_entry *e)
{
	struct mlimg_undo_record record;
	size_t at;
	int r;

	if (mlimg_path_map_get(marks, e->path, &at))
		return at == 'c';
	if (!mlimg_path_map_get(&s->put, e->path, &at))
		return mlimg_upper_list_has(&s->had, e->path) &&
			!mlimg_path_map_covers(&s->gone, e->path) &&
			mlimg_upper_list_may_be_opaque(&s->had, e->path);
	r = mlimg_undo_log_get(s->log, at, &record, s->err);
	return r < 0 ? r : mlimg_entry_is_opaque(&record.entry);
}

int since_note_renewed(struct since *s)
{
	struct mlimg_path_map marks = {0};
	int r = read_list(s);

	if (r == 0)
		r = note_steps(s, &marks);
	for (size_t i = 0; i < s->upper->n_entries && r == 0 && s->knows_had; i++) {
		const struct mlimg_entry *e = &s->upper->entries[i];

		if (e->type != MLIMG_DIR || !*e->path || !mlimg_entry_is_opaque(e))
			continue;
		r = may_have_been_opaque(s, &marks, e);
		if (r == 0 && mlimg_path_map_set(&s->renewed, e->path, 0) < 0)
			r = since_no_memory(s);
		r = r > 0 ? 0 : r;
	}
	mlimg_path_map_done(&marks);
	return r;
}

bool since_is_removed(const struct since *s, const char *path)
{
	char dir[MLIMG_PATH_MAX + 1];
	size_t at;

	snprintf(dir, sizeof(dir), "%.*s", (int)mlimg_path_dir_size(path), path);
	/* What makes way is for the former thing to return; databases are as they were merged. */
	return mlimg_path_map_covers(&s->renewed, dir) &&
		!mlimg_path_map_get(&s->first_done, path, &at) &&
		!mlimg_reconcile_is_database(path) &&
		!(s->has_packages &&
			mlimg_packages_verdict_of(&s->packages, path) == MLIMG_FILES_NEXT);
}

int since_note_removed(struct since *s)
{
	struct mlimg_undo_record record;
	int r = 0;

	for (size_t n = 0; n < s->log->n_records && r == 0; n++) {
		struct mlimg_undo_record stays = {.op = 'c'};
		char slot[MLIMG_CHANGE_SLOT_SIZE];

		r = mlimg_undo_log_get(s->log, n, &record, s->err);
		if (r < 0)
			return r;
		if (!strchr("oae", record.op) || !since_is_removed(s, record.path))
			continue;
		stays.path = record.path;
		mlimg_change_extra_add(&s->stays, &stays);
		mlimg_change_slot(n, MLIMG_UNDO_MAIN, slot);
		r = record.op == 'o' ? mlimg_change_is_kept(s->c, slot) : 0;
		if (r > 0)
			r = mlimg_change_make_way(s->c->aside_fd, record.path, 0755);
		if (r < 0 && r != -ENOENT)
			return mlimg_err_set(
				s->err, r, "make the way to 'aside' of '/%s'", record.path);
		r = 0;
	}
	return r;
}
