/* SPDX-License-Identifier: MIT */
#include "guest-agent/queue-plan.h"

#include <errno.h>
#include <string.h>

#include "guest-agent/file-flags.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/path.h"
#include "libmlimg/unionfs.h"
#include "libmlimg/upper-source.h"
#include "libmlimg/upper-view.h"
#include "libmlimg/whiteout.h"

/* A directory that was renamed. */
struct renamed {
	const char *path;
	const char *lower; /* its former name, as the layers have it */
};

struct planning {
	struct mlimg_change *c;
	const struct mlimg_queue *queue;
	const char *aside;
	size_t memory_max;
	struct mlimg_plan *plan;
	struct mlimg_report *report;
	struct mlimg_path_classes *classes;
	struct mlimg_manifest *upper;
	struct renamed *renamed;
	size_t n_renamed, renamed_room;
	bool *is_refused; /* for each operation of the queue */
	const char *gone; /* what went last, with all below; NULL: nothing did */
	bool is_gone_aside, sets_aside;
	struct mlimg_err *err;
};

/* What the upper has at a path. */
struct found {
	unsigned parts; /* enum mlimg_undo_part */
	bool is_whiteout, is_dir, is_opaque;
};

static int look(struct planning *p, const char *path, struct found *ret)
{
	struct mlimg_change_place at;
	struct mlimg_entry e;
	int r;

	*ret = (struct found){.parts = 0};
	if (p->c->is_unionfs && mlimg_unionfs_is_meta(path))
		return 0;
	r = mlimg_change_look(p->c, path);
	if (r == -ENAMETOOLONG) /* with what unionfs-fuse's marks add to it */
		return 0;
	if (r > 0) {
		ret->parts = (unsigned)r;
		ret->is_whiteout = r & MLIMG_UNDO_MARKER && !(r & MLIMG_UNDO_MAIN);
	}
	if (r > 0 && r & MLIMG_UNDO_MAIN) {
		r = mlimg_change_find(p->c, path, &at);
		if (r == 0)
			r = mlimg_entry_at_read(&p->c->reader, at.fd, at.name, path, false, &e);
		if (r == 0) {
			ret->is_dir = e.type == MLIMG_DIR;
			ret->is_whiteout = !p->c->is_unionfs && mlimg_entry_is_whiteout(&e);
			ret->is_opaque = ret->is_dir &&
				(p->c->is_unionfs ? (ret->parts & MLIMG_UNDO_MARKER) != 0
						  : mlimg_entry_is_opaque(&e));
		}
	}
	return r < 0 ? mlimg_err_set(p->err, r, "look at 'user/upper/%s'", path) : 0;
}

static void tell(struct planning *p, const char *path, enum mlimg_done done, const char *why)
{
	const struct mlimg_report_entry entry = {.path = path,
		.verdict = MLIMG_KEEP,
		.class = mlimg_path_class_of(p->classes, path),
		.done = done,
		.aside = p->aside,
		.is_asked = true,
		.why = why};

	mlimg_report_add_entry(p->report, &entry);
}

static int add(struct planning *p, enum mlimg_plan_verb verb, const char *path)
{
	return mlimg_plan_add(p->plan, verb, path, NULL, 0, p->err);
}

/* --- renamed directories --- */

/* What cannot be read nobody has renamed a directory in. */
static void pass_over(const char *path, int error, bool was_visited, void *ctx)
{
}

static int read_upper(struct planning *p)
{
	struct mlimg_upper_dir dir;
	size_t n;
	int r;

	mlimg_upper_dir_init(&dir, p->c->upper_fd, p->c->is_unionfs);
	if (p->memory_max)
		dir.memory_max = p->memory_max;
	r = dir.source.load(&dir.source, pass_over, NULL, &p->upper, p->err);
	return r < 0 ? r : mlimg_file_flags_lift(p->c->upper_fd, p->upper, &n, p->err);
}

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
static int show_again(struct planning *p, const char *lower)
{
	const char *name = mlimg_path_name(lower);
	char hidden[MLIMG_PATH_MAX + 1];
	int r = 0, n = 0;

	for (size_t i = 0; i < p->upper->n_entries && r == 0; i++) {
		const struct mlimg_entry *e = &p->upper->entries[i];

		if (!mlimg_entry_is_whiteout(e) || strcmp(mlimg_path_name(e->path), name) != 0 ||
			!find_lower(p->upper, e->path, false, hidden) || strcmp(hidden, lower) != 0)
			continue;
		r = add(p, MLIMG_PLAN_DROP, e->path);
		n = 1;
	}
	return r < 0 ? r : n;
}

