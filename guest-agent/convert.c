/* SPDX-License-Identifier: MIT */
/* Carries out the plan of a conversion. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/convert-impl.h"
#include "guest-agent/file-flags.h"
#include "guest-agent/misplaced.h"
#include "guest-agent/queue-run.h"
#include "guest-agent/reconcile.h"
#include "guest-agent/reset.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

static int sync_all(struct mlimg_conversion *c, struct mlimg_err *err)
{
	int r = mlimg_conversion_step(c);

	if (r == 0 && syncfs(c->upper_fd) < 0)
		r = -errno;
	return r < 0 ? mlimg_err_set(err, r, "sync") : 0;
}

static int carry_out_all(
	struct mlimg_conversion *c, const struct mlimg_convert_plan *plan, struct mlimg_err *err)
{
	bool is_removing = false;
	int r = 0;

	for (const char *at = plan->text; at < plan->text + plan->size && r == 0;
		at += strlen(at) + 1) {
		if (!is_removing && strchr("rxm", *at)) {
			is_removing = true;
			r = sync_all(c, err);
			if (r < 0)
				return r;
		}
		r = mlimg_conversion_step(c);
		if (r == 0)
			r = mlimg_conversion_do(c, at);
		if (r < 0)
			return mlimg_err_set(err, r, "upper: '%s'", at);
	}
	unlinkat(c->work_fd, MLIMG_CONVERT_MAKING, AT_REMOVEDIR);
	return sync_all(c, err);
}

static int write_state(struct mlimg_conversion *c, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_boot_state *state = malloc(sizeof(*state));
	mlimg_autofree char *text = NULL;
	int r;

	if (!state)
		return mlimg_err_set(err, ENOMEM, "convert");
	*state = *c->state;
	strcpy(state->stack.union_driver,
		c->to_unionfs ? MLIMG_UNION_UNIONFS : MLIMG_UNION_OVERLAY);
	r = mlimg_boot_state_to_json(state, &text, err);
	if (r == 0)
		r = mlimg_conversion_step(c);
	if (r == 0)
		r = mlimg_replace_file(c->dir_fd, "state.json", text, strlen(text), 0644, err);
	if (r == 0)
		r = mlimg_conversion_step(c);
	if (r == 0 && (unlinkat(c->dir_fd, MLIMG_CONVERT_PLAN, 0) < 0 || fsync(c->dir_fd) < 0))
		r = mlimg_err_set(err, errno, "remove '" MLIMG_CONVERT_PLAN "'");
	return r;
}

/*
 * What is immutable or append-only would stop the steps, so that gets a mark instead when it is
 * known that there is a plan; which is then made of what there is.
 */
static int make_plan(
	struct mlimg_conversion *c, struct mlimg_convert_plan *ret_plan, struct mlimg_err *err)
{
	int r = mlimg_convert_make_plan(c->user, c->state, ret_plan, err);
	size_t n = 0;

	if (r == 0)
		r = mlimg_file_flags_lift_all(c->upper_fd, &n, err);
	if (r < 0 || n == 0)
		return r;
	free(mlimg_steal(&ret_plan->text));
	return mlimg_convert_make_plan(c->user, c->state, ret_plan, err);
}

/* A plan that is there already was stopped, and is ended first. */
static int find_plan(
	struct mlimg_conversion *c, struct mlimg_convert_plan *ret_plan, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r;

	if (mlimg_convert_is_pending(c->dir_fd)) {
		r = mlimg_mounted_read(c->user, "mlimg/" MLIMG_CONVERT_PLAN, MLIMG_CONVERT_PLAN_MAX,
			&text, &size, err);
		return r < 0 ? r : mlimg_convert_parse(text, size, ret_plan, err);
	}
	r = make_plan(c, ret_plan, err);
	if (r == 0)
		r = mlimg_convert_put(ret_plan, &text, &size, err);
	if (r == 0)
		r = mlimg_conversion_step(c);
	return r < 0 ? r : mlimg_replace_file(c->dir_fd, MLIMG_CONVERT_PLAN, text, size, 0600, err);
}

