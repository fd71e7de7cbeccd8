/* SPDX-License-Identifier: MIT */
#include "tools/upgrade-plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/reconcile-plan.h"
#include "libmlimg/upper-source.h"
#include "tools/cli.h"
#include "tools/image-owners.h"
#include "tools/upgrade-room.h"
#include "tools/upper-image.h"

#define SKIPPED_NOTES 3 /* as a boot notes them (guest-agent/skipped.h) */

const char *mlimg_upgrade_outcome_name(enum mlimg_upgrade_outcome outcome)
{
	static const char *const names[MLIMG_UPGRADE_OUTCOMES] = {
		"failed", "refused", "changes", "same", "first", "back"};

	return names[outcome];
}

void mlimg_upgrade_tenant_done(struct mlimg_upgrade_tenant *t)
{
	free(t->disk);
	free(t->snapshot);
	free(t->way_out);
	free(t->report);
	free(t->queue_report);
	mlimg_upgrade_covered_done(&t->covered);
}

#define note(t, ...) \
	mlimg_boot_add_note((t)->notes, &(t)->n_notes, MLIMG_UPGRADE_NOTES_MAX, __VA_ARGS__)

/* ---- what the planner reads through ---- */

struct planning {
	struct mlimg_upgrade_tenant *t;
	struct mlimg_upgrade_user *user;
	struct mlimg_upper_image image;
	struct mlimg_upgrade_queued upper; /* the image's, when what is queued has been done */
	struct mlimg_manifest *had;        /* all of that, where anything is protected; or NULL */
	struct mlimg_image_owners owners;
	uint64_t n_skipped, paths_bytes;
	struct mlimg_report report;
	struct mlimg_plan plan;
};

static int read_base(const char *path, const uint8_t digest[MLIMG_SHA256_SIZE], size_t max,
	void *ctx, char **ret_data, size_t *ret_size)
{
	const struct planning *p = ctx;

	return mlimg_base_texts_read(&p->user->texts, digest, max, ret_data, ret_size);
}

static int read_next(const char *path, const uint8_t digest[MLIMG_SHA256_SIZE], size_t max,
	void *ctx, char **ret_data, size_t *ret_size)
{
	const struct planning *p = ctx;

	return mlimg_upgrade_stack_read(p->t->stack, path, digest, max, ret_data, ret_size);
}

static void left_out(const struct mlimg_err *why, void *ctx)
{
	const struct planning *p = ctx;

	note(p->t, "left out: %.480s", why->text);
}

static void skip(const char *path, int error, bool was_visited, void *ctx)
{
	struct planning *p = ctx;

	if (p->n_skipped++ < SKIPPED_NOTES)
		note(p->t, "not compared, and kept: user/upper/%.300s: %s", path, strerror(-error));
}

/* Hooks are a guest's programs: nothing of a guest's is run here. */
static int count_hook(
	const struct mlimg_reconcile_hook *hook, void *ctx, char **ret_text, size_t *ret_size)
{
	struct planning *p = ctx;

	p->t->n_hooks++;
	return 0;
}

/* A list of all that the user layer had is kept for the way back. */
static int look_at_upper(const struct mlimg_manifest *upper, void *ctx)
{
	struct planning *p = ctx;

	for (size_t i = 0; i < upper->n_entries; i++)
		p->paths_bytes += strlen(upper->entries[i].path) + 1;
	if (!mlimg_upgrade_stack_protected(p->t->stack)->n_patterns)
		return 0;
	p->had = mlimg_manifest_new();
	for (size_t i = 0; p->had && i < upper->n_entries; i++)
		if (!mlimg_manifest_add(p->had, &upper->entries[i]))
			return -ENOMEM;
	return p->had ? 0 : -ENOMEM;
}

/* ---- planning ---- */

static void note_queue(struct planning *p)
{
	const struct mlimg_upgrade_queue *queue = &p->user->queue;

	p->t->has_begun_queue = queue->is_begun;
	if (queue->is_begun)
		note(p->t,
			"what the user has queued was interrupted, and is ended before: that is "
			"not "
			"foretold");
	else if (queue->queue)
		note(p->t, "the user has queued %zu %s, which come before", queue->queue->n,
			mlimg_cli_noun(queue->queue->n, "operation", "operations"));
	if (queue->bad[0])
		note(p->t, "what the user has queued is damaged, and is not done: %.400s",
			queue->bad);
}

