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

#include "guest-agent/change-stage.h"
#include "guest-agent/rebuild.h"
#include "guest-agent/skipped.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/reconcile-plan.h"

/* What the planner reads through. */
struct reading {
	struct mlimg_lowers lowers;
	struct mlimg_base_texts texts;
	struct mlimg_path_classes *classes;
	struct mlimg_boot *boot;
};

/* --- reports --- */

static int open_reports(int dir_fd, struct mlimg_err *err)
{
	int fd;

	if (mkdirat(dir_fd, "reports", 0755) < 0 && errno != EEXIST)
		return mlimg_err_set(err, errno, "make user/mlimg/reports");
	fd = openat(dir_fd, "reports", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? mlimg_err_set(err, errno, "open user/mlimg/reports") : fd;
}

static void print_stack(const struct mlimg_boot_stack *stack, char *ret_text, size_t size)
{
	size_t at = 0;

	ret_text[0] = '\0';
	for (size_t i = 0; i < stack->n_layers && at < size; i++)
		at += (size_t)snprintf(ret_text + at, size - at, "%s%s %s", i ? ", " : "",
			stack->layers[i].name, stack->layers[i].version);
}

/* What a report is about. */
struct reported {
	int dir_fd; /* the user layer's /mlimg */
	uint64_t generation;
	bool is_rollback;
	const struct mlimg_boot_stack *from, *to;
};

static int write_text(const struct reported *about, int reports, struct mlimg_report *report,
	struct mlimg_err *err)
{
	char title[2048], from[960], to[960], name[32];
	mlimg_autofree char *text = NULL;
	size_t size;
	int ret;

	print_stack(about->from, from, sizeof(from));
	print_stack(about->to, to, sizeof(to));
	snprintf(title, sizeof(title), "Generation %" PRIu64 "%s\nfrom %s\nto   %s",
		about->generation, about->is_rollback ? ": the last change taken back" : "", from,
		to);
	ret = mlimg_report_to_text(report, title, &text, &size, err);
	snprintf(name, sizeof(name), "%" PRIu64 ".txt", about->generation);
	return ret < 0 ? ret : mlimg_replace_file(reports, name, text, size, 0644, err);
}

static int write_report(
	const struct reported *about, struct mlimg_report *report, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	mlimg_autoclose int reports = open_reports(about->dir_fd, err);
	char name[32];
	size_t size;
	int ret;

	if (reports < 0)
		return reports;
	mlimg_base_remove_leftovers(reports, 0);
	ret = mlimg_report_to_json(report, about->generation, about->from->stack_id,
		about->to->stack_id, &text, &size, err);
	snprintf(name, sizeof(name), "%" PRIu64 ".json", about->generation);
	if (ret == 0)
		ret = mlimg_replace_file(reports, name, text, size, 0644, err);
	if (ret == 0)
		ret = write_text(about, reports, report, err);
	return ret < 0 ? mlimg_err_wrap(err, ret, "user/mlimg/reports") : 0;
}

static void remove_report(struct mlimg_reconciling *r)
{
	static const char *const endings[] = {"json", "txt"};
	char name[64];

	for (size_t i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "reports/%" PRIu64 ".%s", r->boot->generation,
			endings[i]);
		unlinkat(r->dir_fd, name, 0);
	}
	unlinkat(r->dir_fd, "reports", AT_REMOVEDIR);
}

static void take_counts(struct mlimg_boot *boot, const struct mlimg_report *report)
{
	memcpy(boot->counts, report->counts, sizeof(boot->counts));
	memcpy(boot->done, report->done, sizeof(boot->done));
	boot->has_report = true;
}

/* That somebody's account was moved is in the report; that something no longer fits together he should not have to look for. */
static void note_databases(struct mlimg_boot *boot, const struct mlimg_notes *notes)
{
	const struct mlimg_note *first = NULL;
	size_t n = notes->n_more;

	for (size_t i = 0; i < notes->n; i++) {
		if (notes->notes[i].kind == MLIMG_NOTE_TOLD)
			continue;
		n++;
		if (!first)
			first = &notes->notes[i];
	}
	if (first && n > 1)
		mlimg_boot_note(boot, "%.100s: %.300s; and %zu more in the report", first->name,
			first->text, n - 1);
	else if (first)
		mlimg_boot_note(boot, "%.100s: %.300s", first->name, first->text);
}

