/* SPDX-License-Identifier: MIT */
/* What is put where the upper has nothing, of all that may be (reconcile-extra-find.c). */
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/path.h"
#include "libmlimg/reconcile-impl.h"

/*
 * The deepest directory of the upper on the way to @path, itself included unless it is to be
 * covered.
 */
static int mark(struct planning *p, const char *path, bool is_cover)
{
	mlimg_autofree char *dir = strdup(path);
	char *slash;

	if (!dir)
		return no_memory(p, path);
	if (is_cover)
		dir[mlimg_path_dir_size(dir)] = '\0';
	for (;;) {
		const struct mlimg_entry *e = mlimg_manifest_find(p->upper, dir);

		if (e && e->type == MLIMG_DIR) {
			p->fates[e - p->upper->entries] |= FATE_NEEDED;
			return 0;
		}
		slash = strrchr(dir, '/');
		if (!slash)
			return 0;
		*slash = '\0';
	}
}

int plan_extras_mark(struct planning *p)
{
	struct extras extras = {.all = NULL};
	int r = plan_extras_find(p, &extras);

	for (size_t i = 0; i < extras.n && r == 0; i++)
		r = mark(p, extras.all[i].path, extras.all[i].is_cover);
	for (size_t i = 0; i < p->n_unread && r == 0; i++)
		r = mark(p, p->unread[i], false);
	free(extras.all);
	return r;
}

/* Whether something put at a path of the upper would show there. */
enum shown { SHOWS, HIDDEN, THERE };

static enum shown shown_at(const struct planning *p, const char *path, bool is_whole)
{
	const struct mlimg_entry *e = mlimg_manifest_find(p->upper, path);
	uint8_t fate;

	if (!e)
		return !plan_is_lacked(p, path) ? SHOWS : is_whole ? THERE : HIDDEN;
	fate = p->fates[e - p->upper->entries];
	if (fate & FATE_GONE)
		return SHOWS;
	if (is_whole)
		return THERE;
	return e->type == MLIMG_DIR && !(fate & FATE_CLOSED) ? SHOWS : HIDDEN;
}

/*
 * A directory of the new stack, or one of the old one alone, which a configuration file may be in.
 */
static bool is_dir_of_stack(const struct planning *p, const char *path)
{
	const struct mlimg_entry *e = mlimg_manifest_find(p->in->next, path);

	if (!e)
		e = mlimg_manifest_find(p->in->base, path);
	return e && e->type == MLIMG_DIR;
}

/* @return whether the upper has a directory at @path, and keeps it */
static bool has_dir(const struct planning *p, const char *path)
{
	const struct mlimg_entry *e = mlimg_manifest_find(p->upper, path);

	return e && e->type == MLIMG_DIR && !(p->fates[e - p->upper->entries] & FATE_GONE);
}

/* The directory of the new stack that shows at @path, which is above @extra's. */
static const char *lower_at(
	const struct extra *extra, const char *path, char buf[MLIMG_PATH_MAX + 1])
{
	size_t size = strlen(extra->lower) - (strlen(extra->path) - strlen(path));

	if (!extra->renamed)
		return path;
	memcpy(buf, extra->lower, size);
	buf[size] = '\0';
	return buf;
}

/*
 * Directories of the upper that it has and keeps. A stranger can have thousands of things to be put
 * in places as deep as a path allows: what the last one has found on its way the next one knows.
 */
struct way {
	const char *path;
	size_t size; /* bytes of it */
};

static size_t common_size(const char *a, const char *b)
{
	size_t size = 0;

	while (a[size] && a[size] == b[size])
		size++;
	return size;
}

/*
 * @return whether @extra is to be put: all directories on its way show what the new stack has, or
 * can be made. @path: its own, to write in
 */
static bool is_wanted(
	const struct planning *p, const struct extra *extra, char *path, struct way *way)
{
	size_t known = way->path ? common_size(way->path, path) : 0;
	char lower[MLIMG_PATH_MAX + 1];

	for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		size_t size = (size_t)(slash - path);
		bool shows;

		/* Both have a slash there. */
		if (size < known && size <= way->size && size <= extra->renamed)
			continue;
		*slash = '\0';
		if (size <= extra->renamed)
			shows = has_dir(p, path);
		else
			shows = shown_at(p, path, false) == SHOWS &&
				(has_dir(p, path) ||
					is_dir_of_stack(p, lower_at(extra, path, lower)));
		*slash = '/';
		if (!shows)
			return false;
		if (size <= extra->renamed)
			*way = (struct way){extra->path, size};
	}
	return shown_at(p, path, true) == SHOWS;
}

