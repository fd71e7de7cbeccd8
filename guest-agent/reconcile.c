/* SPDX-License-Identifier: MIT */
#include "guest-agent/reconcile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/carve-owners.h"
#include "guest-agent/change-stage.h"
#include "guest-agent/classes.h"
#include "guest-agent/file-flags.h"
#include "guest-agent/hook.h"
#include "guest-agent/rebuild.h"
#include "guest-agent/reconcile-report.h"
#include "guest-agent/skipped.h"
#include "guest-agent/upper-list.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/reconcile-plan.h"

MLIMG_DEFINE_CLEANUP(struct mlimg_manifest, mlimg_manifest_free)

/* What the planner reads through. */
struct reading {
	struct mlimg_lowers lowers;
	struct mlimg_base_texts texts;
	struct mlimg_path_classes *classes; /* with what is declared, once there is a plan */
	struct mlimg_upper_list had;        /* what the upper has */
	int upper_fd, lifted;               /* lifted: of the flags of its files, 0 or -errno */
	struct mlimg_err lifted_err;
	struct mlimg_boot *boot;
};

/* --- what the planner reads --- */

static int read_base(const char *path, const uint8_t digest[MLIMG_SHA256_SIZE], size_t max,
	void *ctx, char **ret_data, size_t *ret_size)
{
	const struct reading *reading = ctx;

	return mlimg_base_texts_read(&reading->texts, digest, max, ret_data, ret_size);
}

static int read_next(const char *path, const uint8_t digest[MLIMG_SHA256_SIZE], size_t max,
	void *ctx, char **ret_data, size_t *ret_size)
{
	const struct reading *reading = ctx;

	return mlimg_lowers_read(&reading->lowers, path, digest, max, ret_data, ret_size);
}

static void reading_done(struct reading *reading)
{
	mlimg_lowers_close(&reading->lowers);
	mlimg_base_texts_done(&reading->texts);
	mlimg_path_classes_free(reading->classes);
	mlimg_upper_list_done(&reading->had);
}

static int begin_reading(
	struct mlimg_reconciling *r, struct reading *reading, struct mlimg_err *err)
{
	int ret;

	reading->classes = mlimg_path_classes_new();
	if (!reading->classes)
		return mlimg_err_set(err, ENOMEM, "read " MLIMG_CLASS_DIR);
	ret = mlimg_lowers_open(
		r->root_fd, r->is_index, r->layers, r->n_layers, &reading->lowers, err);
	if (ret < 0)
		return ret;
	ret = mlimg_base_read_texts(r->user, r->old, &reading->texts, err);
	if (ret == -ENOMEM)
		return ret;
	if (ret < 0)
		mlimg_boot_note(
			r->boot, "texts that both sides changed are not merged: %s", err->text);
	return 0;
}

/* --- the change --- */

static void skip(const char *path, int error, bool was_visited, void *ctx)
{
	mlimg_skipped_add(ctx, path, error);
}

/* What is decided on is what the upper is then. */
static int prepare_upper(const struct mlimg_manifest *upper, void *ctx)
{
	struct reading *reading = ctx;
	size_t n = 0;

	reading->lifted = mlimg_file_flags_lift(reading->upper_fd, upper, &n, &reading->lifted_err);
	if (n)
		mlimg_boot_note(reading->boot,
			"%zu files or directories that were immutable or append-only for the file "
			"system are so for overlayfs now",
			n);
	return mlimg_upper_list_add_all(&reading->had, upper);
}

static int owns_outside(void *ctx, bool is_group, uint32_t id)
{
	return mlimg_carve_owners_has(ctx, is_group, id);
}

