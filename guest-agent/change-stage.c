/* SPDX-License-Identifier: MIT */
/*
 * What the operations (change-stage-ops.c) become together: a log, a state, and the room that they
 * need.
 */
#include "guest-agent/change-stage.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest-agent/base.h"
#include "guest-agent/change-stage-impl.h"
#include "guest-agent/upper-list.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

static void emit_times(struct staging *s)
{
	for (size_t i = 0; i < s->n_times; i++) {
		struct mlimg_undo_record record = {.op = 't',
			.path = s->times[i].path,
			.old_time = s->times[i].old_time,
			.new_time = s->times[i].new_time};

		stage_emit(s, &record);
	}
}

static int write_log(struct staging *s, int fd)
{
	emit_times(s);
	return s->log.has_failed ? stage_no_memory(s)
				 : mlimg_change_write_log(&s->c, fd, "log", &s->log, s->err);
}

/* Without it the way back knows less of copies; it is none the worse for the rest. */
static int write_paths(struct staging *s)
{
	struct mlimg_change_call *call = s->c.call;
	int r;

	if (!call->had)
		return 0;
	r = mlimg_upper_list_write(call->had, s->c.undo_fd, MLIMG_CHANGE_PATHS, s->err);
	call->is_had_lost = mlimg_is_no_room(r);
	return call->is_had_lost ? 0 : r;
}

static int write_left(struct staging *s)
{
	const struct mlimg_change_call *call = s->c.call;
	int r = 0;

	if (call->leaves_accounts)
		r = mlimg_replace_file(
			s->c.undo_fd, MLIMG_CHANGE_LEFT_ACCOUNTS, "", 0, 0600, s->err);
	if (r == 0 && call->leaves_packages)
		r = mlimg_replace_file(
			s->c.undo_fd, MLIMG_CHANGE_LEFT_PACKAGES, "", 0, 0600, s->err);
	return r;
}

static int write_all(
	struct staging *s, const struct mlimg_boot_state *old, const struct mlimg_boot_state *next)
{
	int r = write_log(s, s->c.undo_fd);

	if (r == 0)
		r = write_paths(s);
	if (r == 0)
		r = write_left(s);
	if (r == 0)
		r = mlimg_change_write_state(s->c.undo_fd, old, s->err);
	if (r == 0)
		r = mlimg_change_write_state(s->c.new_fd, next, s->err);
	return r < 0 ? r : mlimg_change_check_room(&s->c, &s->needs, s->err);
}

static int open_all(struct staging *s, struct mlimg_change_call *call,
	const struct mlimg_boot_state *old, const struct mlimg_boot_state *next)
{
	mlimg_autoclose int own_fd =
		openat(call->user_fd, "mlimg", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (own_fd < 0)
		return mlimg_err_set(s->err, errno, "open 'user/mlimg'");
	mlimg_change_clean(own_fd, old->generation);
	r = mlimg_change_open(call, next->generation, &s->c, s->err);
	return r < 0 ? r : mlimg_change_clear_aside(&s->c, next->generation, s->err);
}

static void staging_done(struct staging *s)
{
	mlimg_change_close(&s->c);
	mlimg_path_map_done(&s->gone);
	mlimg_path_map_done(&s->emptied);
	mlimg_path_map_done(&s->joined);
	mlimg_path_map_done(&s->made);
	mlimg_path_map_done(&s->timed);
	mlimg_arena_free(s->arena);
	free(s->times);
	free(s->log.data);
	free(s);
}

static const struct mlimg_change no_change = MLIMG_CHANGE_CLOSED;

static struct staging *staging_new(const struct mlimg_plan *plan, struct mlimg_err *err)
{
	struct staging *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->plan = plan;
	s->err = err;
	s->c = no_change;
	s->arena = mlimg_arena_new();
	if (s->arena)
		return s;
	staging_done(s);
	return NULL;
}

static int stage_ops(struct staging *s)
{
	int r = 0;

	mlimg_undo_log_put_head(s->c.is_unionfs, mlimg_text_put, &s->log);
	for (size_t i = 0; i < s->plan->n_ops && r == 0; i++)
		r = stage_op(s, &s->plan->ops[i]);
	return r;
}

int mlimg_change_stage_log(
	struct mlimg_change *c, const struct mlimg_plan *plan, int fd, struct mlimg_err *err)
{
	struct staging *s = staging_new(plan, err);
	int r;

	if (!s)
		return mlimg_err_set(err, ENOMEM, "make the change ready");
	s->c = *c;
	r = stage_ops(s);
	if (r == 0)
		r = write_log(s, fd);
	if (r == 0)
		r = mlimg_change_check_room(&s->c, &s->needs, err);
	*c = s->c; /* the descriptors are the caller's */
	s->c = no_change;
	staging_done(s);
	return r;
}

int mlimg_change_stage(struct mlimg_change_call *call, const struct mlimg_plan *plan,
	const struct mlimg_lowers *lowers, bool is_unionfs, const struct mlimg_boot_state *old,
	const struct mlimg_boot_state *next, struct mlimg_err *err)
{
	struct staging *s = staging_new(plan, err);
	int r;

	if (!s)
		return mlimg_err_set(err, ENOMEM, "make the change ready");
	s->lowers = lowers;
	r = open_all(s, call, old, next);
	s->c.is_unionfs = is_unionfs;
	if (r == 0)
		r = stage_ops(s);
	if (r == 0)
		r = stage_keep_rest(s);
	if (r == 0)
		r = write_all(s, old, next);
	staging_done(s);
	if (r < 0 && r != -ECANCELED)
		mlimg_change_unstage(call->user_fd, next->generation);
	return r;
}

void mlimg_change_unstage(int user_fd, uint64_t generation)
{
	mlimg_autoclose int own_fd =
		openat(user_fd, "mlimg", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (own_fd < 0)
		return;
	mlimg_change_clean(own_fd, generation - 1);
	mlimg_change_tidy_aside(own_fd, generation);
}