static int find_renamed(struct planning *p)
{
	char lower[MLIMG_PATH_MAX + 1];

	for (size_t i = 0; i < p->upper->n_entries; i++) {
		const struct mlimg_entry *e = &p->upper->entries[i];
		struct renamed *renamed;

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
static bool has_records_below(const struct planning *p, const char *path)
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
static bool is_unasked(const struct planning *p, const struct mlimg_queue_op *op)
{
	return op->verb == MLIMG_QUEUE_RESET && has_records_below(p, op->path);
}

/* @return whether something that is reset is the thing, or holds it */
static bool is_going(const struct planning *p, const char *path)
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
static bool is_elsewhere(const struct planning *p, const char *lower)
{
	for (size_t i = 0; i < p->n_renamed; i++)
		if (mlimg_path_is_within(p->renamed[i].lower, lower) &&
			!is_going(p, p->renamed[i].path))
			return true;
	return false;
}

static bool shows_twice(const struct planning *p, const struct mlimg_queue_op *op)
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
static void refuse(struct planning *p)
{
	bool is_done;

	for (size_t i = 0; i < p->queue->n; i++)
		p->is_refused[i] = is_unasked(p, &p->queue->ops[i]);
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
static int return_names(struct planning *p, const char *path, const char **ret_why)
{
	for (size_t i = 0; i < p->n_renamed; i++) {
		const struct renamed *renamed = &p->renamed[i];
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

/* --- operations --- */

static int reset(struct planning *p, const char *path, const struct found *found)
{
	const char *why = NULL;
	int r = 0;

	if (!found->parts) {
		tell(p, path, MLIMG_DONE_NOTHING, "the user layer has nothing there");
		return 0;
	}
	p->gone = path;
	p->is_gone_aside = found->parts & MLIMG_UNDO_MAIN && !found->is_whiteout;
	if (!p->is_gone_aside) {
		tell(p, path, MLIMG_DONE_DROPPED, "what was deleted shows again");
		return add(p, MLIMG_PLAN_DROP, path);
	}
	p->sets_aside = true;
	r = add(p, MLIMG_PLAN_SET_ASIDE, path);
	if (r == 0)
		r = return_names(p, path, &why);
	if (r == 0 && (mlimg_change_is_database(path) || has_records_below(p, path)))
		why = "records of your own are in it";
	if (r == 0)
		tell(p, path, MLIMG_DONE_ASIDE, why);
	return r;
}

static int restore(struct planning *p, const char *path, const struct found *found)
{
	if (!found->is_whiteout) {
		tell(p, path, MLIMG_DONE_NOTHING, "it is not deleted");
		return 0;
	}
	p->gone = path;
	p->is_gone_aside = false;
	tell(p, path, MLIMG_DONE_DROPPED, "what was deleted shows again");
	return add(p, MLIMG_PLAN_DROP, path);
}

static int make_transparent(struct planning *p, const char *path, const struct found *found)
{
	if (!found->is_opaque) {
		tell(p, path, MLIMG_DONE_NOTHING,
			found->is_dir ? "the directory hides nothing" : "it is no directory");
		return 0;
	}
	tell(p, path, MLIMG_DONE_JOINED, NULL);
	return add(p, MLIMG_PLAN_JOIN, path);
}

/* What an operation before has taken away together with a directory. */
static void tell_gone(struct planning *p, const char *path, const struct found *found)
{
	static const char why[] = "together with a directory above it";

	if (!found->parts)
		tell(p, path, MLIMG_DONE_NOTHING, "the user layer has nothing there");
	else if (p->is_gone_aside && found->parts & MLIMG_UNDO_MAIN)
		tell(p, path, MLIMG_DONE_ASIDE, why);
	else
		tell(p, path, MLIMG_DONE_DROPPED, why);
}

static int plan_op(struct planning *p, size_t i)
{
	const struct mlimg_queue_op *op = &p->queue->ops[i];
	struct found found;
	int r = look(p, op->path, &found);

	if (r < 0)
		return r;
	if (p->gone && mlimg_path_is_below(op->path, p->gone)) {
		tell_gone(p, op->path, &found);
		return 0;
	}
	if (p->is_refused[i] && found.parts) {
		tell(p, op->path, MLIMG_DONE_NOTHING,
			is_unasked(p, op)
				? "records of accounts or packages of your own are in it: only "
				  "with "
				  "--force"
				: "a directory was renamed from there, and is at its new name");
		return 0;
	}
	switch (op->verb) {
	case MLIMG_QUEUE_RESET:
	case MLIMG_QUEUE_RESET_ALL: return reset(p, op->path, &found);
	case MLIMG_QUEUE_RESTORE: return restore(p, op->path, &found);
	default: return make_transparent(p, op->path, &found);
	}
}

static int plan(struct planning *p)
{
	int r = read_upper(p);

	/* unionfs-fuse renames no directories. */
	if (r == 0 && !p->c->is_unionfs)
		r = find_renamed(p);
	if (r == 0)
		refuse(p);
	for (size_t i = 0; i < p->queue->n && r == 0; i++)
		r = plan_op(p, i);
	return r;
}

int mlimg_queue_plan(struct mlimg_change *c, const struct mlimg_queue *queue, const char *aside,
	size_t memory_max, struct mlimg_plan *plan_, struct mlimg_report *report,
	struct mlimg_err *err)
{
	mlimg_autofree bool *is_refused = calloc(queue->n + 1, sizeof(*is_refused));
	struct planning p = {.c = c,
		.queue = queue,
		.aside = aside,
		.memory_max = memory_max,
		.plan = plan_,
		.report = report,
		.classes = mlimg_path_classes_new(),
		.is_refused = is_refused,
		.err = err};
	int r = p.classes && is_refused ? plan(&p)
					: mlimg_err_set(err, ENOMEM, "plan what is queued");

	mlimg_path_classes_free(p.classes);
	mlimg_manifest_free(p.upper);
	free(p.renamed);
	return r < 0 ? r : p.sets_aside;
}