static int plan(struct mlimg_reconciling *r, const struct mlimg_manifest *base,
	const struct mlimg_manifest *next, int upper_fd, struct reading *reading,
	struct mlimg_report *report, struct mlimg_plan *ret_plan, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_carve_owners_done) struct mlimg_carve_owners carved = {
		.user_fd = r->user->fd};
	struct mlimg_skipped skipped = {0};
	int ret;
	struct mlimg_upper_dir upper;
	struct mlimg_hooks hooks = {.root_fd = r->root_fd,
		.lowers = &reading->lowers,
		.boot = r->boot,
		.left_ms = MLIMG_HOOKS_MS};
	struct mlimg_reconcile_input input = {.base = base,
		.next = next,
		.upper = &upper.source,
		.classes = reading->classes,
		.reads_classes = true,
		.left_out = mlimg_classes_left_out,
		.left_out_ctx = r->boot,
		.loaded = r->is_dry ? NULL : prepare_upper,
		.loaded_ctx = reading,
		.generation = r->boot->generation,
		.from = r->old->stack.stack_id,
		.to = r->boot->stack.stack_id,
		.read_base = read_base,
		.read_next = read_next,
		.read_ctx = reading,
		.hook = mlimg_hooks_merge,
		.hook_ctx = &hooks,
		.merges_databases = true,
		.owns_outside = owns_outside,
		.outside_ctx = &carved,
		.notes = &report->notes,
		.skip = skip,
		.skip_ctx = &skipped};

	reading->upper_fd = upper_fd;
	reading->boot = r->boot;
	mlimg_upper_dir_init(&upper, upper_fd, r->is_unionfs);
	upper.memory_max = r->upper_memory_max;
	ret = mlimg_reconcile_plan(&input, report, ret_plan, err);
	mlimg_skipped_note(&skipped, r->boot);
	mlimg_reported_note(r->boot, &report->notes);
	return ret < 0 ? mlimg_err_wrap(err, ret, "compare the user's changes") : 0;
}

static int stage_rebuild(
	struct mlimg_reconciling *r, const struct mlimg_report *report, struct mlimg_err *err)
{
	mlimg_autoclose int new_fd = openat(
		r->dir_fd, MLIMG_CHANGE_NEW, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (new_fd < 0)
		return mlimg_err_set(err, errno, "open 'user/mlimg/" MLIMG_CHANGE_NEW "'");
	return mlimg_rebuild_stage_layers(r->dir_fd, new_fd, r->layers, r->n_layers, report, err);
}

/* Everything that takes room. @return 0, -errno */
static int make_ready(struct mlimg_reconciling *r, const struct mlimg_manifest *next,
	struct reading *reading, struct mlimg_report *report, const struct mlimg_plan *plan,
	struct mlimg_change_call *call, struct mlimg_err *err)
{
	int ret = mlimg_base_write(r->dir_fd, next, r->next, err);

	if (ret == 0 &&
		mlimg_base_write_texts(
			r->dir_fd, next, &reading->lowers, reading->classes, r->next, err) < 0)
		mlimg_boot_note(r->boot, "texts are not kept for the next change: %s", err->text);
	if (ret == 0)
		ret = mlimg_change_stage(
			call, plan, &reading->lowers, r->is_unionfs, r->old, r->next, err);
	if (ret == 0)
		ret = stage_rebuild(r, report, err);
	if (ret == 0)
		ret = mlimg_reported_keep_notes(r->dir_fd, &report->notes, err);
	return ret < 0
		? ret
		: mlimg_reported_write(&(struct mlimg_reported){r->dir_fd, r->boot->generation,
					       false, &r->old->stack, &r->boot->stack},
			  report, err);
}

static void unmake(struct mlimg_reconciling *r)
{
	mlimg_change_unstage(r->user->fd, r->next->generation);
	mlimg_base_remove_leftovers(r->dir_fd, r->old->generation);
	mlimg_reported_remove(r->dir_fd, r->boot->generation);
}

static void note_not_begun(struct mlimg_reconciling *r, const struct mlimg_err *why)
{
	mlimg_boot_note(r->boot,
		"the user layer is not brought into agreement with this stack: %.300s; "
		"the next boot tries again",
		why->text);
}

static int carry_out(struct mlimg_reconciling *r, const struct mlimg_manifest *next,
	struct reading *reading, struct mlimg_report *report, const struct mlimg_plan *plan,
	struct mlimg_err *err)
{
	struct mlimg_change_call call = {.user_fd = r->user->fd,
		.had = &reading->had,
		.leaves_accounts = report->leaves_accounts,
		.leaves_packages = report->leaves_packages};
	bool has_forgotten = false;
	int ret = reading->lifted;