/* --- the way back --- */

/* A rollback on its way. */
struct rolling {
	struct mlimg_report report;
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
		.class = MLIMG_CLASS_DATA,
		.done = MLIMG_DONE_ASIDE,
		.generation = generation,
		.why = "written since"};

	if (what == MLIMG_CHANGE_MERGED) {
		entry.verdict = MLIMG_MERGED;
		entry.class =
			strncmp(path, "var/", 4) == 0 ? MLIMG_CLASS_PACKAGES : MLIMG_CLASS_ACCOUNTS;
		entry.done = MLIMG_DONE_MERGED;
	} else if (what == MLIMG_CHANGE_DROPPED) {
		entry.verdict = MLIMG_STALE;
		entry.class = MLIMG_CLASS_DERIVED;
		entry.done = MLIMG_DONE_DROPPED;
	}
	mlimg_report_add_entry(&rolling->report, &entry);
}

/* A report that cannot be written is no reason not to go back. */
static int report_rollback(struct mlimg_change_call *call, const struct mlimg_boot_state *from,
	const struct mlimg_boot_state *to, struct mlimg_err *err)
{
	struct rolling *rolling = call->ctx;
	const struct reported about = {
		rolling->dir_fd, call->generation, true, &from->stack, &to->stack};

	rolling->is_report_lost = write_report(&about, &rolling->report, err) < 0;
	return 0;
}

static int list_rebuild(struct mlimg_change_call *call, int new_fd, struct mlimg_err *err)
{
	struct rolling *rolling = call->ctx;

	return mlimg_rebuild_stage_layers(
		rolling->dir_fd, new_fd, rolling->layers, rolling->n_layers, &rolling->report, err);
}

static struct mlimg_change_call call_of(struct rolling *rolling, int user_fd)
{
	return (struct mlimg_change_call){.user_fd = user_fd,
		.told = tell,
		.ready = list_rebuild,
		.report = report_rollback,
		.ctx = rolling,
		.notes = &rolling->report.notes};
}

int mlimg_reconcile_roll_back(
	struct mlimg_reconciling *r, const struct mlimg_boot_state *former, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_lowers_close) struct mlimg_lowers lowers = {.n = 0};
	struct rolling rolling = {
		.dir_fd = r->dir_fd, .layers = r->layers, .n_layers = r->n_layers};
	struct mlimg_change_call call = call_of(&rolling, r->user->fd);
	int ret = mlimg_report_init(&rolling.report, err);

	if (ret == 0)
		ret = mlimg_lowers_open(
			r->root_fd, r->is_index, r->layers, r->n_layers, &lowers, err);
	if (ret < 0) {
		mlimg_report_done(&rolling.report);
		return ret;
	}
	call.lowers = &lowers;
	ret = mlimg_change_roll_back(&call, r->old, former, err);
	if (ret == 0) {
		*r->next = *former;
		r->next->generation = call.generation;
		r->boot->reconciled = MLIMG_BOOT_ROLLED_BACK;
		r->boot->steps = call.n_steps;
		take_counts(r->boot, &rolling.report);
		note_databases(r->boot, &rolling.report.notes);
		r->boot->is_report_lost = rolling.is_report_lost;
	} else if (!mlimg_change_is_pending(r->dir_fd)) {
		mlimg_boot_note(r->boot, "the last change is not taken back: %s", err->text);
		ret = 1;
	} else {
		ret = mlimg_err_wrap(err, ret, "take the last change back");
	}
	mlimg_report_done(&rolling.report);
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
	boot->is_report_lost =
		mlimg_read_beneath(dir_fd, name, MLIMG_REPORT_MAX, &text, &size, NULL) < 0 ||
		mlimg_report_read_counts(text, size, boot->counts, boot->done) < 0;
	boot->has_report = true;
}

