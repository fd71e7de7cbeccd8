/* SPDX-License-Identifier: MIT */
/*
 * `mlimg-agent prepare`: the user layer's file system, what is to be ended or reset in it, and what
 * of it covers protected paths.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/grow.h"
#include "guest-agent/identity.h"
#include "guest-agent/misplaced.h"
#include "guest-agent/prepare-impl.h"
#include "guest-agent/reconcile.h"
#include "guest-agent/reset.h"
#include "libmlimg/cleanup.h"

/* @return 0; 1 in a rescue without a user layer */
int mlimg_prepare_open_user(struct mlimg_prepare *p, struct mlimg_err *err)
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

/*
 * What an earlier boot began comes before everything else that looks at the upper, or takes it
 * away.
 */
static int end_change(struct mlimg_prepare *p, struct mlimg_err *err)
{
	if (p->wanted->mode == MLIMG_BOOT_NORMAL)
		return mlimg_reconcile_resume(p->user.fd, &p->boot, err);
	if (p->dir_fd >= 0 && mlimg_change_is_pending(p->dir_fd))
		mlimg_boot_note(&p->boot,
			"a change of the user layer was interrupted, and shows in part: the next "
			"boot that keeps changes ends it");
	if (p->dir_fd >= 0 && mlimg_reset_is_pending(p->dir_fd))
		mlimg_boot_note(&p->boot,
			"a factory reset was interrupted, and shows in part: the next boot that "
			"keeps changes ends it");
	return 0;
}

/* Two guests of one identity are no reason to stop: where there is no room, the next boot tries again. */
static void renew_identity(struct mlimg_prepare *p)
{
	const struct mlimg_wanted *w = p->wanted;
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t n = 0;
	int r = mlimg_identity_renew(p->user.fd, w->identity, &n, &err);

	if (r < 0) {
		mlimg_boot_note(&p->boot,
			"this guest is a copy, and has the machine id or the host keys of the "
			"other: "
			"%s",
			err.text);
	} else if (n) {
		printf("the guest is a copy: what told it from others is set aside in "
		       "%s/user/mlimg/aside/identity-%s\n",
			w->root, w->identity);
		fflush(stdout);
	}
}

/* What was done to the user layer, and what is still to be done before it is read. */
int mlimg_prepare_user(struct mlimg_prepare *p, struct mlimg_err *err)
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
	r = mlimg_prepare_check_state(p, err);
	if (r < 0)
		return r;
	/* A file system that stays small is no reason to stop: it was large enough until now. */
	if (w->dev && mlimg_grow(w->dev, p->user.fd, &user->grown_from, &user->grown_to, err) < 0)
		mlimg_boot_note(&p->boot, "the user layer did not grow: %s", err->text);
	r = w->mode == MLIMG_BOOT_NORMAL ? mlimg_misplaced_set_aside(p->dir_fd, &p->boot, err) : 0;
	if (r == 0)
		r = end_change(p, err);
	if (r == 0)
		r = mlimg_prepare_queue(p, err);
	if (r < 0 || w->mode != MLIMG_BOOT_NORMAL)
		return r;
	r = mlimg_reset(p->user.fd, w->reset, &user->reset, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "factory reset");
	if (w->identity)
		renew_identity(p);
	return 0;
}

/* On the console as well as in boot.json: whoever misses his file looks there. */
static void tell_protected(struct mlimg_prepare *p)
{
	const struct mlimg_protect *protect = &p->protect;
	struct mlimg_boot *boot = &p->boot;

	for (size_t i = 0; i < protect->n_notes; i++)
		mlimg_boot_note(boot, "%s", protect->notes[i]);
	if (!protect->n_aside)
		return;
	boot->protected_aside = protect->aside;
	boot->n_protected = protect->n_aside;
	while (boot->n_protected_paths < MLIMG_PROTECTED_SHOWN_MAX &&
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
int mlimg_prepare_protect(struct mlimg_prepare *p, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_lowers_close) struct mlimg_lowers lowers;
	int r;

	r = mlimg_lowers_open(
		p->root_fd, mlimg_prepare_is_index(p), p->layers, p->n_layers, &lowers, err);
	if (r == 0)
		r = mlimg_protect_leave(p->root_fd, &p->protect, err);
	if (r == 0 && p->wanted->mode != MLIMG_BOOT_RESCUE)
		r = mlimg_protect_upper(p->user.fd, &lowers, mlimg_prepare_is_unionfs(p),
			p->wanted->mode == MLIMG_BOOT_NORMAL, &p->protect, err);
	if (r < 0)
		return r;
	tell_protected(p);
	return 0;
}