static int open_part(
	const struct mlimg_conversion *c, const char *name, int *ret_fd, struct mlimg_err *err)
{
	*ret_fd = openat(c->user->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret_fd < 0 ? mlimg_err_set(err, errno, "open '%s'", name) : 0;
}

/*
 * What an earlier boot began comes first: a change's steps are in the present form, and a reset
 * puts the present state beside the upper that it takes away. A conversion that was stopped is of
 * the upper that is there.
 */
static int end_begun(struct mlimg_conversion *c, struct mlimg_boot *boot, struct mlimg_err *err)
{
	struct mlimg_queue_run queue = {.user_fd = c->user->fd};
	struct mlimg_boot_reset reset;
	int r = mlimg_misplaced_set_aside(c->dir_fd, boot, err);

	if (r == 0)
		r = mlimg_reconcile_resume(c->user->fd, boot, err);
	if (r < 0 || mlimg_convert_is_pending(c->dir_fd))
		return r;
	r = mlimg_queue_end(&queue, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "end what is queued");
	if (queue.number)
		mlimg_boot_note(boot,
			"what was queued, which an earlier boot had begun, was ended: see "
			"user/mlimg/reports/" MLIMG_QUEUE_NAME "%" PRIu64 ".txt",
			queue.number);
	r = mlimg_reset(c->user->fd, NULL, &reset, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "end a factory reset that was interrupted");
	if (reset.word[0])
		mlimg_boot_note(boot,
			"a factory reset, which an earlier boot had begun, was ended: what it set "
			"aside is in user/mlimg/aside/%s",
			reset.aside);
	return 0;
}

static int open_all(struct mlimg_conversion *c, struct mlimg_boot *boot, struct mlimg_err *err)
{
	int r = open_part(c, "mlimg", &c->dir_fd, err);

	if (r == 0)
		r = end_begun(c, boot, err);
	if (r == 0)
		r = open_part(c, "upper", &c->upper_fd, err);
	return r < 0 ? r : open_part(c, "work", &c->work_fd, err);
}

static void conversion_done(struct mlimg_conversion *c)
{
	mlimg_cleanup_close(&c->upper_fd);
	mlimg_cleanup_close(&c->work_fd);
	mlimg_cleanup_close(&c->dir_fd);
	mlimg_manifest_free(c->base);
}

static int convert_once(struct mlimg_conversion *c, uint64_t *ret_n, struct mlimg_err *err)
{
	struct mlimg_convert_plan plan = {.text = NULL};
	int r = find_plan(c, &plan, err);

	c->to_unionfs = plan.to_unionfs;
	if (r == 0)
		r = carry_out_all(c, &plan, err);
	if (r == 0)
		r = write_state(c, err);
	if (r == 0)
		*ret_n = plan.n_marks;
	free(plan.text);
	return r;
}

/* A user layer that has never run was written by nobody. */
static int check_unused(const struct mlimg_conversion *c, struct mlimg_err *err)
{
	int r = mlimg_dir_has_entries(c->upper_fd, ".");

	if (r < 0)
		return mlimg_err_set(err, r, "read 'upper'");
	return r ? mlimg_err_refuse(err,
			   "mlimg/state.json is missing, which would tell what driver wrote "
			   "upper; restore it, or boot once with that driver")
		 : 0;
}

/* @return 0; 1 when there is none */
static int read_state(
	const struct mlimg_conversion *c, struct mlimg_boot_state *state, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_mounted_read(
		c->user, "mlimg/state.json", MLIMG_BOOT_STATE_MAX, &text, &size, err);

	if (r == -ENOENT)
		return 1;
	return r < 0 ? r : mlimg_boot_state_from_json(text, size, state, err);
}

bool mlimg_convert_is_pending(int dir_fd)
{
	return faccessat(dir_fd, MLIMG_CONVERT_PLAN, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int mlimg_convert(const struct mlimg_mounted *user, const char *to, mlimg_convert_step_fn *step_fn,
	void *ctx, struct mlimg_boot *boot, uint64_t *ret_n, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_boot_state *state = malloc(sizeof(*state));
	struct mlimg_conversion c = {.user = user,
		.state = state,
		.upper_fd = -1,
		.work_fd = -1,
		.dir_fd = -1,
		.step = step_fn,
		.ctx = ctx};
	int r = state ? open_all(&c, boot, err) : mlimg_err_set(err, ENOMEM, "convert");

	*ret_n = 0;
	while (r == 0) {
		r = read_state(&c, state, err);
		if (r == 1) {
			r = check_unused(&c, err);
			break;
		}
		if (r < 0 ||
			(!mlimg_convert_is_pending(c.dir_fd) &&
				mlimg_boot_is_same_upper(state->stack.union_driver, to)))
			break;
		r = convert_once(&c, ret_n, err);
	}
	conversion_done(&c);
	return r;
}