static void take_resumed(
	struct mlimg_change_call *call, struct rolling *rolling, struct mlimg_boot *boot)
{
	boot->steps = call->n_steps;
	boot->reconciled = call->is_rollback ? MLIMG_BOOT_ROLLED_BACK : MLIMG_BOOT_RECONCILED;
	if (call->is_rollback) {
		take_counts(boot, &rolling->report);
		boot->is_report_lost = rolling->is_report_lost;
	} else {
		recall_counts(rolling->dir_fd, call->generation, boot);
	}
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
	int r = mlimg_report_init(&rolling.report, err);

	if (r == 0)
		r = mlimg_change_resume(&call, err);
	if (r == 0 && call.is_done)
		take_resumed(&call, &rolling, boot);
	mlimg_report_done(&rolling.report);
	return r < 0 ? mlimg_err_wrap(err, r, "end a change that was interrupted") : 0;
}

/* --- what the planner reads --- */

static int read_base(const char *path, const uint8_t digest[MLIMG_SHA256_SIZE], size_t max,
	void *ctx, char **ret_data, size_t *ret_size)
{
	const struct reading *reading = ctx;
	const struct mlimg_base_text *text = mlimg_base_texts_find(&reading->texts, digest);

	if (!text)
		return -ENOENT;
	if (text->size > max)
		return -EFBIG;
	*ret_data = malloc(text->size + 1);
	if (!*ret_data)
		return -ENOMEM;
	memcpy(*ret_data, text->data, text->size);
	(*ret_data)[text->size] = '\0';
	*ret_size = text->size;
	return 0;
}

static int read_next(const char *path, const uint8_t digest[MLIMG_SHA256_SIZE], size_t max,
	void *ctx, char **ret_data, size_t *ret_size)
{
	const struct reading *reading = ctx;

	return mlimg_lowers_read(&reading->lowers, path, digest, max, ret_data, ret_size);
}

static void leave_out(const struct mlimg_err *why, void *ctx)
{
	mlimg_boot_note(ctx, "left out: %s", why->text);
}

/* The layers' tables, those of the upper layers after those beneath; then what the user has added. */
static int read_classes(struct reading *reading, int upper_fd, struct mlimg_err *err)
{
	static const char *const dirs[] = {
		"usr/lib/mlimg/" MLIMG_CLASS_DIR, "etc/mlimg/" MLIMG_CLASS_DIR};
	int r = 0;

	reading->classes = mlimg_path_classes_new();
	if (!reading->classes)
		return mlimg_err_set(err, ENOMEM, "read " MLIMG_CLASS_DIR);
	for (size_t dir = 0; dir < 2; dir++)
		for (size_t i = reading->lowers.n + 1; i-- > 0 && r >= 0;)
			r = mlimg_path_classes_read(reading->classes,
				i > 0 ? reading->lowers.fds[i - 1] : upper_fd, dirs[dir], leave_out,
				reading->boot, err);
	return r < 0 ? r : 0;
}

static void reading_done(struct reading *reading)
{
	mlimg_lowers_close(&reading->lowers);
	mlimg_base_texts_done(&reading->texts);
	mlimg_path_classes_free(reading->classes);
}

static int begin_reading(
	struct mlimg_reconciling *r, int upper_fd, struct reading *reading, struct mlimg_err *err)
{
	int ret;

	reading->boot = r->boot;
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
	return read_classes(reading, upper_fd, err);
}

/* --- the change --- */

static void skip(const char *path, int error, bool was_visited, void *ctx)
{
	mlimg_skipped_add(ctx, path, error);
}

static int plan(struct mlimg_reconciling *r, const struct mlimg_manifest *next, int upper_fd,
	struct reading *reading, struct mlimg_report *report, struct mlimg_plan *ret_plan,
	struct mlimg_err *err)
{
	struct mlimg_skipped skipped = {0};
	struct mlimg_manifest *base;
	struct mlimg_upper_dir upper;
	struct mlimg_reconcile_input input = {.next = next,
		.upper = &upper.source,
		.classes = reading->classes,
		.generation = r->boot->generation,
		.from = r->old->stack.stack_id,
		.to = r->boot->stack.stack_id,
		.read_base = read_base,
		.read_next = read_next,
		.read_ctx = reading,
		.merges_databases = true,
		.notes = &report->notes,
		.skip = skip,
		.skip_ctx = &skipped};
	int ret = mlimg_base_read(r->user, r->old, &base, err);

