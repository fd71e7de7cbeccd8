/* SPDX-License-Identifier: MIT */
/*
 * A change decided, carried out and ended. Its steps are in change-steps.c, the way back in
 * change-undo.c.
 */
#include "guest-agent/change.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "guest-agent/base.h"
#include "guest-agent/change-place.h"
#include "guest-agent/origins.h"
#include "guest-agent/rebuild.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/whiteout.h"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define PLAN_SIZE 128 /* reconcile.plan, NUL included */

/* --- the end --- */

/*
 * What has come or gone in the layers, and what the steps have taken away, may let a file show of
 * which something else is a copy: a log that was renamed, say, and an empty one in its place that
 * is now the same as the layer's.
 */
static int forget_origins(struct mlimg_change *c, struct mlimg_err *err)
{
	int r = c->is_unionfs ? 0 : mlimg_change_step(c);

	if (r < 0)
		return mlimg_err_set(err, r, "user/upper");
	return c->is_unionfs ? 0 : mlimg_origins_forget(c->upper_fd, err);
}

/* The base manifest and texts change places between /mlimg and undo/N. */
static int move_base(struct mlimg_change *c, uint64_t generation, bool is_back)
{
	static const char *const names[] = {"base.manifest", "base.texts"};
	int r = 0;

	for (size_t i = 0; i < 2 && r == 0; i++) {
		char name[MLIMG_CHANGE_NAME_SIZE];

		snprintf(name, sizeof(name), "%s.%" PRIu64, names[i], generation);
		r = is_back ? mlimg_change_rename(c, c->undo_fd, names[i], c->own_fd, name)
			    : mlimg_change_rename(c, c->own_fd, name, c->undo_fd, names[i]);
	}
	return r;
}

