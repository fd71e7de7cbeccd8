/* SPDX-License-Identifier: MIT */
/* The last change taken back, and a change or a rollback ended that was stopped. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/reconcile-report.h"
#include "guest-agent/reconcile.h"
#include "guest-agent/rolling.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

/* --- the way back --- */

static void tell(
	const char *path, enum mlimg_change_told what, bool is_file, uint64_t generation, void *ctx)
{
	mlimg_rolling_tell(ctx, path, what, is_file, generation);
}

static int report(struct mlimg_change_call *call, const struct mlimg_boot_state *from,
	const struct mlimg_boot_state *to, struct mlimg_err *err)
{
	mlimg_rolling_report(call->ctx, call->generation, from, to);
	return 0;
}

static int make_ready(struct mlimg_change_call *call, int new_fd, struct mlimg_err *err)
{
	return mlimg_rolling_make_ready(call->ctx, new_fd, err);
}

static struct mlimg_change_call call_of(struct mlimg_rolling *rolling, int user_fd)
{
	return (struct mlimg_change_call){.user_fd = user_fd,
		.told = tell,
		.ready = make_ready,
		.report = report,
		.ctx = rolling,
		.notes = &rolling->report.notes};
}

int mlimg_reconcile_roll_back(
	struct mlimg_reconciling *r, const struct mlimg_boot_state *former, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_lowers_close) struct mlimg_lowers lowers = {.n = 0};
	struct mlimg_rolling rolling = {
		.dir_fd = r->dir_fd, .layers = r->layers, .n_layers = r->n_layers};
	struct mlimg_change_call call = call_of(&rolling, r->user->fd);
	int ret = mlimg_rolling_init(&rolling, err);

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
	mlimg_rolling_done(&rolling);
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
	struct mlimg_change_call *call, struct mlimg_rolling *rolling, struct mlimg_boot *boot)
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
	struct mlimg_rolling rolling = {.dir_fd = dir_fd};
	struct mlimg_change_call call = call_of(&rolling, user_fd);
	int r;

	if (!mlimg_change_is_pending(dir_fd))
		return mlimg_change_keep_given_up(dir_fd, boot, err);
	r = mlimg_rolling_init(&rolling, err);
	if (r == 0 && mlimg_reported_recall_notes(dir_fd, &rolling.report.notes) < 0)
		r = mlimg_err_set(err, ENOMEM, "read what is to be told");
	if (r == 0)
		r = mlimg_change_resume(&call, err);
	if (r == 0 && call.is_done)
		take_resumed(&call, &rolling, boot);
	mlimg_rolling_done(&rolling);
	return r < 0 ? mlimg_err_wrap(err, r, "end a change that was interrupted") : 0;
}
