/* SPDX-License-Identifier: MIT */
/*
 * The upper as it is when the steps are taken back, as far as owners of the former stack's things
 * need it: what shows then, and where.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/change-since-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/walk.h"
#include "libmlimg/whiteout.h"

struct after {
	struct since *s;
	struct mlimg_manifest *m;
	struct mlimg_path_map there;  /* what is in it */
	struct mlimg_path_map marked; /* directories whose mark is set back: 'u' or 'c' */
	const char *path;             /* of what was set aside */
};

static int add(struct after *a, const struct mlimg_entry *entry)
{
	struct mlimg_entry *e;
	size_t at;

	if (mlimg_path_map_get(&a->there, entry->path, &at))
		return 0;
	e = mlimg_manifest_add(a->m, entry);
	if (!e || mlimg_path_map_set(&a->there, entry->path, 0) < 0)
		return since_no_memory(a->s);
	if (e->type != MLIMG_DIR || !mlimg_path_map_get(&a->marked, e->path, &at))
		return 0;
	if (at == 'u')
		return mlimg_entry_mark(a->m->arena, e, MLIMG_XATTR_OPAQUE, "y") < 0
			? since_no_memory(a->s)
			: 0;
	for (uint32_t i = 0, n = e->n_xattrs; i < n; i++)
		if (strcmp(e->xattrs[i].name, MLIMG_XATTR_OPAQUE) == 0) {
			memmove(&e->xattrs[i], &e->xattrs[i + 1], (n - i - 1) * sizeof(*e->xattrs));
			e->n_xattrs--;
			break;
		}
	return 0;
}

static int note_marks(struct after *a)
{
	struct mlimg_undo_record record;
	int r = 0;

	for (size_t n = 0; n < a->s->log->n_records && r == 0; n++) {
		r = mlimg_undo_log_get(a->s->log, n, &record, a->s->err);
		if (r == 0 && strchr("uc", record.op) &&
			mlimg_path_map_set(&a->marked, record.path, (size_t)record.op) < 0)
			r = since_no_memory(a->s);
	}
	return r;
}

/* What stays. What has others in its place in the end is there, too. */
static int add_present(struct after *a)
{
	struct since *s = a->s;
	int r = 0;

	for (size_t i = 0; i < s->upper->n_entries && r == 0; i++) {
		const struct mlimg_entry *e = &s->upper->entries[i];
		size_t at;
		bool is_put = mlimg_path_map_get(&s->put, e->path, &at),
		     goes = mlimg_path_map_get(&s->first_done, e->path, &at) ||
			(is_put && since_is_set_back(s, e));

		if (!goes || mlimg_path_map_get(&s->adapted, e->path, &at))
			r = add(a, e);
	}
	return r;
}

static int add_below(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	struct after *a = ctx;
	char path[MLIMG_PATH_MAX + 1];
	struct mlimg_entry e = *entry;

	if (strlen(a->path) + 1 + strlen(entry->path) > MLIMG_PATH_MAX)
		return 0;
	e.path = (char *)(uintptr_t)a->path;
	if (*entry->path) {
		mlimg_path_join(path, a->path, entry->path, strlen(entry->path));
		e.path = path;
	}
	return add(a, &e);
}

static void pass_over(const char *path, int error, bool was_visited, void *ctx)
{
}

static int add_at(struct after *a, int dirfd, const char *name)
{
	struct mlimg_entry e;
	int r = mlimg_entry_at_read(&a->s->c->reader, dirfd, name, a->path, false, &e);

	if (r == -ENOENT)
		return 0;
	return r < 0 ? mlimg_err_set(a->s->err, r, "look at what was '/%s'", a->path) : add(a, &e);
}

/* With all that is below. */
static int add_aside(struct after *a)
{
	const char *name;
	mlimg_autoclose int dir = mlimg_open_parent_strict(
				    a->s->aside_fd, a->path, O_RDONLY, &name),
			    fd = dir < 0
		? dir
		: openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (mlimg_change_is_nowhere(dir))
		return 0;
	if (dir < 0)
		return mlimg_err_set(a->s->err, dir, "look at what was '/%s'", a->path);
	return fd < 0 ? add_at(a, dir, name)
		      : mlimg_walk_lenient(fd, 0, add_below, pass_over, a, a->s->err);
}

static int add_taken(struct after *a, size_t n)
{
	struct since *s = a->s;
	char path[MLIMG_PATH_MAX + 1], slot[MLIMG_CHANGE_SLOT_SIZE];
	struct mlimg_undo_record record;
	bool is_aside, is_marker;
	int r = mlimg_undo_log_get(s->log, n, &record, s->err);

	if (r < 0 || !strchr("oae", record.op))
		return r;
	is_aside = record.op == 'a';
	is_marker = !(record.parts & MLIMG_UNDO_MAIN);
	if (is_marker && !(record.parts & MLIMG_UNDO_MARKER))
		return 0;
	snprintf(path, sizeof(path), "%s", record.path); /* which the next record takes away */
	r = since_has_place(s, path);
	if (r <= 0)
		return r;
	a->path = path;
	if (is_marker)
		return add(a, &(struct mlimg_entry){.path = path, .type = MLIMG_CHAR, .nlink = 1});
	mlimg_change_slot(n, MLIMG_UNDO_MAIN, slot);
	return is_aside ? add_aside(a) : add_at(a, s->c->taken_fd, slot);
}

static int by_path(const void *a, const void *b)
{
	return mlimg_manifest_path_cmp(
		((const struct mlimg_entry *)a)->path, ((const struct mlimg_entry *)b)->path);
}

int since_after(struct since *s, struct mlimg_manifest **ret)
{
	struct after a = {.s = s, .m = mlimg_manifest_new()};
	int r = a.m ? note_marks(&a) : since_no_memory(s);

	if (r == 0)
		r = add_present(&a);
	for (size_t n = 0; n < s->log->n_records && r == 0; n++)
		r = add_taken(&a, n);
	mlimg_path_map_done(&a.there);
	mlimg_path_map_done(&a.marked);
	if (r < 0) {
		mlimg_manifest_free(a.m);
		return r;
	}
	if (a.m->n_entries)
		qsort(a.m->entries, a.m->n_entries, sizeof(*a.m->entries), by_path);
	*ret = a.m;
	return 0;
}