	if (ret < 0)
		return ret;
	input.base = base;
	mlimg_upper_dir_init(&upper, upper_fd, r->is_unionfs);
	ret = mlimg_reconcile_plan(&input, report, ret_plan, err);
	mlimg_manifest_free(base);
	mlimg_skipped_note(&skipped, r->boot);
	note_databases(r->boot, &report->notes);
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
	return ret < 0 ? ret
		       : write_report(&(struct reported){r->dir_fd, r->boot->generation, false,
					      &r->old->stack, &r->boot->stack},
				 report, err);
}

static void unmake(struct mlimg_reconciling *r)
{
	mlimg_change_unstage(r->user->fd, r->next->generation);
	mlimg_base_remove_leftovers(r->dir_fd, r->old->generation);
	remove_report(r);
}

static int carry_out(struct mlimg_reconciling *r, const struct mlimg_manifest *next,
	struct reading *reading, struct mlimg_report *report, const struct mlimg_plan *plan,
	struct mlimg_err *err)
{
	struct mlimg_change_call call = {.user_fd = r->user->fd};
	int ret = make_ready(r, next, reading, report, plan, &call, err);

	/* What an earlier change keeps to be taken back gives its room to this one. */
	if (mlimg_is_no_room(ret)) {
		unmake(r);
		mlimg_change_forget(r->dir_fd);
		ret = make_ready(r, next, reading, report, plan, &call, err);
	}
	if (ret == 0)
		ret = mlimg_change_decide(
			&call, false, r->next->generation, r->old->generation, err);
	if (ret < 0 && mlimg_change_is_pending(r->dir_fd))
		return mlimg_err_wrap(err, ret, "bring the user layer into agreement");
	if (ret < 0) {
		unmake(r);
		r->boot->is_report_lost = true;
		mlimg_boot_note(r->boot,
			"the user layer is not brought into agreement with this stack: %.300s; "
			"the next boot tries again",
			err->text);
		return 1;
	}
	r->boot->reconciled = MLIMG_BOOT_RECONCILED;
	r->boot->steps = call.n_steps;
	return 0;
}

int mlimg_reconcile(
	struct mlimg_reconciling *r, const struct mlimg_manifest *next, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_report_done) struct mlimg_report report = {0};
	mlimg_cleanup(mlimg_plan_done) struct mlimg_plan planned = {0};
	mlimg_cleanup(reading_done) struct reading reading = {.boot = NULL};
	mlimg_autoclose int upper_fd =
		openat(r->user->fd, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int ret;

	if (upper_fd < 0)
		return mlimg_err_set(err, errno, "open user/upper");
	ret = begin_reading(r, upper_fd, &reading, err);
	if (ret == 0)
		ret = mlimg_report_init(&report, err);
	if (ret == 0)
		ret = plan(r, next, upper_fd, &reading, &report, &planned, err);
	if (ret < 0)
		return ret;
	take_counts(r->boot, &report);
	r->boot->is_report_lost = r->is_dry;
	return r->is_dry ? 0 : carry_out(r, next, &reading, &report, &planned, err);
}

void mlimg_reconcile_print(const struct mlimg_boot *boot)
{
	uint64_t conflicts = boot->counts[MLIMG_CONFLICT] + boot->counts[MLIMG_TYPE_CHANGE];

	if (!boot->reconciled || (!boot->done[MLIMG_DONE_ASIDE] && !conflicts))
		return;
	printf("user's files on another stack: %" PRIu64 " set aside, %" PRIu64
	       " with the new one beside it, %" PRIu64 " conflicts in all",
		boot->done[MLIMG_DONE_ASIDE], boot->done[MLIMG_DONE_BESIDE], conflicts);
	if (!boot->is_report_lost)
		printf(": see %s/user/mlimg/reports/%" PRIu64 ".txt", boot->root, boot->generation);
	putchar('\n');
}
