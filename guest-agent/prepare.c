/* SPDX-License-Identifier: MIT */
/*
 * `mlimg-agent prepare`: between mounting the layers and making one tree of them. Nothing of the user's is changed, unless a factory reset
 * is asked for; what is written into the user layer's /mlimg (a base manifest, a report) means nothing before `commit` has written the state
 * that names it. In the modes that leave the user layer alone nothing is written there at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/base.h"
#include "guest-agent/calls.h"
#include "guest-agent/composed.h"
#include "guest-agent/compare.h"
#include "guest-agent/convert.h"
#include "guest-agent/grow.h"
#include "guest-agent/hidden.h"
#include "guest-agent/prepare-options.h"
#include "guest-agent/rebuild.h"
#include "guest-agent/reset.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "tools/cli.h"

struct prepare {
	const struct mlimg_wanted *wanted;
	int root_fd, dir_fd; /* /run/mlimg, and the user layer's /mlimg */
	struct mlimg_mounted layers[MLIMG_BOOT_LAYERS_MAX], user;
	size_t n_layers;
	struct mlimg_stack stack;
	struct mlimg_boot boot;
	struct mlimg_boot_state old, next;
	struct mlimg_merged merged;
	struct mlimg_composed_stack composed;
};

static bool is_unionfs(const struct prepare *p)
{
	return strcmp(p->wanted->union_driver, MLIMG_UNION_UNIONFS) == 0;
}

/* With an index the layers are not mounted themselves: the index has what is read of them. */
static int open_read_only(struct prepare *p, struct mlimg_err *err)
{
	struct mlimg_expected layers[MLIMG_BOOT_LAYERS_MAX];
	size_t n = mlimg_wanted_layers(p->wanted, layers);
	int r = 0;

	if (strcmp(p->wanted->union_driver, MLIMG_UNION_INDEX) == 0) {
		r = mlimg_mounted_open_index(p->root_fd, layers, n, p->layers, err);
		p->n_layers = r < 0 ? 0 : n;
		return r;
	}
	for (size_t i = 0; i < n; i++) {
		char where[32];

		snprintf(where, sizeof(where), "layers/%zu", i);
		r = mlimg_mounted_open(p->root_fd, where, &layers[i], &p->layers[i], err);
		if (r < 0)
			return r;
		p->n_layers++;
	}
	return 0;
}

static int open_layers(struct prepare *p, struct mlimg_err *err)
{
	int r = open_read_only(p, err);

	for (size_t i = 0; i < p->n_layers && r == 0; i++) {
		r = mlimg_stack_push(&p->stack, &p->layers[i].info, err);
		if (r < 0)
			r = mlimg_err_wrap(err, r, "%s", p->layers[i].where);
	}
	return r;
}

