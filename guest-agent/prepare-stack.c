/* SPDX-License-Identifier: MIT */
/* `mlimg-agent prepare`: what the user layer last ran on, and what it runs on now. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/base.h"
#include "guest-agent/classes.h"
#include "guest-agent/convert.h"
#include "guest-agent/misplaced.h"
#include "guest-agent/prepare-impl.h"
#include "guest-agent/reconcile-report.h"
#include "guest-agent/reconcile.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

/* The modes that write nothing exclude a conversion: it is to be another boot's. */
static const char *without_mode(const struct mlimg_prepare *p, char ret_text[40])
{
	const char *mode = mlimg_boot_mode_name(p->wanted->mode);
	bool is_normal = p->wanted->mode == MLIMG_BOOT_NORMAL;

	snprintf(ret_text, 40, "%s%s", is_normal ? "" : " and without mlimg.",
		is_normal ? "" : mode);
	return ret_text;
}

static int refuse_other_form(const struct mlimg_prepare *p, struct mlimg_err *err)
{
	const char *old = p->old.stack.union_driver, *now = p->wanted->union_driver;
	char without[40], command[MLIMG_ERR_TEXT_SIZE] = "";

	if (p->wanted->mode == MLIMG_BOOT_NORMAL)
		snprintf(command, sizeof(command), ", or run 'mlimg-agent convert --to %s %s/user'",
			now, p->wanted->root);
	return mlimg_err_refuse(err,
		"user: the user layer '%s' was written by union driver '%s', which '%s' "
		"would misread; boot with mlimg.union=%s, or with mlimg.convert%s%s",
		p->user.info.name, old, now, old, without_mode(p, without), command);
}

/* @return 0; 1 when the user layer has never run */
static int read_state(struct mlimg_prepare *p, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	char without[40];
	size_t size;
	int r;

	if (mlimg_convert_is_pending(p->dir_fd))
		return mlimg_err_refuse(err,
			"user: a conversion of the user layer '%s' for another union driver was "
			"interrupted; boot with mlimg.convert%s, which ends it",
			p->user.info.name, without_mode(p, without));
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
		return refuse_other_form(p, err);
	return 0;
}

int mlimg_prepare_check_state(struct mlimg_prepare *p, struct mlimg_err *err)
{
	int r = p->wanted->mode == MLIMG_BOOT_RESCUE ? 0 : read_state(p, err);

	return r < 0 ? r : 0;
}

/* A change that was ended meanwhile may have written another state. */
static int compare_stacks(struct mlimg_prepare *p, struct mlimg_err *err)
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
		/* Of one that was ended meanwhile there is a note: the rest tells of this one. */
		mlimg_reported_forget(&p->boot);
		p->boot.change = MLIMG_BOOT_CHANGED;
		p->boot.generation++;
		p->boot.previous = &p->old.stack;
	}
	return 0;
}

/* What commit will write is left in /run/mlimg, so that it decides nothing itself. */
static int leave_state(struct mlimg_prepare *p, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	int r = mlimg_boot_state_to_json(&p->next, &text, err);

	return r < 0 ? r
		     : mlimg_replace_file(p->root_fd, "state.json", text, strlen(text), 0600, err);
}

static int read_classes(struct mlimg_prepare *p, const struct mlimg_manifest *merged,
	struct mlimg_lowers *lowers, struct mlimg_path_classes **ret, struct mlimg_err *err)
{
	mlimg_autoclose int upper_fd =
		openat(p->user.fd, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (upper_fd < 0)
		return mlimg_err_set(err, errno, "open user/upper");
	return mlimg_classes_declared(
		merged, lowers, upper_fd, mlimg_prepare_is_unionfs(p), &p->boot, ret, err);
}

/*
 * The stack is the first one, or its manifest is lost. Without a state for commit the user layer
 * keeps what it knows.
 */
static int write_base(
	struct mlimg_prepare *p, const struct mlimg_manifest *merged, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_lowers_close) struct mlimg_lowers lowers = {.n = 0};
	struct mlimg_path_classes *classes = NULL;
	int r;

	p->next.generation = p->boot.generation;
	p->next.stack = p->boot.stack;
	r = mlimg_base_write(p->dir_fd, merged, &p->next, err);
	if (r == 0 &&
		(mlimg_lowers_open(p->root_fd, mlimg_prepare_is_index(p), p->layers, p->n_layers,
			 &lowers, err) < 0 ||
			read_classes(p, merged, &lowers, &classes, err) < 0 ||
			mlimg_base_write_texts(p->dir_fd, merged, &lowers, classes, &p->next, err) <
				0))
		mlimg_boot_note(&p->boot, "texts are not kept for the next change: %s", err->text);
	mlimg_path_classes_free(classes);
	if (!mlimg_is_no_room(r))
		return r < 0 ? r : leave_state(p, err);
	mlimg_boot_note_no_room(&p->boot, "the base manifest");
	mlimg_base_remove_leftovers(p->dir_fd, p->old.generation);
	return 0;
}

static struct mlimg_reconciling reconciling(struct mlimg_prepare *p)
{
	p->next.generation = p->boot.generation;
	p->next.stack = p->boot.stack;
	return (struct mlimg_reconciling){.root_fd = p->root_fd,
		.dir_fd = p->dir_fd,
		.user = &p->user,
		.layers = p->layers,
		.n_layers = p->n_layers,
		.is_index = mlimg_prepare_is_index(p),
		.is_unionfs = mlimg_prepare_is_unionfs(p),
		.is_dry = p->wanted->mode != MLIMG_BOOT_NORMAL,
		.upper_memory_max = p->wanted->upper_memory_max,
		.old = &p->old,
		.next = &p->next,
		.boot = &p->boot};
}

static int renew_base(struct mlimg_prepare *p, struct mlimg_err *err)
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
	struct mlimg_prepare *p, const struct mlimg_boot_state *state, struct mlimg_err *err)
{
	p->next = *state;
	p->next.stack = p->boot.stack;
	return leave_state(p, err);
}

/*
 * @return 0; 1 when the stack is not the one before, or the change to the present one cannot be
 *         taken back
 */
static int roll_back(struct mlimg_prepare *p, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_boot_state *former = malloc(sizeof(*former));
	struct mlimg_reconciling reconciling_ = reconciling(p);
	int r;

	if (!former)
		return mlimg_err_set(err, ENOMEM, "prepare");
	if (p->wanted->mode != MLIMG_BOOT_NORMAL)
		return 1;
	r = mlimg_change_find_former(p->dir_fd, &p->old, former, err);
	if (r < 0)
		return r;
	if (r == 0 || !mlimg_boot_stack_shows_same(&former->stack, &p->boot.stack))
		return 1;
	r = mlimg_reconcile_roll_back(&reconciling_, former, err);
	if (r || mlimg_boot_stack_is_same(&p->next.stack, &p->boot.stack))
		return r;
	*former = p->next;
	return note_stack(p, former, err);
}

/* Compare with what the user layer last ran on, and write down what it runs on now. */
int mlimg_prepare_stack(struct mlimg_prepare *p, struct mlimg_err *err)
{
	int r = compare_stacks(p, err);

	if (r == 0 && p->wanted->mode == MLIMG_BOOT_NORMAL)
		r = mlimg_misplaced_set_aside_of(p->dir_fd, p->boot.generation, &p->boot, err);
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
