/* SPDX-License-Identifier: MIT */
/*
 * `mlimg-agent prepare`: between mounting the layers and making one tree of them. When the stack is another one than the user layer last
 * ran on, the upper is brought into agreement with it, or back to what it was (reconcile.h), and the new state is recorded. When it is the
 * first one, what is written into the user layer's /mlimg means nothing before `commit` has written the state that names it. In the modes that
 * leave the user layer alone nothing is written there at all.
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
#include "guest-agent/convert.h"
#include "guest-agent/grow.h"
#include "guest-agent/hidden.h"
#include "guest-agent/prepare-options.h"
#include "guest-agent/protect.h"
#include "guest-agent/rebuild.h"
#include "guest-agent/reconcile.h"
#include "guest-agent/remove-tree.h"
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
	struct mlimg_protect protect;
	const char *protected_paths[MLIMG_PROTECT_SHOWN_MAX];
};

static bool is_unionfs(const struct prepare *p)
{
	return strcmp(p->wanted->union_driver, MLIMG_UNION_UNIONFS) == 0;
}

static bool is_index(const struct prepare *p)
{
	return strcmp(p->wanted->union_driver, MLIMG_UNION_INDEX) == 0;
}

/* With an index the layers are not mounted themselves: the index has what is read of them. */
static int open_read_only(struct prepare *p, struct mlimg_err *err)
{
	struct mlimg_expected layers[MLIMG_BOOT_LAYERS_MAX];
	size_t n = mlimg_wanted_layers(p->wanted, layers);
	int r = 0;

	if (is_index(p)) {
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

/* What an earlier boot began comes before everything else that looks at the upper, or takes it away. */
static int end_change(struct prepare *p, struct mlimg_err *err)
{
	if (p->wanted->mode == MLIMG_BOOT_NORMAL)
		return mlimg_reconcile_resume(p->user.fd, &p->boot, err);
	if (p->dir_fd >= 0 && mlimg_change_is_pending(p->dir_fd))
		mlimg_boot_note(&p->boot,
			"a change of the user layer was interrupted, and shows in part: the next "
			"boot that keeps changes ends it");
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
	r = end_change(p, err);
	if (r < 0 || w->mode != MLIMG_BOOT_NORMAL)
		return r;
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

/* Before anything is composed, and without a tree of a former attempt: that may be the user's to change. */
static int read_protected(struct prepare *p, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_lowers_close) struct mlimg_lowers lowers = {.n = 0};
	int r = is_index(p) ? 0 : mlimg_remove_tree(p->root_fd, MLIMG_COMPOSED_DIR);

	if (r == 0) {
		mlimg_lowers_open(p->root_fd, is_index(p), p->layers, p->n_layers, &lowers);
		r = mlimg_protect_read(&lowers, &p->protect);
	}
	return r < 0 ? mlimg_err_set(err, r, "protected paths") : 0;
}

/*
 * A tree in the user layer is the user's to change, as the upper is. Where something vouches for the layers, or a user may not cover all of them, it is
 * composed in every boot.
 */
static bool may_keep_composed(const struct prepare *p)
{
	return !is_index(p) && strcmp(p->wanted->verity, "off") == 0 && !p->protect.n_patterns;
}

/* What is above all layers is a part of the stack, so it is there before the stack is compared, and before anything reads what it shows. */
static int compose(struct prepare *p, struct mlimg_err *err)
{
	static const struct mlimg_composed_stack nothing;
	bool may_keep = may_keep_composed(p), has_place = is_index(p) || may_keep;
	struct mlimg_composed_place place = {.root_fd = p->root_fd,
		.dir_fd = p->wanted->mode == MLIMG_BOOT_NORMAL && has_place ? p->dir_fd : -1,
		.stack_id = p->boot.stack.stack_id};
	int r;

	if (is_index(p))
		r = mlimg_composed_of_index(&p->layers[0], &p->composed, err);
	else if (may_keep && p->user.fd >= 0 &&
		mlimg_composed_is_kept(&p->user, place.stack_id, &p->composed))
		r = !(place.is_kept = true);
	else
		r = mlimg_composed_make(
			p->root_fd, p->layers, p->n_layers, &p->merged, &p->composed, err);
	if (r == 0)
		r = mlimg_composed_put(&place, is_index(p) ? &nothing : &p->composed, err);
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

/* What commit will write is left in /run/mlimg, so that it decides nothing itself. */
static int leave_state(struct prepare *p, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	int r = mlimg_boot_state_to_json(&p->next, &text, err);

	return r < 0 ? r
		     : mlimg_replace_file(p->root_fd, "state.json", text, strlen(text), 0600, err);
}

/* The stack is the first one, or its manifest is lost. Without a state for commit the user layer keeps what it knows. */
static int write_base(struct prepare *p, const struct mlimg_manifest *merged, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_lowers_close) struct mlimg_lowers lowers = {.n = 0};
	struct mlimg_path_classes *classes = mlimg_path_classes_new();
	int r;

	if (!classes)
		return mlimg_err_set(err, ENOMEM, "prepare");
	p->next.generation = p->boot.generation;
	p->next.stack = p->boot.stack;
	r = mlimg_base_write(p->dir_fd, merged, &p->next, err);
	if (r == 0) {
		mlimg_lowers_open(p->root_fd, is_index(p), p->layers, p->n_layers, &lowers);
		if (mlimg_base_write_texts(p->dir_fd, merged, &lowers, classes, &p->next, err) < 0)
			mlimg_boot_note(
				&p->boot, "texts are not kept for the next change: %s", err->text);
	}
	mlimg_path_classes_free(classes);
	if (!mlimg_is_no_room(r))
		return r < 0 ? r : leave_state(p, err);
	mlimg_boot_note_no_room(&p->boot, "the base manifest");
	mlimg_base_remove_leftovers(p->dir_fd, p->old.generation);
	return 0;
}

static struct mlimg_reconciling reconciling(struct prepare *p)
{
	p->next.generation = p->boot.generation;
	p->next.stack = p->boot.stack;
	return (struct mlimg_reconciling){.root_fd = p->root_fd,
		.dir_fd = p->dir_fd,
		.user = &p->user,
		.layers = p->layers,
		.n_layers = p->n_layers,
		.is_index = is_index(p),
		.is_unionfs = is_unionfs(p),
		.is_dry = p->wanted->mode != MLIMG_BOOT_NORMAL,
		.old = &p->old,
		.next = &p->next,
		.boot = &p->boot};
}

static int renew_base(struct prepare *p, struct mlimg_err *err)
{
	struct mlimg_reconciling reconciling_ = reconciling(p);
	int r = mlimg_base_merge(
		p->layers, p->n_layers, p->composed.composed.manifest, &p->merged, err);

	if (r < 0)
		return r;
	if (p->boot.change != MLIMG_BOOT_CHANGED)
		return write_base(p, p->merged.merged, err);
	r = mlimg_reconcile(&reconciling_, p->merged.merged, err);
	return r < 0 ? r : 0;
}

/* The same stack through another driver, or of other layers: the state is to say what was last. */
static int note_stack(
	struct prepare *p, const struct mlimg_boot_state *state, struct mlimg_err *err)
{
	p->next = *state;
	p->next.stack = p->boot.stack;
	return leave_state(p, err);
}

/* @return 0; 1 when the stack is not the one before, or the change to the present one cannot be taken back */
static int roll_back(struct prepare *p, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_boot_state *former = malloc(sizeof(*former));
	struct mlimg_reconciling reconciling_ = reconciling(p);
	int r;

	if (!former)
		return mlimg_err_set(err, ENOMEM, "prepare");
	if (p->wanted->mode != MLIMG_BOOT_NORMAL ||
		!mlimg_change_find_former(p->dir_fd, &p->old, former) ||
		!mlimg_boot_stack_shows_same(&former->stack, &p->boot.stack))
		return 1;
	r = mlimg_reconcile_roll_back(&reconciling_, former, err);
	if (r || mlimg_boot_stack_is_same(&p->next.stack, &p->boot.stack))
		return r;
	*former = p->next;
	return note_stack(p, former, err);
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
	if (p->boot.change == MLIMG_BOOT_CHANGED) {
		r = roll_back(p, err);
		return r == 1 ? renew_base(p, err) : r;
	}
	if (p->wanted->mode != MLIMG_BOOT_NORMAL)
		return 0;
	if (p->boot.change == MLIMG_BOOT_FIRST || !mlimg_base_is_there(p->dir_fd, &p->old))
		return renew_base(p, err);
	return mlimg_boot_stack_is_same(&p->old.stack, &p->boot.stack)
		? 0
		: note_stack(p, &p->old, err);
}

/* A root that nobody can write to keeps the caches that it has; a rescue has other worries. */
static int note_rebuild(struct prepare *p, struct mlimg_err *err)
{
	enum mlimg_boot_mode mode = p->wanted->mode;

	if (mode != MLIMG_BOOT_NORMAL && mode != MLIMG_BOOT_VOLATILE)
		return 0;
	return mlimg_rebuild_note(
		&(struct mlimg_rebuild_boot){.root_fd = p->root_fd,
			.dir_fd = p->dir_fd,
			.layers = p->layers,
			.n_layers = p->n_layers,
			/* A change that was taken back has brought the caches back. */
			.has_changed = p->boot.change != MLIMG_BOOT_NONE &&
				p->boot.reconciled != MLIMG_BOOT_ROLLED_BACK,
			.may_write = mode == MLIMG_BOOT_NORMAL,
			.generation = p->boot.generation},
		err);
}

/* On the console as well as in boot.json: whoever misses his file looks there. */
static void tell_protected(struct prepare *p)
{
	const struct mlimg_protect *protect = &p->protect;
	struct mlimg_boot *boot = &p->boot;

	for (size_t i = 0; i < protect->n_notes; i++)
		mlimg_boot_note(boot, "%s", protect->notes[i]);
	if (!protect->n_aside)
		return;
	boot->protected_aside = protect->aside;
	boot->n_protected = protect->n_aside;
	while (boot->n_protected_paths < MLIMG_PROTECT_SHOWN_MAX &&
		boot->n_protected_paths < protect->n_aside) {
		size_t i = boot->n_protected_paths++;

		p->protected_paths[i] = protect->shown[i];
	}
	boot->protected_paths = p->protected_paths;
	printf("the user layer covered %s", protect->shown[0]);
	if (protect->n_aside > 1)
		printf(" and %zu more", protect->n_aside - 1);
	printf(", which %s protected: set aside in %s/user/mlimg/aside/%s\n",
		protect->n_aside > 1 ? "are" : "is", p->wanted->root, protect->aside);
	fflush(stdout);
}

/* Last of what is done to the upper: whatever was put there before may cover something. */
static int protect(struct prepare *p, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_lowers_close) struct mlimg_lowers lowers;
	int r;

	mlimg_lowers_open(p->root_fd, is_index(p), p->layers, p->n_layers, &lowers);
	r = mlimg_protect_leave(p->root_fd, &p->protect, err);
	if (r == 0 && p->wanted->mode != MLIMG_BOOT_RESCUE)
		r = mlimg_protect_upper(p->user.fd, &lowers, is_unionfs(p),
			p->wanted->mode == MLIMG_BOOT_NORMAL, &p->protect, err);
	if (r < 0)
		return r;
	tell_protected(p);
	return 0;
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
	r = read_protected(p, err);
	if (r == 0)
		r = compose(p, err);
	if (r == 0 && p->wanted->mode != MLIMG_BOOT_RESCUE)
		r = compare_and_note(p, err);
	if (r == 0)
		r = protect(p, err);
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
	if (r == 0)
		mlimg_reconcile_print(&p->boot);
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
	return r < 0 ? mlimg_cli_fail(MLIMG_AGENT_PROG, &err)
		     : mlimg_cli_close_stdout(MLIMG_AGENT_PROG);
}

int mlimg_call_prepare(int argc, char **argv)
{
	struct mlimg_wanted wanted;
	int r = mlimg_prepare_options(argc, argv, &wanted);

	return r >= 0 ? r : run(&wanted);
}