static void note_more(struct planning *p)
{
	if (p->n_skipped > SKIPPED_NOTES)
		note(p->t, "not compared, and kept: %" PRIu64 " more",
			p->n_skipped - SKIPPED_NOTES);
	if (p->user->texts_why[0])
		note(p->t, "texts that both sides changed are not merged: %.400s",
			p->user->texts_why);
	note_queue(p);
	for (size_t i = 0; i < p->report.notes.n; i++) {
		const struct mlimg_note *n = &p->report.notes.notes[i];

		if (n->kind == MLIMG_NOTE_BROKEN && mlimg_note_is_unmerged(n))
			p->t->n_unmerged++;
		else if (n->kind == MLIMG_NOTE_BROKEN)
			p->t->n_broken++;
		else if (strncmp(n->path, "etc/", 4) == 0)
			p->t->n_accounts++;
	}
	if (p->t->n_hooks)
		note(p->t,
			"%" PRIu64 " told as conflict that a hook of the layers is asked to merge "
			"in the boot: "
			"what it makes of them is not foretold",
			p->t->n_hooks);
	if (p->t->covered.has_renamed)
		note(p->t,
			"more directories that were renamed may be set aside, where their former "
			"places show again");
}

static int finish(struct planning *p, uint64_t generation, struct mlimg_err *err)
{
	struct mlimg_upgrade_tenant *t = p->t;
	int r = mlimg_report_to_json(&p->report, generation, p->user->state.stack.stack_id,
		mlimg_upgrade_stack_boot(t->stack)->stack_id, &t->report, &t->report_size, err);

	if (r < 0)
		return r;
	r = mlimg_upgrade_queued_report(&p->upper, &t->queue_report, &t->queue_report_size, err);
	if (r == 0 && p->had)
		r = mlimg_upgrade_covered_find(mlimg_upgrade_stack_protected(t->stack),
			mlimg_upgrade_stack_manifest(t->stack), p->had, &p->plan, &t->covered, err);
	if (r < 0)
		return r;
	memcpy(t->counts, p->report.counts, sizeof(t->counts));
	memcpy(t->done, p->report.done, sizeof(t->done));
	t->moved = p->report.moved;
	t->hidden = p->report.hidden;
	note_more(p);
	t->needed_bytes = mlimg_upgrade_room(&(struct mlimg_upgrade_needs){.plan = &p->plan,
		.base_bytes = mlimg_upgrade_stack_base_bytes(t->stack),
		.report_bytes = t->report_size,
		.queue_bytes = t->queue_report_size,
		.paths_bytes = p->paths_bytes});
	t->outcome = MLIMG_UPGRADE_CHANGES;
	return 0;
}

static int plan(struct planning *p, struct mlimg_path_classes *classes, struct mlimg_err *err)
{
	const struct mlimg_boot_state *state = &p->user->state;
	bool is_unionfs = strcmp(state->stack.union_driver, MLIMG_UNION_UNIONFS) == 0;
	struct mlimg_reconcile_input input = {.base = p->user->base,
		.next = mlimg_upgrade_stack_manifest(p->t->stack),
		.upper = &p->upper.source,
		.classes = classes,
		.reads_classes = true,
		.left_out = left_out,
		.left_out_ctx = p,
		.loaded = look_at_upper,
		.loaded_ctx = p,
		.generation = state->generation + 1,
		.from = state->stack.stack_id,
		.to = mlimg_upgrade_stack_boot(p->t->stack)->stack_id,
		.read_base = read_base,
		.read_next = read_next,
		.read_ctx = p,
		.hook = count_hook,
		.hook_ctx = p,
		.merges_databases = true,
		.owns_outside = mlimg_image_owners_has,
		.outside_ctx = &p->owners,
		.notes = &p->report.notes,
		.skip = skip,
		.skip_ctx = p};
	int r = mlimg_upper_image_init(&p->image, p->user->fs, is_unionfs, err);

	mlimg_upgrade_queued_init(&p->upper, &p->image.source, &p->user->queue, is_unionfs, state);

	p->owners.fs = p->user->fs;
	if (r == 0)
		r = mlimg_report_init(&p->report, err);
	if (r == 0)
		r = mlimg_reconcile_plan(&input, &p->report, &p->plan, err);
	return r < 0 ? r : finish(p, input.generation, err);
}

