/* SPDX-License-Identifier: MIT */
/*
 * `mlimg-agent prepare`: between mounting the layers and making one tree of them. When the stack is
 * another one than the user layer last ran on, the upper is brought into agreement with it, or back
 * to what it was (reconcile.h), and the new state is recorded. When it is the first one, what is
 * written into the user layer's /mlimg means nothing before `commit` has written the state that
 * names it. In the modes that leave the user layer alone nothing is written there at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/calls.h"
#include "guest-agent/hidden.h"
#include "guest-agent/prepare-impl.h"
#include "guest-agent/rebuild.h"
#include "guest-agent/reconcile.h"
#include "guest-agent/room.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/remove-tree.h"
#include "tools/cli.h"

/* With an index the layers are not mounted themselves: the index has what is read of them. */
static int open_read_only(struct mlimg_prepare *p, struct mlimg_err *err)
{
	struct mlimg_expected layers[MLIMG_BOOT_LAYERS_MAX];
	size_t n = mlimg_wanted_layers(p->wanted, layers);
	int r = 0;

	if (mlimg_prepare_is_index(p)) {
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

static int open_layers(struct mlimg_prepare *p, struct mlimg_err *err)
{
	int r = open_read_only(p, err);

	for (size_t i = 0; i < p->n_layers && r == 0; i++) {
		r = mlimg_stack_push(&p->stack, &p->layers[i].info, err);
		if (r < 0)
			r = mlimg_err_wrap(err, r, "%s", p->layers[i].where);
	}
	return r;
}

/* Built over another version is no reason to stop: that is what replacing the system beneath is. */
static void note_built_over(struct mlimg_prepare *p)
{
	const char *missing;
	size_t layer;

	if (!mlimg_stack_is_built_over(&p->stack, &layer, &missing))
		mlimg_boot_note(&p->boot,
			"software layer '%s' was built over a layer that is not beneath it: %s",
			p->layers[layer].info.name, missing);
}

/*
 * Before anything is composed, and without a tree of a former attempt: that may be the user's to
 * change.
 */
static int read_protected(struct mlimg_prepare *p, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_lowers_close) struct mlimg_lowers lowers = {.n = 0};
	int r = mlimg_prepare_is_index(p) ? 0 : mlimg_remove_tree(p->root_fd, MLIMG_COMPOSED_DIR);

	if (r < 0)
		return mlimg_err_set(err, r, "remove '" MLIMG_COMPOSED_DIR "'");
	r = mlimg_lowers_open(
		p->root_fd, mlimg_prepare_is_index(p), p->layers, p->n_layers, &lowers, err);
	return r < 0 ? r : mlimg_protect_read(&lowers, &p->protect, err);
}

/*
 * A tree in the user layer is the user's to change, as the upper is. Where something vouches for
 * the layers, or a user may not cover all of them, it is composed in every boot.
 */
static bool may_keep_composed(const struct mlimg_prepare *p)
{
	return !mlimg_prepare_is_index(p) && strcmp(p->wanted->verity, "off") == 0 &&
		!p->protect.declared.n_patterns;
}

/*
 * What is above all layers is a part of the stack, so it is there before the stack is compared, and
 * before anything reads what it shows.
 */
static int compose(struct mlimg_prepare *p, struct mlimg_err *err)
{
	static const struct mlimg_composed_stack nothing;
	bool may_keep = may_keep_composed(p), has_place = mlimg_prepare_is_index(p) || may_keep;
	struct mlimg_composed_place place = {.root_fd = p->root_fd,
		.dir_fd = p->wanted->mode == MLIMG_BOOT_NORMAL && has_place ? p->dir_fd : -1,
		.stack_id = p->boot.stack.stack_id};
	int r;

	if (mlimg_prepare_is_index(p))
		r = mlimg_composed_of_index(&p->layers[0], &p->composed, err);
	else if (may_keep && p->user.fd >= 0 &&
		mlimg_composed_is_kept(&p->user, place.stack_id, &p->composed))
		r = !(place.is_kept = true);
	else
		r = mlimg_composed_make(
			p->root_fd, p->layers, p->n_layers, &p->merged, &p->composed, err);
	if (r == 0)
		r = mlimg_composed_put(
			&place, mlimg_prepare_is_index(p) ? &nothing : &p->composed, err);
	if (r == 1)
		mlimg_boot_note(&p->boot,
			"the user layer has no room for the composed databases: they take memory");
	strcpy(p->boot.stack.composed, p->composed.digest);
	return r < 0 ? r : 0;
}

static int write_boot(struct mlimg_prepare *p, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	int r;

	p->boot.root = p->wanted->root;
	p->boot.mode = p->wanted->mode;
	r = mlimg_boot_to_json(&p->boot, &text, err);
	return r < 0 ? r
		     : mlimg_replace_file(p->root_fd, "boot.json", text, strlen(text), 0644, err);
}

/* A root that nobody can write to keeps the caches that it has; a rescue has other worries. */
static int note_rebuild(struct mlimg_prepare *p, struct mlimg_err *err)
{
	enum mlimg_boot_mode mode = p->wanted->mode;
	mlimg_autoclose int upper_fd = -1;

	if (mode != MLIMG_BOOT_NORMAL && mode != MLIMG_BOOT_VOLATILE)
		return 0;
	upper_fd = openat(p->user.fd, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return mlimg_rebuild_note(
		&(struct mlimg_rebuild_boot){.root_fd = p->root_fd,
			.dir_fd = p->dir_fd,
			.upper_fd = upper_fd,
			.layers = p->layers,
			.n_layers = p->n_layers,
			/*
			 * A change, and one that was taken back, has left its list with its state.
			 */
			.has_changed = p->boot.change != MLIMG_BOOT_NONE && !p->boot.reconciled,
			.may_write = mode == MLIMG_BOOT_NORMAL},
		err);
}

static int prepare(struct mlimg_prepare *p, struct mlimg_err *err)
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
		r = mlimg_prepare_open_user(p, err);
	if (r == 0)
		r = mlimg_prepare_user(p, err);
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
		r = mlimg_prepare_stack(p, err);
	if (r == 0)
		r = mlimg_prepare_protect(p, err);
	if (r == 0)
		r = note_rebuild(p, err);
	if (r == 0 && mlimg_prepare_is_unionfs(p))
		r = mlimg_hidden_write(p->wanted->root, p->layers, p->n_layers, err);
	if (p->wanted->mode == MLIMG_BOOT_NORMAL && !mlimg_prepare_is_unionfs(p))
		mlimg_room_lend(p->root_fd, p->user.fd);
	return r < 0 ? r : write_boot(p, err);
}

int mlimg_prepare_run(const struct mlimg_wanted *wanted)
{
	mlimg_autofree struct mlimg_prepare *p = calloc(1, sizeof(*p));
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
		mlimg_reconcile_print(&p->boot, NULL);
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

	return r >= 0 ? r : mlimg_prepare_run(&wanted);
}