/* The directory at @path, unless the upper has it, or it was made for what came @before. */
static int make_dir(
	struct planning *p, const struct extra *extra, const char *path, const char *before)
{
	char buf[MLIMG_PATH_MAX + 1];
	struct mlimg_entry mapped, made;
	const struct mlimg_entry *next;
	const char *lower;

	if (has_dir(p, path) || (before && mlimg_path_is_within(before, path)))
		return 0;
	lower = lower_at(extra, path, buf);
	next = plan_next_at(p, lower, &mapped);
	if (!next)
		next = plan_base_at(p, lower, &mapped);
	if (p->has_failed)
		return no_memory(p, path);
	made = *next;
	made.path = (char *)(uintptr_t)path;
	return plan_put_op(p, MLIMG_PLAN_MAKE_DIR, path, &made, 0);
}

/* A directory that was renamed is there. */
static int make_way(struct planning *p, const struct extra *extra, char *path, const char *before)
{
	size_t there = extra->renamed ? extra->renamed + 1 : 0;
	int r = 0;

	for (char *slash = strchr(path + there, '/'); slash && r == 0;
		slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		r = make_dir(p, extra, path, before);
		*slash = '/';
	}
	return r;
}

static int put_extra(struct planning *p, const struct extra *extra, const char *before)
{
	/* As old as the stack. */
	struct mlimg_entry buf,
		plain = {.type = MLIMG_FILE,
			.mode = 0644,
			.nlink = 1,
			.mtime_s = p->in->next->entries[0].mtime_s,
			.mtime_ns = p->in->next->entries[0].mtime_ns};
	const struct mlimg_entry *next = plan_next_at(p, extra->lower, &buf);

	/* A configuration file of the old stack's keeps its mode, which may be that of a secret. */
	if (extra->text && !next)
		next = plan_base_at(p, extra->path, &buf);
	if (p->has_failed)
		return no_memory(p, extra->path);
	p->report->hidden += extra->is_hidden && !extra->is_cover && !extra->link;
	if (extra->is_hidden)
		return plan_put_op(p, MLIMG_PLAN_HIDE, extra->path, NULL, 0);
	if (extra->text)
		return plan_put_text(
			p, extra->path, next ? next : &plain, extra->text->data, extra->text->size);
	if (extra->link) {
		plain.path = (char *)(uintptr_t)extra->path;
		plain.type = MLIMG_LINK;
		plain.mode = 0777;
		plain.link = (char *)(uintptr_t)extra->link->target;
		return plan_put_op(p, MLIMG_PLAN_TAKE_NEXT, extra->path, &plain, 0);
	}
	if (next->type == MLIMG_DIR)
		return make_dir(p, extra, extra->path, before);
	return plan_put_op(p, MLIMG_PLAN_TAKE_NEXT, extra->path, next, 0);
}

static bool is_dir(const struct planning *p, const struct extra *extra)
{
	return plan_extra_is_moved(extra) &&
		mlimg_manifest_find(p->in->next, extra->lower)->type == MLIMG_DIR;
}

/* One thing at each path, and nothing below what is no directory. */
int plan_extras(struct planning *p)
{
	struct extras extras = {.all = NULL};
	const char *before = NULL, *closed = NULL;
	struct way way = {.path = NULL};
	int r = plan_extras_find(p, &extras);

	for (size_t i = 0; i < extras.n && r == 0; i++) {
		mlimg_autofree char *path = strdup(extras.all[i].path);

		if (!path) {
			r = no_memory(p, extras.all[i].path);
			break;
		}
		if (plan_is_again(path, before) || (closed && mlimg_path_is_below(path, closed)) ||
			!is_wanted(p, &extras.all[i], path, &way))
			continue;
		r = make_way(p, &extras.all[i], path, before);
		if (r == 0)
			r = put_extra(p, &extras.all[i], before);
		before = extras.all[i].path;
		closed = is_dir(p, &extras.all[i]) ? closed : before;
	}
	free(extras.all);
	return r;
}