static int plan_change(
	struct mlimg_upgrade_tenant *t, struct mlimg_upgrade_user *user, struct mlimg_err *err)
{
	struct mlimg_path_classes *classes = mlimg_path_classes_new();
	struct planning p = {.t = t, .user = user};
	int r = classes ? plan(&p, classes, err)
			: mlimg_err_set(err, ENOMEM, "%s", mlimg_ext4_name(user->fs));

	mlimg_report_done(&p.report);
	mlimg_plan_done(&p.plan);
	mlimg_upgrade_queued_done(&p.upper);
	mlimg_manifest_free(p.had);
	mlimg_image_owners_done(&p.owners);
	mlimg_path_classes_free(classes);
	return r;
}

/* A driver that is chosen when the guest starts is one that reads what is there, or none is. */
static int check_driver(const struct mlimg_upgrade_tenant *t, const struct mlimg_boot_state *state,
	struct mlimg_err *err)
{
	const char *wanted = mlimg_union_name(t->union_driver);

	if (t->union_driver == MLIMG_UNION_AUTO ||
		mlimg_boot_is_same_upper(state->stack.union_driver, wanted))
		return 0;
	return mlimg_err_refuse(err,
		"%s: the user layer was written by union driver '%s', which '%s' would misread",
		t->name, state->stack.union_driver, wanted);
}

static int plan_user(
	struct mlimg_upgrade_tenant *t, struct mlimg_upgrade_user *user, struct mlimg_err *err)
{
	const struct mlimg_boot_stack *next = mlimg_upgrade_stack_boot(t->stack);

	t->free_bytes = mlimg_upgrade_free_bytes(mlimg_ext4_super(user->fs), user->disk_bytes);
	if (!user->has_run) {
		t->outcome = MLIMG_UPGRADE_FIRST;
		return 0;
	}
	if (check_driver(t, &user->state, err) < 0)
		return -EUCLEAN;
	if (mlimg_boot_stack_shows_same(next, &user->state.stack))
		t->outcome = MLIMG_UPGRADE_SAME;
	else if (user->has_former && mlimg_boot_stack_shows_same(next, &user->former.stack))
		t->outcome = MLIMG_UPGRADE_BACK;
	else
		return plan_change(t, user, err);
	return 0;
}

int mlimg_upgrade_say_runs(const struct mlimg_upgrade_tenant *t, struct mlimg_err *err)
{
	return mlimg_err_set(
		err, 0, "%s: its guest runs: ask with --checkpoint, or stop it", t->name);
}

void mlimg_upgrade_plan_fails(struct mlimg_upgrade_tenant *t, const struct mlimg_err *why)
{
	struct mlimg_err err = *why;
	bool is_snapshot = t->is_snapshot;

	free(t->report);
	free(t->queue_report);
	mlimg_upgrade_covered_done(&t->covered);
	memset(&t->outcome, 0, sizeof(*t) - offsetof(struct mlimg_upgrade_tenant, outcome));
	t->outcome = MLIMG_UPGRADE_FAILED;
	t->err = err;
	t->is_snapshot = is_snapshot;
}

/* What cannot be read may be so since somebody writes. @return 0, -errno */
static int plan_disk(
	struct mlimg_upgrade_tenant *t, struct mlimg_upgrade_bases *bases, struct mlimg_err *err)
{
	const struct mlimg_upgrade_disk disk = {
		t->disk, t->name, t->user_id, t->snapshot, t->is_torn};
	struct mlimg_upgrade_user *user = calloc(1, sizeof(*user));
	struct mlimg_err changed = MLIMG_ERR_INIT;
	int r;

	if (!user)
		return mlimg_err_set(err, ENOMEM, "%s", t->name);
	r = mlimg_upgrade_user_open(&disk, bases, user, err);
	t->is_snapshot = user->is_snapshot;
	if (r == 0)
		r = plan_user(t, user, err);
	if (r != -EBUSY && mlimg_upgrade_user_check(&disk, user, &changed) == -ESTALE) {
		r = -ESTALE;
		*err = changed;
	}
	mlimg_upgrade_user_done(user);
	free(user);
	return r;
}

void mlimg_upgrade_plan(struct mlimg_upgrade_tenant *t, struct mlimg_upgrade_bases *bases)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r;

	if (!t->stack)
		return;
	r = plan_disk(t, bases, &err);
	if (r == -EBUSY)
		r = mlimg_upgrade_say_runs(t, &err);
	if (r < 0)
		mlimg_upgrade_plan_fails(t, &err);
	else
		t->err = (struct mlimg_err)MLIMG_ERR_INIT;
}
