/* SPDX-License-Identifier: MIT */
#include "guest-agent/queue-plan.h"

#include <errno.h>

#include "guest-agent/file-flags.h"
#include "guest-agent/queue-plan-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/path.h"
#include "libmlimg/unionfs.h"
#include "libmlimg/upper-source.h"
#include "libmlimg/upper-view.h"
#include "libmlimg/whiteout.h"

/* What the upper has at a path. */
struct found {
	unsigned parts; /* enum mlimg_undo_part */
	bool is_whiteout, is_dir, is_opaque;
};

static int look(struct queue_planning *p, const char *path, struct found *ret)
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

static void tell(struct queue_planning *p, const char *path, enum mlimg_done done, const char *why)
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

static int add(struct queue_planning *p, enum mlimg_plan_verb verb, const char *path)
{
	return mlimg_plan_add(p->plan, verb, path, NULL, 0, p->err);
}

/* --- the upper --- */

/* What cannot be read nobody has renamed a directory in. */
static void pass_over(const char *path, int error, bool was_visited, void *ctx)
{
}

static int read_upper(struct queue_planning *p)
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

/* --- operations --- */

static int reset(struct queue_planning *p, const char *path, const struct found *found)
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
		r = queue_return_names(p, path, &why);
	if (r == 0 && (mlimg_change_is_database(path) || queue_has_records_below(p, path)))
		why = "records of your own are in it";
	if (r == 0)
		tell(p, path, MLIMG_DONE_ASIDE, why);
	return r;
}

static int restore(struct queue_planning *p, const char *path, const struct found *found)
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

static int make_transparent(struct queue_planning *p, const char *path, const struct found *found)
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
static void tell_gone(struct queue_planning *p, const char *path, const struct found *found)
{
	static const char why[] = "together with a directory above it";

	if (!found->parts)
		tell(p, path, MLIMG_DONE_NOTHING, "the user layer has nothing there");
	else if (p->is_gone_aside && found->parts & MLIMG_UNDO_MAIN)
		tell(p, path, MLIMG_DONE_ASIDE, why);
	else
		tell(p, path, MLIMG_DONE_DROPPED, why);
}

static int plan_op(struct queue_planning *p, size_t i)
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
			queue_is_unasked(p, op)
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

static int plan(struct queue_planning *p)
{
	int r = read_upper(p);

	/* unionfs-fuse renames no directories. */
	if (r == 0 && !p->c->is_unionfs)
		r = queue_find_renamed(p);
	if (r == 0)
		queue_refuse(p);
	for (size_t i = 0; i < p->queue->n && r == 0; i++)
		r = plan_op(p, i);
	return r;
}

int mlimg_queue_plan(struct mlimg_change *c, const struct mlimg_queue *queue, const char *aside,
	size_t memory_max, struct mlimg_plan *plan_, struct mlimg_report *report,
	struct mlimg_err *err)
{
	mlimg_autofree bool *is_refused = calloc(queue->n + 1, sizeof(*is_refused));
	struct queue_planning p = {.c = c,
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
