/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "libmlimg/path.h"
#include "libmlimg/queue-plan-impl.h"
#include "libmlimg/upper-view.h"
#include "libmlimg/whiteout.h"

/* --- renamed directories --- */

/*
 * Where the layers have what a name of the upper stands for: below directories that were renamed at
 * another place. @is_renamed: the last component is such a directory, and its former name is asked
 * for. @return false: nowhere
 */
static bool find_lower(const struct mlimg_manifest *upper, const char *path, bool is_renamed,
	char ret_lower[MLIMG_PATH_MAX + 1])
{
	char at[MLIMG_PATH_MAX + 1], own[MLIMG_PATH_MAX + 1];

	bool has_lower = true;

	ret_lower[0] = '\0';
	for (size_t end = 0, begin = 0; path[begin]; begin = end + (path[end] == '/')) {
		const struct mlimg_xattr *redirect = NULL;
		const struct mlimg_entry *e;

		end = begin + strcspn(path + begin, "/");
		if (strlen(ret_lower) + 1 + end - begin > MLIMG_PATH_MAX)
			return false;
		mlimg_path_join(own, ret_lower, path + begin, end - begin);
		memcpy(at, path, end);
		at[end] = '\0';
		e = path[end] || is_renamed ? mlimg_manifest_find(upper, at) : NULL;
		if (e && mlimg_entry_is_opaque(e))
			has_lower = false;
		else if (e)
			redirect = mlimg_entry_xattr(e, MLIMG_XATTR_REDIRECT);
		/* One that begins with a '/' leads out of an opaque directory, too. */
		if (redirect)
			has_lower =
				mlimg_redirect_follow(redirect, has_lower ? own : NULL, ret_lower);
		else
			strcpy(ret_lower, own);
	}
	return has_lower;
}

/* The whiteout that hides @lower goes. @return 1, 0 when there is none, -errno */
static int show_again(struct queue_planning *p, const char *lower)
{
	const char *name = mlimg_path_name(lower);
	char hidden[MLIMG_PATH_MAX + 1];
	int r = 0, n = 0;

	for (size_t i = 0; i < p->upper->n_entries && r == 0; i++) {
		const struct mlimg_entry *e = &p->upper->entries[i];

		if (!mlimg_entry_is_whiteout(e) || strcmp(mlimg_path_name(e->path), name) != 0 ||
			!find_lower(p->upper, e->path, false, hidden) || strcmp(hidden, lower) != 0)
			continue;
		r = mlimg_plan_add(p->plan, MLIMG_PLAN_DROP, e->path, NULL, 0, p->err);
		n = 1;
	}
	return r < 0 ? r : n;
}

int queue_find_renamed(struct queue_planning *p)
{
	char lower[MLIMG_PATH_MAX + 1];

	for (size_t i = 0; i < p->upper->n_entries; i++) {
		const struct mlimg_entry *e = &p->upper->entries[i];
		struct queue_renamed *renamed;

		if (e->type != MLIMG_DIR || !mlimg_entry_xattr(e, MLIMG_XATTR_REDIRECT) ||
			!find_lower(p->upper, e->path, true, lower))
			continue;
		if (mlimg_buffer_reserve(&p->renamed, &p->renamed_room,
			    (p->n_renamed + 1) * sizeof(*renamed)) < 0)
			return mlimg_err_set(p->err, ENOMEM, "plan what is queued");
		renamed = &p->renamed[p->n_renamed++];
		renamed->path = e->path;
		renamed->lower = mlimg_arena_strndup(p->upper->arena, lower, strlen(lower));
		if (!renamed->lower)
			return mlimg_err_set(p->err, ENOMEM, "plan what is queued");
	}
	return 0;
}

static bool is_reset(const struct mlimg_queue_op *op)
{
	return op->verb == MLIMG_QUEUE_RESET || op->verb == MLIMG_QUEUE_RESET_ALL;
}

/* As `mlimg reset` asks for --force (user-undo.c). */
bool queue_has_records_below(const struct queue_planning *p, const char *path)
{
	const struct mlimg_manifest *upper = p->upper;

	for (size_t i = mlimg_manifest_first_from(upper, path);
		i < upper->n_entries && mlimg_path_is_within(upper->entries[i].path, path); i++) {
		const struct mlimg_entry *e = &upper->entries[i];

		if (e->type != MLIMG_DIR && strcmp(e->path, path) != 0 &&
			mlimg_path_class_has_records(mlimg_path_class_of(p->classes, e->path)))
			return true;
	}
	return false;
}

/* @return whether it was asked for when it had no records, and has some now */
bool queue_is_unasked(const struct queue_planning *p, const struct mlimg_queue_op *op)
{
	return op->verb == MLIMG_QUEUE_RESET && queue_has_records_below(p, op->path);
}

/* @return whether something that is reset is the thing, or holds it */
static bool is_going(const struct queue_planning *p, const char *path)
{
	for (size_t i = 0; i < p->queue->n; i++)
		if (is_reset(&p->queue->ops[i]) && !p->is_refused[i] &&
			mlimg_path_is_within(path, p->queue->ops[i].path))
			return true;
	return false;
}

/*
 * @return whether a directory that was renamed shows something at or below @lower. Would the layers
 * show it there as well, overlayfs had one inode for two directories, and calls one of them a stale
 * handle (the kernel's fs/overlayfs/inode.c, ovl_get_inode())
 */
static bool is_elsewhere(const struct queue_planning *p, const char *lower)
{
	for (size_t i = 0; i < p->n_renamed; i++)
		if (mlimg_path_is_within(p->renamed[i].lower, lower) &&
			!is_going(p, p->renamed[i].path))
			return true;
	return false;
}

static bool shows_twice(const struct queue_planning *p, const struct mlimg_queue_op *op)
{
	char lower[MLIMG_PATH_MAX + 1];

	if (p->n_renamed == 0)
		return false;
	if (find_lower(p->upper, op->path, false, lower) && is_elsewhere(p, lower))
		return true;
	for (size_t i = 0; i < p->n_renamed && is_reset(op); i++)
		if (mlimg_path_is_within(p->renamed[i].path, op->path) &&
			is_elsewhere(p, p->renamed[i].lower))
			return true;
	return false;
}

/* What stays because of one that is refused may be the reason for another. */
void queue_refuse(struct queue_planning *p)
{
	bool is_done;

	for (size_t i = 0; i < p->queue->n; i++)
		p->is_refused[i] = queue_is_unasked(p, &p->queue->ops[i]);
	do {
		is_done = true;
		for (size_t i = 0; i < p->queue->n; i++)
			if (!p->is_refused[i] && shows_twice(p, &p->queue->ops[i]))
				is_done = !(p->is_refused[i] = true);
	} while (!is_done);
}

/*
 * Of the directory, and of those in it that were renamed, the former names show again. Otherwise
 * nothing would show what the layers have there.
 */
int queue_return_names(struct queue_planning *p, const char *path, const char **ret_why)
{
	for (size_t i = 0; i < p->n_renamed; i++) {
		const struct queue_renamed *renamed = &p->renamed[i];
		int r;

		if (!mlimg_path_is_within(renamed->path, path))
			continue;
		r = show_again(p, renamed->lower);
		if (r < 0)
			return r;
		if (r > 0)
			*ret_why = "a directory shows at its former name again";
		else if (!is_going(p, renamed->lower))
			*ret_why = "a directory was renamed, and its former name is in use";
	}
	return 0;
}