/* @return 0; 1 in a rescue without a user layer */
static int open_user(struct prepare *p, struct mlimg_err *err)
{
	bool is_rescue = p->wanted->mode == MLIMG_BOOT_RESCUE;
	int r = mlimg_mounted_open(p->root_fd, "user", &p->wanted->user, &p->user, err);

	if (r < 0 && is_rescue) {
		mlimg_boot_note(&p->boot, "no user layer: %s", err->text);
		return 1;
	}
	if (r == 0)
		r = mlimg_stack_push(&p->stack, &p->user.info, err);
	if (r < 0)
		return r;
	strcpy(p->boot.user.name, p->user.info.name);
	strcpy(p->boot.user.build_id, p->user.info.build_id);
	p->dir_fd = openat(p->user.fd, "mlimg", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (p->dir_fd < 0 && !is_rescue)
		return mlimg_err_set(err, errno, "open 'user/mlimg'");
	return 0;
}

/* What was done to the user layer, and what is still to be done before it is read. */
static int take_up_user(struct prepare *p, struct mlimg_err *err)
{
	struct mlimg_boot_user *user = &p->boot.user;
	const struct mlimg_wanted *w = p->wanted;
	int r;

	user->is_formatted = w->is_formatted;
	user->is_checked = w->fsck_status >= 0;
	user->fsck_status = w->fsck_status;
	snprintf(user->fsck_said, sizeof(user->fsck_said), "%s", w->fsck_said);
	if (w->note)
		mlimg_boot_note(&p->boot, "%s", w->note);
	/* A file system that stays small is no reason to stop: it was large enough until now. */
	if (w->dev && mlimg_grow(w->dev, p->user.fd, &user->grown_from, &user->grown_to, err) < 0)
		mlimg_boot_note(&p->boot, "the user layer did not grow: %s", err->text);
	if (w->mode != MLIMG_BOOT_NORMAL)
		return 0;
	r = mlimg_reset(p->user.fd, w->reset, user->reset, err);
	return r < 0 ? mlimg_err_wrap(err, r, "factory reset") : 0;
}

/* Built over another version is no reason to stop: that is what replacing the system beneath is. */
static void note_built_over(struct prepare *p)
{
	const char *missing;
	size_t layer;

	if (!mlimg_stack_is_built_over(&p->stack, &layer, &missing))
		mlimg_boot_note(&p->boot,
			"software layer '%s' was built over a layer that is not beneath it: %s",
			p->layers[layer].info.name, missing);
}

/* What is above all layers is a part of the stack, so it is there before the stack is compared, and before anything reads what it shows. */
static int compose(struct prepare *p, struct mlimg_err *err)
{
	static const struct mlimg_composed_stack nothing;
	bool is_index = strcmp(p->wanted->union_driver, MLIMG_UNION_INDEX) == 0;
	struct mlimg_composed_place place = {.root_fd = p->root_fd,
		.dir_fd = p->wanted->mode == MLIMG_BOOT_NORMAL ? p->dir_fd : -1,
		.stack_id = p->boot.stack.stack_id};
	int r;

	if (is_index)
		r = mlimg_composed_of_index(&p->layers[0], &p->composed, err);
	else if (p->user.fd >= 0 && mlimg_composed_is_kept(&p->user, place.stack_id, &p->composed))
		r = !(place.is_kept = true);
	else
		r = mlimg_composed_make(
			p->root_fd, p->layers, p->n_layers, &p->merged, &p->composed, err);
	if (r == 0)
		r = mlimg_composed_put(&place, is_index ? &nothing : &p->composed, err);
	if (r == 1)
		mlimg_boot_note(&p->boot,
			"the user layer has no room for the composed databases: they take memory");
	strcpy(p->boot.stack.composed, p->composed.digest);
	return r < 0 ? r : 0;
}

/* @return 0; 1 when the user layer has never run */
static int read_state(struct prepare *p, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r;

	if (mlimg_convert_is_pending(p->dir_fd))
		return mlimg_err_refuse(err,
			"user: a conversion of the user layer '%s' for another union driver was "
			"interrupted; boot with mlimg.convert, which ends it",
			p->user.info.name);
	r = mlimg_mounted_read(
		&p->user, "mlimg/state.json", MLIMG_BOOT_STATE_MAX, &text, &size, err);
	if (r == -ENOENT)
		return 1;
	if (r == 0)
		r = mlimg_boot_state_from_json(text, size, &p->old, err);
	if (r == -EUCLEAN)
		return mlimg_err_refuse(err,
			"user/mlimg/state.json is damaged (%s); restore it, or remove it to "
			"boot as for the first time, without a comparison with the former stack",
			strdupa(err->text));
	if (r < 0)
		return r;
	if (!mlimg_boot_is_same_upper(p->old.stack.union_driver, p->wanted->union_driver))
		return mlimg_err_refuse(err,
			"user: the user layer '%s' was written by union driver '%s', which '%s' "
			"would misread; boot with mlimg.union=%s, or with mlimg.convert, or run "
			"'mlimg-agent convert --to %s %s/user'",
			p->user.info.name, p->old.stack.union_driver, p->wanted->union_driver,
			p->old.stack.union_driver, p->wanted->union_driver, p->wanted->root);
	return 0;
}

static int compare_stacks(struct prepare *p, struct mlimg_err *err)
{
	int r = read_state(p, err);

	if (r < 0)
		return r;
	p->boot.generation = p->old.generation;
	if (r == 1) {
		p->boot.change = MLIMG_BOOT_FIRST;
		p->boot.generation = 1;
	} else if (mlimg_boot_stack_shows_same(&p->boot.stack, &p->old.stack)) {
		p->boot.change = MLIMG_BOOT_NONE;
	} else if (p->old.generation == MLIMG_BOOT_GENERATION_MAX) {
		return mlimg_err_refuse(err, "user/mlimg/state.json: no generation after %d",
			MLIMG_BOOT_GENERATION_MAX);
	} else {
		p->boot.change = MLIMG_BOOT_CHANGED;
		p->boot.generation++;
		p->boot.previous = &p->old.stack;
	}
	return 0;
}

static int write_report(struct prepare *p, struct mlimg_report *report, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	mlimg_autoclose int reports = -1;
	char name[32];
	size_t size;
	int r = mlimg_report_to_json(report, p->boot.generation, p->old.stack.stack_id,
		p->boot.stack.stack_id, &text, &size, err);

	if (r < 0)
		return r;
	if (mkdirat(p->dir_fd, "reports", 0755) < 0 && errno != EEXIST)
		return mlimg_err_set(err, errno, "make user/mlimg/reports");
	reports = openat(p->dir_fd, "reports", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (reports < 0)
		return mlimg_err_set(err, errno, "open user/mlimg/reports");
	snprintf(name, sizeof(name), "%" PRIu64 ".json", p->boot.generation);
	r = mlimg_replace_file(reports, name, text, size, 0644, err);
	return r < 0 ? mlimg_err_wrap(err, r, "user/mlimg/reports") : 0;
}

static void note_skipped(struct prepare *p, const struct mlimg_skipped *skipped)
{
	for (size_t i = 0; i < MLIMG_SKIPPED_NOTES && i < skipped->n; i++)
		mlimg_boot_note(&p->boot, "not compared, and kept: %.480s", skipped->notes[i]);
	if (skipped->n > MLIMG_SKIPPED_NOTES)
		mlimg_boot_note(&p->boot, "not compared, and kept: %" PRIu64 " more",
			skipped->n - MLIMG_SKIPPED_NOTES);
}

static int compare_upper(
	struct prepare *p, const struct mlimg_manifest *next, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_report_done) struct mlimg_report report = {0};
	mlimg_autoclose int upper =
		openat(p->user.fd, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct mlimg_skipped skipped;
	struct mlimg_manifest *base;
	int r;

	if (upper < 0)
		return mlimg_err_set(err, errno, "open user/upper");
	r = mlimg_base_read(&p->user, &p->old, &base, err);
	if (r < 0)
		return r;
	r = mlimg_report_init(&report, err);
	if (r == 0)
		r = mlimg_compare_upper(upper, is_unionfs(p), base, next, &report, &skipped, err);
	mlimg_manifest_free(base);
	if (r < 0)
		return r;
	note_skipped(p, &skipped);
	r = p->wanted->mode == MLIMG_BOOT_NORMAL ? write_report(p, &report, err) : 0;
	p->boot.is_report_lost = p->wanted->mode != MLIMG_BOOT_NORMAL || mlimg_is_no_room(r);
	if (r < 0 && !p->boot.is_report_lost)
		return r;
	memcpy(p->boot.counts, report.counts, sizeof(p->boot.counts));
	p->boot.has_report = true;
	return 0;
}

/* What commit will write is left in /run/mlimg, so that it decides nothing itself. */
static int leave_state(struct prepare *p, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	int r = mlimg_boot_state_to_json(&p->next, &text, err);

	return r < 0 ? r
		     : mlimg_replace_file(p->root_fd, "state.json", text, strlen(text), 0600, err);
}

/* Without a state for commit, the user layer keeps the stack that it knows; the next boot finds the change again. */
static int note_no_room(struct prepare *p, const char *what)
{
	mlimg_boot_note_no_room(&p->boot, what);
	mlimg_base_remove_leftovers(p->dir_fd, p->old.generation);
	return 0;
}

/* The stack is new to the user layer, or its manifest is lost. */
static int renew_base(struct prepare *p, struct mlimg_err *err)
{
	int r = mlimg_base_merge(
		p->layers, p->n_layers, p->composed.composed.manifest, &p->merged, err);

	if (r < 0)
		return r;
	if (p->boot.change == MLIMG_BOOT_CHANGED)
		r = compare_upper(p, p->merged.merged, err);
	if (r < 0 || p->wanted->mode != MLIMG_BOOT_NORMAL)
		return r;
	if (p->boot.is_report_lost)
		return note_no_room(p, "the report");
	p->next.generation = p->boot.generation;
	p->next.stack = p->boot.stack;
	r = mlimg_base_write(p->dir_fd, p->merged.merged, &p->next, err);
	if (mlimg_is_no_room(r))
		return note_no_room(p, "the base manifest");
	return r < 0 ? r : leave_state(p, err);
}

/* The same stack through another driver, or of other layers: the state is to say what was last. */
static int note_stack(struct prepare *p, struct mlimg_err *err)
{
	p->next = p->old;
	p->next.stack = p->boot.stack;
	return leave_state(p, err);
}

static int write_boot(struct prepare *p, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	int r;

	p->boot.root = p->wanted->root;
	p->boot.mode = p->wanted->mode;
	r = mlimg_boot_to_json(&p->boot, &text, err);
	return r < 0 ? r
		     : mlimg_replace_file(p->root_fd, "boot.json", text, strlen(text), 0644, err);
}

/* Compare with what the user layer last ran on, and write down what it runs on now. */
static int compare_and_note(struct prepare *p, struct mlimg_err *err)
{
	int r = compare_stacks(p, err);

	if (r < 0)
		return r;
	if (p->boot.change == MLIMG_BOOT_CHANGED)
		return renew_base(p, err);
	if (p->wanted->mode != MLIMG_BOOT_NORMAL)
		return 0;
	if (p->boot.change == MLIMG_BOOT_FIRST || !mlimg_base_is_there(p->dir_fd, &p->old))
		return renew_base(p, err);
	return mlimg_boot_stack_is_same(&p->old.stack, &p->boot.stack) ? 0 : note_stack(p, err);
}

/* A root that nobody can write to keeps the caches that it has; a rescue has other worries. */
static int note_rebuild(struct prepare *p, struct mlimg_err *err)
{
	enum mlimg_boot_mode mode = p->wanted->mode;

	if (mode != MLIMG_BOOT_NORMAL && mode != MLIMG_BOOT_VOLATILE)
		return 0;
	return mlimg_rebuild_note(&(struct mlimg_rebuild_boot){.root_fd = p->root_fd,
					  .dir_fd = p->dir_fd,
					  .layers = p->layers,
					  .n_layers = p->n_layers,
					  .has_changed = p->boot.change != MLIMG_BOOT_NONE,
					  .may_write = mode == MLIMG_BOOT_NORMAL,
					  .generation = p->boot.generation},
		err);
}

static int prepare(struct prepare *p, struct mlimg_err *err)
{
	int r;

	p->root_fd = open(p->wanted->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->root_fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", p->wanted->root);
	/* A former attempt's notes must not be taken for this one's. */
	unlinkat(p->root_fd, "boot.json", 0);
	unlinkat(p->root_fd, "state.json", 0);
	r = open_layers(p, err);
	if (r == 0)
		r = open_user(p, err);
	if (r == 0)
		r = take_up_user(p, err);
	if (r < 0)
		return r;
	note_built_over(p);
	mlimg_boot_stack_of(&p->stack, p->wanted->union_driver, &p->boot.stack);
	p->boot.is_joined = p->wanted->is_joined;
	p->boot.verity = p->wanted->verity;
	r = compose(p, err);
	if (r == 0 && p->wanted->mode != MLIMG_BOOT_RESCUE)
		r = compare_and_note(p, err);
	if (r == 0)
		r = note_rebuild(p, err);
	if (r == 0 && is_unionfs(p))
		r = mlimg_hidden_write(p->wanted->root, p->layers, p->n_layers, err);
	return r < 0 ? r : write_boot(p, err);
}

static int run(const struct mlimg_wanted *wanted)
{
	mlimg_autofree struct prepare *p = calloc(1, sizeof(*p));
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r;

	if (!p) {
		r = mlimg_err_set(&err, ENOMEM, "prepare");
		return mlimg_cli_fail(MLIMG_AGENT_PROG, &err);
	}
	p->wanted = wanted;
	p->root_fd = p->dir_fd = p->user.fd = -1;
	r = prepare(p, &err);
	if (r < 0 && p->root_fd >= 0)
		r = mlimg_err_wrap(&err, r, "%s", wanted->root);
	for (size_t i = 0; i < p->n_layers; i++)
		mlimg_mounted_close(&p->layers[i]);
	mlimg_mounted_close(&p->user);
	mlimg_merged_done(&p->merged);
	mlimg_composed_stack_done(&p->composed);
	if (p->dir_fd >= 0)
		close(p->dir_fd);
	if (p->root_fd >= 0)
		close(p->root_fd);
	return r < 0 ? mlimg_cli_fail(MLIMG_AGENT_PROG, &err) : MLIMG_EXIT_DONE;
}

int mlimg_call_prepare(int argc, char **argv)
{
	struct mlimg_wanted wanted;
	int r = mlimg_prepare_options(argc, argv, &wanted);

	return r >= 0 ? r : run(&wanted);
}
