/* SPDX-License-Identifier: MIT */
/* The last change taken back, and a change or a rollback ended that was stopped. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/rebuild.h"
#include "guest-agent/reconcile-report.h"
#include "guest-agent/reconcile.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

/* --- the way back --- */

/* A rollback on its way. */
struct rolling {
	struct mlimg_report report;
	struct mlimg_path_classes *classes;
	int dir_fd;
	const struct mlimg_mounted
		*layers; /* of the stack that it leads to, where they are there */
	size_t n_layers;
	bool is_report_lost;
};

static void tell(const char *path, enum mlimg_change_told what, uint64_t generation, void *ctx)
{
	struct rolling *rolling = ctx;
	struct mlimg_report_entry entry = {.path = path,
		.verdict = MLIMG_CONFLICT,
		.class = mlimg_path_class_of(rolling->classes, path),
		.done = MLIMG_DONE_ASIDE,
		.generation = generation,
		.why = "written since"};

	if (what == MLIMG_CHANGE_MERGED) {
		entry.verdict = MLIMG_MERGED;
		entry.done = MLIMG_DONE_MERGED;
	} else if (what == MLIMG_CHANGE_DROPPED) {
		entry.verdict = MLIMG_STALE;
		entry.why = "made since";
		entry.done = MLIMG_DONE_DROPPED;
	}
	mlimg_report_add_entry(&rolling->report, &entry);
}

/* A report that cannot be written is no reason not to go back. */
static int report_rollback(struct mlimg_change_call *call, const struct mlimg_boot_state *from,
	const struct mlimg_boot_state *to, struct mlimg_err *err)
{
	struct rolling *rolling = call->ctx;
	const struct mlimg_reported about = {
		rolling->dir_fd, call->generation, true, &from->stack, &to->stack};

	rolling->is_report_lost = mlimg_reported_write(&about, &rolling->report, err) < 0;
	return 0;
}

static int make_ready(struct mlimg_change_call *call, int new_fd, struct mlimg_err *err)
{
	struct rolling *rolling = call->ctx;
	int r = mlimg_reported_keep_notes(rolling->dir_fd, &rolling->report.notes, err);

	return r < 0 ? r
		     : mlimg_rebuild_stage_layers(rolling->dir_fd, new_fd, rolling->layers,
			       rolling->n_layers, &rolling->report, err);
}

static struct mlimg_change_call call_of(struct rolling *rolling, int user_fd)
{
	return (struct mlimg_change_call){.user_fd = user_fd,
		.told = tell,
		.ready = make_ready,
		.report = report_rollback,
		.ctx = rolling,
		.notes = &rolling->report.notes};
}

static int rolling_init(struct rolling *rolling, struct mlimg_err *err)
{
	int r = mlimg_report_init(&rolling->report, err);

	rolling->classes = mlimg_path_classes_new();
	return r < 0 || rolling->classes ? r : mlimg_err_set(err, ENOMEM, "roll back");
}

static void rolling_done(struct rolling *rolling)
{
	mlimg_report_done(&rolling->report);
	mlimg_path_classes_free(rolling->classes);
}

int mlimg_reconcile_roll_back(
	struct mlimg_reconciling *r, const struct mlimg_boot_state *former, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_lowers_close) struct mlimg_lowers lowers = {.n = 0};
	struct rolling rolling = {
		.dir_fd = r->dir_fd, .layers = r->layers, .n_layers = r->n_layers};
	struct mlimg_change_call call = call_of(&rolling, r->user->fd);
	int ret = rolling_init(&rolling, err);

	if (ret == 0)
		ret = mlimg_lowers_open(
			r->root_fd, r->is_index, r->layers, r->n_layers, &lowers, err);
	call.lowers = &lowers;
	call.upper_memory_max = r->upper_memory_max;
	if (ret == 0)
		ret = mlimg_change_roll_back(&call, r->old, former, err);
	if (ret == 0) {
		*r->next = *former;
		r->next->generation = call.generation;
		r->boot->reconciled = MLIMG_BOOT_ROLLED_BACK;
		r->boot->steps = call.n_steps;
		mlimg_reported_count(r->boot, &rolling.report);
		mlimg_reported_note(r->boot, &rolling.report.notes);
		r->boot->is_report_lost = rolling.is_report_lost;
	} else if (!mlimg_change_is_pending(r->dir_fd)) {
		mlimg_boot_note(r->boot, "the last change is not taken back: %s", err->text);
		ret = 1;
	} else {
		ret = mlimg_err_wrap(err, ret, "take the last change back");
	}
	rolling_done(&rolling);
	return ret;
}

/* --- a change that was stopped --- */

/* What was told before it was decided, and nobody has seen. */
static void recall_counts(int dir_fd, uint64_t generation, struct mlimg_boot *boot)
{
	mlimg_autofree char *text = NULL;
	char name[64];
	size_t size;

	snprintf(name, sizeof(name), "reports/%" PRIu64 ".json", generation);
	boot->is_report_lost = mlimg_read_beneath_head(dir_fd, name, MLIMG_REPORT_HEAD_MAX, &text,
				       &size, NULL) < 0 ||
		mlimg_report_read_counts(text, size, boot->counts, boot->done) < 0;
	boot->has_report = true;
}

static void take_resumed(
	struct mlimg_change_call *call, struct rolling *rolling, struct mlimg_boot *boot)
{
	boot->steps = call->n_steps;
	boot->generation = call->generation;
	boot->reconciled = call->is_rollback ? MLIMG_BOOT_ROLLED_BACK : MLIMG_BOOT_RECONCILED;
	if (call->is_rollback) {
		mlimg_reported_count(boot, &rolling->report);
		boot->is_report_lost = rolling->is_report_lost;
	} else {
		recall_counts(rolling->dir_fd, call->generation, boot);
	}
	mlimg_reported_note(boot, &rolling->report.notes);
	mlimg_boot_note(boot,
		"%s generation %" PRIu64 ", which an earlier boot had begun, was ended",
		call->is_rollback ? "the rollback to" : "the change to", call->generation);
}

int mlimg_reconcile_resume(int user_fd, struct mlimg_boot *boot, struct mlimg_err *err)
{
	mlimg_autoclose int dir_fd =
		openat(user_fd, "mlimg", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct rolling rolling = {.dir_fd = dir_fd};
	struct mlimg_change_call call = call_of(&rolling, user_fd);
	int r;

	if (!mlimg_change_is_pending(dir_fd))
		return 0;
	r = rolling_init(&rolling, err);
	if (r == 0 && mlimg_reported_recall_notes(dir_fd, &rolling.report.notes) < 0)
		r = mlimg_err_set(err, ENOMEM, "read what is to be told");
	if (r == 0)
		r = mlimg_change_resume(&call, err);
	if (r == 0 && call.is_done)
		take_resumed(&call, &rolling, boot);
	rolling_done(&rolling);
	return r < 0 ? mlimg_err_wrap(err, r, "end a change that was interrupted") : 0;
}
