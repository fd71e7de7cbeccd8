/* SPDX-License-Identifier: MIT */
#include "libmlimg/queue-plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/path.h"
#include "libmlimg/queue-plan-impl.h"
#include "libmlimg/reconcile-plan.h"
#include "libmlimg/whiteout.h"

static int look(struct queue_planning *p, const char *path, struct mlimg_queue_found *ret)
{
	const struct mlimg_entry *e;

	*ret = (struct mlimg_queue_found){.has_any = false};
	if (p->input->look)
		return p->input->look(path, p->input->look_ctx, ret, p->err);
	e = mlimg_manifest_find(p->upper, path);
	if (!e)
		return 0;
	ret->has_any = true;
	ret->is_whiteout = mlimg_entry_is_whiteout(e);
	ret->has_main = !ret->is_whiteout || !p->input->is_unionfs;
	ret->is_dir = e->type == MLIMG_DIR;
	ret->is_opaque = ret->is_dir && mlimg_entry_is_opaque(e);
	return 0;
}

static void tell(struct queue_planning *p, const char *path, enum mlimg_done done, const char *why)
{
	const struct mlimg_report_entry entry = {.path = path,
		.verdict = MLIMG_KEEP,
		.class = mlimg_path_class_of(p->classes, path),
		.done = done,
		.aside = p->input->aside,
		.is_asked = true,
		.why = why};

	mlimg_report_add_entry(p->report, &entry);
}

static int add(struct queue_planning *p, enum mlimg_plan_verb verb, const char *path)
{
	return mlimg_plan_add(p->plan, verb, path, NULL, 0, p->err);
}

/* --- operations --- */

static int reset(struct queue_planning *p, const char *path, const struct mlimg_queue_found *found)
{
	const char *why = NULL;
	int r = 0;

	if (!found->has_any) {
		tell(p, path, MLIMG_DONE_NOTHING, "the user layer has nothing there");
		return 0;
	}
	p->gone = path;
	p->is_gone_aside = found->has_main && !found->is_whiteout;
	if (!p->is_gone_aside) {
		tell(p, path, MLIMG_DONE_DROPPED, "what was deleted shows again");
		return add(p, MLIMG_PLAN_DROP, path);
	}
	p->sets_aside = true;
	r = add(p, MLIMG_PLAN_SET_ASIDE, path);
	if (r == 0)
		r = queue_return_names(p, path, &why);
	if (r == 0 && (mlimg_reconcile_is_database(path) || queue_has_records_below(p, path)))
		why = "records of your own are in it";
	if (r == 0)
		tell(p, path, MLIMG_DONE_ASIDE, why);
	return r;
}

static int restore(
	struct queue_planning *p, const char *path, const struct mlimg_queue_found *found)
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

static int make_transparent(
	struct queue_planning *p, const char *path, const struct mlimg_queue_found *found)
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
static void tell_gone(
	struct queue_planning *p, const char *path, const struct mlimg_queue_found *found)
{
	static const char why[] = "together with a directory above it";

	if (!found->has_any)
		tell(p, path, MLIMG_DONE_NOTHING, "the user layer has nothing there");
	else if (p->is_gone_aside && found->has_main)
		tell(p, path, MLIMG_DONE_ASIDE, why);
	else
		tell(p, path, MLIMG_DONE_DROPPED, why);
}

static int plan_op(struct queue_planning *p, size_t i)
{
	const struct mlimg_queue_op *op = &p->queue->ops[i];
	struct mlimg_queue_found found;
	int r = look(p, op->path, &found);

	if (r < 0)
		return r;
	if (p->gone && mlimg_path_is_below(op->path, p->gone)) {
		tell_gone(p, op->path, &found);
		return 0;
	}
	if (p->is_refused[i] && found.has_any) {
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
	/* unionfs-fuse renames no directories. */
	int r = p->input->is_unionfs ? 0 : queue_find_renamed(p);

	if (r == 0)
		queue_refuse(p);
	for (size_t i = 0; i < p->queue->n && r == 0; i++)
		r = plan_op(p, i);
	return r;
}

int mlimg_queue_plan(const struct mlimg_queue_input *input, struct mlimg_plan *plan_,
	struct mlimg_report *report, struct mlimg_err *err)
{
	mlimg_autofree bool *is_refused = calloc(input->queue->n + 1, sizeof(*is_refused));
	struct queue_planning p = {.input = input,
		.queue = input->queue,
		.upper = input->upper,
		.plan = plan_,
		.report = report,
		.classes = mlimg_path_classes_new(),
		.is_refused = is_refused,
		.err = err};
	int r = p.classes && is_refused ? plan(&p)
					: mlimg_err_set(err, ENOMEM, "plan what is queued");

	mlimg_path_classes_free(p.classes);
	free(p.renamed);
	return r < 0 ? r : p.sets_aside;
}