	if (ret < 0)
		*err = reading->lifted_err;
	else
		ret = make_ready(r, next, reading, report, plan, &call, err);
	if (mlimg_is_no_room(ret)) {
		unmake(r);
		/* What an earlier change keeps to be taken back gives its room to this one. */
		has_forgotten = mlimg_change_forgetting_helps(r->dir_fd, &call, plan, next, r->old);
		if (has_forgotten) {
			mlimg_change_forget(r->dir_fd);
			ret = make_ready(r, next, reading, report, plan, &call, err);
		}
	}
	if (ret == 0)
		ret = mlimg_change_decide(
			&call, false, r->next->generation, r->old->generation, err);
	if (ret < 0 && mlimg_change_is_pending(r->dir_fd))
		return mlimg_err_wrap(err, ret, "bring the user layer into agreement");
	if (ret < 0) {
		unmake(r);
		r->boot->is_report_lost = true;
		note_not_begun(r, err);
		if (has_forgotten)
			mlimg_boot_note(r->boot,
				"the last change cannot be taken back any more: what was kept for "
				"that gave its room, which was not enough");
		return 1;
	}
	r->boot->reconciled = MLIMG_BOOT_RECONCILED;
	r->boot->steps = call.n_steps;
	if (call.is_had_lost)
		mlimg_boot_note(r->boot,
			"no room to list what the user layer holds: should this change be taken "
			"back, copies that were made since stay as they are");
	return 0;
}

int mlimg_reconcile(
	struct mlimg_reconciling *r, const struct mlimg_manifest *next, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_report_done) struct mlimg_report report = {0};
	mlimg_cleanup(mlimg_plan_done) struct mlimg_plan planned = {0};
	mlimg_cleanup(reading_done) struct reading reading = {.classes = NULL};
	mlimg_cleanup(mlimg_manifest_free_cleanup) struct mlimg_manifest *base = NULL;
	mlimg_autoclose int upper_fd =
		openat(r->user->fd, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int ret;

	if (upper_fd < 0)
		return mlimg_err_set(err, errno, "open user/upper");
	ret = mlimg_base_read(r->user, r->old, &base, err);
	if (ret == 0)
		ret = begin_reading(r, &reading, err);
	if (ret == 0)
		ret = mlimg_report_init(&report, err);
	if (ret == 0)
		ret = plan(r, base, next, upper_fd, &reading, &report, &planned, err);
	/*
	 * Nothing to compare with, more than can be compared, or no memory for it, is no reason to
	 * stop: the user gets at what he has, and nothing of it is touched.
	 */
	if (ret < 0) {
		note_not_begun(r, err);
		return 1;
	}
	mlimg_reported_count(r->boot, &report);
	r->boot->is_report_lost = r->is_dry;
	return r->is_dry ? 0 : carry_out(r, next, &reading, &report, &planned, err);
}

void mlimg_reconcile_print(const struct mlimg_boot *boot, const char *user)
{
	uint64_t conflicts = boot->counts[MLIMG_CONFLICT] + boot->counts[MLIMG_TYPE_CHANGE];

	/* What stays as the user has it is in the report: nobody has to look for anything. */
	if (!boot->reconciled || (!boot->done[MLIMG_DONE_ASIDE] && !boot->done[MLIMG_DONE_BESIDE]))
		return;
	printf("user's files on another stack: %" PRIu64 " set aside, %" PRIu64
	       " with the new one beside it, %" PRIu64 " conflicts in all",
		boot->done[MLIMG_DONE_ASIDE], boot->done[MLIMG_DONE_BESIDE], conflicts);
	if (!boot->is_report_lost)
		printf(": see %s%s/mlimg/reports/%" PRIu64 ".txt", user ? user : boot->root,
			user ? "" : "/user", boot->generation);
	putchar('\n');
}
