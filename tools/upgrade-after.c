/* SPDX-License-Identifier: MIT */
#include "tools/upgrade-after.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/path.h"
#include "libmlimg/upper-view.h"
#include "libmlimg/whiteout.h"

static int add(struct mlimg_upgrade_after *a, const struct mlimg_upgrade_thing *thing,
	struct mlimg_err *err)
{
	if (mlimg_buffer_reserve(&a->things, &a->room, (a->n + 1) * sizeof(*a->things)) < 0)
		return mlimg_err_set(err, ENOMEM, "look at what the change leaves");
	a->things[a->n] = *thing;
	a->things[a->n].was = a->n;
	a->n++;
	return 0;
}

static int add_upper(
	struct mlimg_upgrade_after *a, const struct mlimg_manifest *upper, struct mlimg_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < upper->n_entries; i++) {
		const struct mlimg_entry *e = &upper->entries[i];
		bool is_dir = e->type == MLIMG_DIR;

		r = add(a,
			&(struct mlimg_upgrade_thing){.path = e->path,
				.type = e->type,
				.redirect =
					is_dir ? mlimg_entry_xattr(e, MLIMG_XATTR_REDIRECT) : NULL,
				.is_opaque = is_dir && mlimg_entry_is_opaque(e)},
			err);
	}
	return r;
}

/* The first of the upper's own that is not before the path. */
static size_t first_from(const struct mlimg_upgrade_after *a, size_t n, const char *path)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (mlimg_manifest_path_cmp(a->things[middle].path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int do_op(struct mlimg_upgrade_after *a, size_t n_upper, const struct mlimg_plan_op *op,
	struct mlimg_err *err)
{
	size_t at = first_from(a, n_upper, op->path);
	bool is_there =
		at < n_upper && strcmp(a->things[at].path, op->path) == 0 && !a->things[at].is_gone;
	struct mlimg_upgrade_thing made = {.path = op->path, .type = MLIMG_FILE};

	switch (op->verb) {
	case MLIMG_PLAN_DROP:
	case MLIMG_PLAN_SET_ASIDE:
		for (; at < n_upper && mlimg_path_is_within(a->things[at].path, op->path); at++)
			a->things[at].is_gone = true;
		return 0;
	case MLIMG_PLAN_JOIN:
	case MLIMG_PLAN_CLOSE:
		if (is_there)
			a->things[at].is_opaque = op->verb == MLIMG_PLAN_CLOSE;
		return 0;
	case MLIMG_PLAN_HIDE: made.type = MLIMG_CHAR; break;
	case MLIMG_PLAN_PUT:
	case MLIMG_PLAN_PUT_BESIDE: break;
	case MLIMG_PLAN_TAKE_NEXT: made.type = op->entry->type; break;
	case MLIMG_PLAN_MAKE_DIR:
		made.type = MLIMG_DIR;
		if (is_there)
			return 0;
		break;
	default: return 0;
	}
	if (is_there)
		a->things[at].is_gone = true;
	return add(a, &made, err);
}

/* Of two at one path the later one is there. */
static int by_path(const void *a, const void *b)
{
	const struct mlimg_upgrade_thing *x = a, *y = b;
	int order = mlimg_manifest_path_cmp(x->path, y->path);

	return order ? order : (x->was > y->was) - (x->was < y->was);
}

static void leave_out_gone(struct mlimg_upgrade_after *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n; i++)
		if (!a->things[i].is_gone)
			a->things[n++] = a->things[i];
	a->n = n;
}

/* A directory goes when nothing is left in it: those in it come before. */
static void drop_dirs(struct mlimg_upgrade_after *a, const struct mlimg_plan *plan)
{
	for (size_t i = 0; i < plan->n_ops; i++) {
		const char *path = plan->ops[i].path;
		size_t at = first_from(a, a->n, path), next = at + 1;

		if (plan->ops[i].verb != MLIMG_PLAN_DROP_DIR || at == a->n ||
			strcmp(a->things[at].path, path) != 0)
			continue;
		while (next < a->n && a->things[next].is_gone)
			next++;
		a->things[at].is_gone =
			next == a->n || !mlimg_path_is_below(a->things[next].path, path);
	}
}

int mlimg_upgrade_after_make(const struct mlimg_manifest *upper, const struct mlimg_plan *plan,
	struct mlimg_upgrade_after *ret, struct mlimg_err *err)
{
	int r = add_upper(ret, upper, err);

	for (size_t i = 0; r == 0 && i < plan->n_ops; i++)
		r = do_op(ret, upper->n_entries, &plan->ops[i], err);
	if (r < 0 || ret->n == 0)
		return r;
	leave_out_gone(ret);
	qsort(ret->things, ret->n, sizeof(*ret->things), by_path);
	drop_dirs(ret, plan);
	leave_out_gone(ret);
	return 0;
}

const struct mlimg_upgrade_thing *mlimg_upgrade_after_find(
	const struct mlimg_upgrade_after *after, const char *path)
{
	size_t at = first_from(after, after->n, path);

	return at < after->n && !after->things[at].is_gone &&
			strcmp(after->things[at].path, path) == 0
		? &after->things[at]
		: NULL;
}

void mlimg_upgrade_after_remove(struct mlimg_upgrade_after *after, const char *path)
{
	for (size_t at = first_from(after, after->n, path);
		at < after->n && mlimg_path_is_within(after->things[at].path, path); at++)
		after->things[at].is_gone = true;
}

bool mlimg_upgrade_after_origin(const struct mlimg_upgrade_after *after, const char *path,
	bool heeds_opaque, char ret_from[MLIMG_PATH_MAX + 1])
{
	char at[MLIMG_PATH_MAX + 1], own[MLIMG_PATH_MAX + 1];
	bool has_from = true;

	*ret_from = '\0';
	for (size_t begin = 0, end; path[begin]; begin = end + (path[end] == '/')) {
		const struct mlimg_xattr *redirect = NULL;
		const struct mlimg_upgrade_thing *dir;

		end = begin + strcspn(path + begin, "/");
		if (strlen(ret_from) + 1 + end - begin > MLIMG_PATH_MAX)
			return false;
		mlimg_path_join(own, ret_from, path + begin, end - begin);
		snprintf(at, sizeof(at), "%.*s", (int)end, path);
		dir = mlimg_upgrade_after_find(after, at);
		if (dir && dir->is_opaque && heeds_opaque)
			has_from = false;
		else if (dir)
			redirect = dir->redirect;
		/* One that begins with a '/' leads out of an opaque directory, too. */
		if (redirect)
			has_from = mlimg_redirect_follow(redirect, has_from ? own : NULL, ret_from);
		else
			strcpy(ret_from, own);
	}
	return has_from;
}

void mlimg_upgrade_after_done(struct mlimg_upgrade_after *after)
{
	free(after->things);
	*after = (struct mlimg_upgrade_after){.n = 0};
}