/* What is to be made anew on the other stack; what was made for this one is gone (rebuild.h). */
static int move_lists(struct mlimg_change *c)
{
	int r = mlimg_change_rename(
		c, c->new_fd, MLIMG_REBUILD_FILE, c->own_fd, MLIMG_REBUILD_FILE);

	if (r == 0 && unlinkat(c->own_fd, MLIMG_REBUILD_DERIVED, 0) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

static int finish(struct mlimg_change *c, uint64_t base, bool is_back, struct mlimg_err *err)
{
	int r = forget_origins(c, err);

	if (r < 0)
		return r;
	r = mlimg_change_sync(c);
	if (r == 0)
		r = move_base(c, base, is_back);
	if (r == 0)
		r = move_lists(c);
	if (r == 0)
		r = mlimg_change_rename(c, c->new_fd, "state.json", c->own_fd, "state.json");
	if (r == 0)
		r = mlimg_change_sync(c);
	if (r == 0)
		r = mlimg_change_step(c);
	if (r == 0 && unlinkat(c->own_fd, MLIMG_CHANGE_PLAN, 0) < 0 && errno != ENOENT)
		r = -errno;
	if (r == 0 && fsync(c->own_fd) < 0)
		r = -errno;
	return r < 0 ? mlimg_err_set(err, r, "user/mlimg: record the change") : 0;
}

/* --- all of it --- */

int mlimg_change_read_log(struct mlimg_change *c, struct mlimg_undo_log *ret, struct mlimg_err *err)
{
	int r = mlimg_undo_log_read(c->undo_fd, ret, err);

	if (r < 0)
		return mlimg_err_wrap(
			err, r, "user/mlimg/" MLIMG_CHANGE_UNDO "/%" PRIu64, c->generation);
	c->is_unionfs = ret->is_unionfs;
	c->call->n_steps = ret->n_records;
	return 0;
}

static void clean(struct mlimg_change *c, uint64_t undo, uint64_t base)
{
	mlimg_change_clean(c->own_fd, undo);
	mlimg_base_remove_leftovers(c->own_fd, base);
}

/* @return 0, or -errno. @former: the generation before, whose base manifest goes */
static int carry_out_change(struct mlimg_change *c, uint64_t former, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_undo_log_done) struct mlimg_undo_log log = {0};
	int r = mlimg_change_read_log(c, &log, err);

	if (r == 0) {
		r = mlimg_change_open_aside(c, c->generation, false);
		if (r == -ENOENT)
			r = 0; /* nothing is set aside */
		if (r < 0)
			(void)!mlimg_err_set(err, r, "open 'user/mlimg/" MLIMG_CHANGE_ASIDE "'");
	}
	if (r == 0)
		r = mlimg_change_carry_out(c, &log, err);
	if (r == 0)
		r = finish(c, former, false, err);
	if (r == 0)
		clean(c, c->generation, c->generation);
	return r;
}

int mlimg_change_read_state(
	int fd, const char *where, struct mlimg_boot_state *ret, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_read_beneath(fd, "state.json", MLIMG_BOOT_STATE_MAX, &text, &size, err);

	if (r == 0)
		r = mlimg_boot_state_from_json(text, size, ret, err);
	return r < 0 ? mlimg_err_wrap(err, r, "%s", where) : 0;
}

/* With the new state in its place it was written before. */
static int report(struct mlimg_change *c, uint64_t generation, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_boot_state *from = malloc(sizeof(*from)),
					       *to = malloc(sizeof(*to));
	int r;

	if (!c->call->report)
		return 0;
	if (!from || !to)
		return mlimg_err_set(err, ENOMEM, "roll back");
	r = mlimg_change_read_state(c->own_fd, "user/mlimg", from, err);
	if (r < 0 || from->generation >= generation)
		return r;
	r = mlimg_change_read_state(c->new_fd, "user/mlimg/" MLIMG_CHANGE_NEW, to, err);
	return r < 0 ? r : c->call->report(c->call, from, to, err);
}

static int open_own(int user_fd, struct mlimg_err *err)
{
	int fd = openat(user_fd, "mlimg", OPEN_DIR);

	return fd < 0 ? mlimg_err_set(err, errno, "open 'user/mlimg'") : fd;
}

/*
 * What a step puts, and the state that ends it all, are nowhere else: without them it would end
 * without what is the user's. Until its last part the state is there.
 */
static int check_whole(int user_fd, uint64_t generation, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_boot_state *state = calloc(1, sizeof(*state));
	mlimg_autoclose int own_fd = open_own(user_fd, err), new_fd = -1;
	int r;

	if (!state)
		return mlimg_err_set(err, ENOMEM, "look at 'user/mlimg'");
	if (own_fd < 0)
		return own_fd;
	r = mlimg_change_has(own_fd, MLIMG_CHANGE_NEW "/state.json");
	if (r < 0)
		return mlimg_err_set(err, r, "look at 'user/mlimg/" MLIMG_CHANGE_NEW "'");
	new_fd = openat(own_fd, r ? MLIMG_CHANGE_NEW : ".", OPEN_DIR);
	if (new_fd < 0)
		return mlimg_err_set(err, errno, "open 'user/mlimg/" MLIMG_CHANGE_NEW "'");
	r = mlimg_change_read_state(
		new_fd, r ? "user/mlimg/" MLIMG_CHANGE_NEW : "user/mlimg", state, err);
	if (r < 0 && r != -ENOENT && r != -EUCLEAN)
		return r;
	return r == 0 && state->generation == generation ? 0 : mlimg_change_refuse_parts(err);
}

static int carry_out_rollback(struct mlimg_change *c, uint64_t to, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_undo_log_done) struct mlimg_undo_log log = {0};
	int r = mlimg_change_read_log(c, &log, err);

	if (r == 0) {
		r = mlimg_change_give_room(c);
		if (r < 0)
			r = mlimg_err_set(err, r, "user/mlimg: make room");
	}
	if (r == 0)
		r = mlimg_change_undo_steps(c, &log, to, err);
	if (r == 0) {
		mlimg_change_tidy_aside(c->own_fd, to);
		r = report(c, to, err);
	}
	if (r == 0)
		r = finish(c, to, true, err);
	if (r == 0)
		clean(c, 0, to);
	return r;
}

bool mlimg_change_is_pending(int own_fd)
{
	return mlimg_change_has(own_fd, MLIMG_CHANGE_PLAN) != 0;
}

struct decided {
	bool is_rollback;
	uint64_t generation,
		other; /* to which it leads; that before, or that which is taken back */
};

static void print_decided(char *ret_line, size_t size, const struct decided *decided)
{
	snprintf(ret_line, size, "mlimg %s 1 %" PRIu64 " %" PRIu64 "\n",
		decided->is_rollback ? "rollback" : "change", decided->generation, decided->other);
}

/* Only what would be written is taken. */
static bool parse_decided(const char *text, struct decided *ret)
{
	const char *numbers = strstr(text, " 1 ");
	char again[PLAN_SIZE], *end;

	if (!numbers)
		return false;
	ret->is_rollback = strncmp(text, "mlimg rollback", 14) == 0;
	ret->generation = strtoull(numbers + 3, &end, 10);
	ret->other = strtoull(end, NULL, 10);
	print_decided(again, sizeof(again), ret);
	return strcmp(text, again) == 0 && ret->generation <= MLIMG_BOOT_GENERATION_MAX &&
		ret->other < ret->generation;
}

static int read_decided(int own_fd, struct decided *ret, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_read_beneath(own_fd, MLIMG_CHANGE_PLAN, PLAN_SIZE - 1, &text, &size, err);

	if (r < 0)
		return mlimg_err_wrap(err, r, "user/mlimg");
	return parse_decided(text, ret)
		? 0
		: mlimg_err_refuse(err,
			  "user/mlimg/" MLIMG_CHANGE_PLAN
			  " is damaged, so that it is not known what "
			  "was begun: copy the user layer's image, and write this line again or "
			  "remove it as mlimg-boot(7) says");
}

static int carry_out_decided(
	struct mlimg_change_call *call, const struct decided *decided, struct mlimg_err *err)
{
	struct mlimg_change c;
	int r = mlimg_change_open(
		call, decided->is_rollback ? decided->other : decided->generation, &c, err);

	call->is_rollback = decided->is_rollback;
	call->generation = decided->generation;
	if (r == 0)
		r = decided->is_rollback ? carry_out_rollback(&c, decided->generation, err)
					 : carry_out_change(&c, decided->other, err);
	mlimg_change_close(&c);
	call->is_done = r == 0;
	return r;
}

int mlimg_change_resume(struct mlimg_change_call *call, struct mlimg_err *err)
{
	mlimg_autoclose int own_fd = open_own(call->user_fd, err);
	struct decided decided;
	int r;

	call->is_done = false;
	if (own_fd < 0)
		return own_fd;
	r = mlimg_change_has(own_fd, MLIMG_CHANGE_PLAN);
	if (r <= 0)
		return r < 0 ? mlimg_err_set(err, r, "look at 'user/mlimg/" MLIMG_CHANGE_PLAN "'")
			     : 0;
	r = read_decided(own_fd, &decided, err);
	if (r == 0)
		r = check_whole(call->user_fd, decided.generation, err);
	return r < 0 ? r : carry_out_decided(call, &decided, err);
}

int mlimg_change_decide(struct mlimg_change_call *call, bool is_rollback, uint64_t generation,
	uint64_t other, struct mlimg_err *err)
{
	const struct decided decided = {is_rollback, generation, other};
	mlimg_autoclose int own_fd = open_own(call->user_fd, err);
	char line[PLAN_SIZE];
	int r;

	if (own_fd < 0)
		return own_fd;
	print_decided(line, sizeof(line), &decided);
	r = call->step && call->step(call->ctx) ? mlimg_err_set(err, ECANCELED, "stopped") : 0;
	if (r == 0 && syncfs(own_fd) < 0)
		r = mlimg_err_set(err, errno, "user/mlimg: sync");
	if (r == 0)
		r = mlimg_replace_file(own_fd, MLIMG_CHANGE_PLAN, line, strlen(line), 0600, err);
	return r < 0 ? r : carry_out_decided(call, &decided, err);
}

void mlimg_change_forget(int own_fd)
{
	mlimg_change_clean(own_fd, 0);
}
