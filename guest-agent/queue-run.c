/* SPDX-License-Identifier: MIT */
#include "guest-agent/queue-run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/origins.h"
#include "guest-agent/queue-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/manifest-lex.h"
#include "libmlimg/remove-tree.h"
#include "libmlimg/report.h"

#define BAD_TRIES 1000000

MLIMG_DEFINE_CLEANUP(struct mlimg_queue, mlimg_queue_free)

static int read_number(struct queue_job *j)
{
	mlimg_autofree char *text = NULL;
	struct mlimg_span rest;
	uint64_t n;
	size_t size;
	int r = mlimg_read_beneath(
		j->dir_fd, QUEUE_NUMBER, QUEUE_NUMBER_SIZE - 1, &text, &size, j->err);

	if (r < 0)
		return r;
	rest = (struct mlimg_span){text, size};
	if (!mlimg_lex_number(mlimg_span_cut(&rest, '\n'), MLIMG_BOOT_GENERATION_MAX, &n) ||
		n == 0 || rest.size > 0)
		return mlimg_err_refuse(j->err, QUEUE_NUMBER ": it is none");
	queue_name(j, n);
	return 0;
}

/* From here there is no way but to the end. */
static int decide(struct queue_job *j)
{
	int own_fd = j->c.own_fd, r = mlimg_change_sync(&j->c);

	if (r == 0)
		r = mlimg_change_step(&j->c);
	if (r == 0 &&
		renameat2(own_fd, MLIMG_QUEUE_NEW, own_fd, MLIMG_QUEUE_RUN, RENAME_NOREPLACE) < 0)
		r = -errno;
	if (r == 0 && fsync(own_fd) < 0)
		r = -errno;
	return r < 0 ? mlimg_err_set(j->err, r, "user/mlimg: begin what is queued") : 0;
}

/* --- to the end --- */

static int open_run(struct queue_job *j)
{
	char path[QUEUE_NAME_SIZE + 8];
	int r = j->dir_fd = queue_open_dir(j->c.own_fd, MLIMG_QUEUE_RUN);

	if (r < 0)
		return mlimg_err_set(j->err, r, "open");
	r = read_number(j);
	if (r < 0)
		return r;
	r = j->c.taken_fd = queue_open_dir(j->dir_fd, "taken");
	if (r < 0)
		return mlimg_err_set(j->err, r, "open 'taken'");
	r = j->c.aside_fd = queue_open_dir(j->dir_fd, QUEUE_ASIDE);
	if (r == -ENOENT) {
		snprintf(path, sizeof(path), QUEUE_ASIDE "/%s", j->name);
		r = j->c.aside_fd = queue_open_dir(j->c.own_fd, path);
	}
	/* Nothing is set aside. */
	return r < 0 && r != -ENOENT ? mlimg_err_set(j->err, r, "open '" QUEUE_ASIDE "'") : 0;
}

static int carry_out(struct queue_job *j)
{
	mlimg_cleanup(mlimg_undo_log_done) struct mlimg_undo_log log = {0};
	int r = mlimg_undo_log_read(j->dir_fd, &log, j->err);

	if (r < 0)
		return r;
	j->c.is_unionfs = log.is_unionfs;
	r = mlimg_change_carry_out(&j->c, &log, j->err);
	if (r == 0 && !log.is_unionfs && log.n_records) {
		r = mlimg_change_step(&j->c);
		r = r < 0 ? mlimg_err_set(j->err, r, "user/upper")
			  : mlimg_origins_forget(j->c.upper_fd, j->err);
	}
	return r;
}

/* To its place, unless it was moved or is not there. */
static int put_in_place(struct queue_job *j, const char *name, const char *dir, const char *ending)
{
	mlimg_autoclose int to_fd = queue_open_dir(j->c.own_fd, dir);
	char to[QUEUE_NAME_SIZE + 8];
	int r = mlimg_change_has(j->dir_fd, name);

	snprintf(to, sizeof(to), "%s%s", j->name, ending);
	if (r == 0)
		return 0;
	if (r > 0)
		r = to_fd < 0 ? to_fd : mlimg_change_step(&j->c);
	if (r == 0 && renameat2(j->dir_fd, name, to_fd, to, RENAME_NOREPLACE) < 0)
		r = -errno;
	return r < 0 ? mlimg_err_set(j->err, r, "make 'user/mlimg/%s/%s'", dir, to) : 0;
}

static int put_all_in_place(struct queue_job *j)
{
	int r = put_in_place(j, QUEUE_ASIDE, QUEUE_ASIDE, "");

	if (r == 0)
		r = put_in_place(j, "report.json", QUEUE_REPORTS, ".json");
	if (r == 0)
		r = put_in_place(j, "report.txt", QUEUE_REPORTS, ".txt");
	return r;
}

static void count(struct queue_job *j)
{
	uint64_t counts[MLIMG_N_VERDICTS], done[MLIMG_N_DONE];
	mlimg_autofree char *text = NULL;
	char name[QUEUE_NAME_SIZE + 16];
	size_t size;

	j->run->number = j->number;
	j->run->n_done = j->run->n_left = 0;
	snprintf(name, sizeof(name), QUEUE_REPORTS "/%s.json", j->name);
	if (mlimg_read_beneath_head(j->c.own_fd, name, MLIMG_REPORT_HEAD_MAX, &text, &size, NULL) <
			0 ||
		mlimg_report_read_counts(text, size, counts, done) < 0)
		return;
	j->run->n_left = done[MLIMG_DONE_NOTHING];
	j->run->n_done =
		done[MLIMG_DONE_DROPPED] + done[MLIMG_DONE_ASIDE] + done[MLIMG_DONE_JOINED];
}

/* What is in the queue and was not done stays; one that is damaged is seen to afterwards. */
static int leave_queue(struct queue_job *j)
{
	mlimg_cleanup(mlimg_queue_free_cleanup) struct mlimg_queue *done = NULL;
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_read_beneath(
		j->dir_fd, QUEUE_OPERATIONS, MLIMG_QUEUE_MAX, &text, &size, j->err);

	if (r == 0)
		r = mlimg_queue_parse(text, size, &done, j->err);
	if (r < 0)
		return r;
	r = mlimg_change_step(&j->c);
	if (r < 0)
		return mlimg_err_set(j->err, r, "queue");
	r = mlimg_queue_remove(j->c.own_fd, done, j->err);
	return r == -EUCLEAN ? 0 : r;
}

static int finish(struct queue_job *j)
{
	int own_fd = j->c.own_fd, r = put_all_in_place(j);

	if (r < 0)
		return r;
	r = mlimg_change_sync(&j->c);
	if (r < 0)
		return mlimg_err_set(j->err, r, "sync");
	count(j);
	r = leave_queue(j);
	if (r < 0)
		return r;
	r = mlimg_change_step(&j->c);
	if (r == 0 && renameat(own_fd, MLIMG_QUEUE_RUN, own_fd, MLIMG_QUEUE_OLD) < 0)
		r = -errno;
	if (r == 0 && fsync(own_fd) < 0)
		r = -errno;
	if (r < 0)
		return mlimg_err_set(j->err, r, "rename");
	(void)mlimg_remove_tree(own_fd, MLIMG_QUEUE_OLD);
	return 0;
}

/* --- all of it --- */

static int job_open(struct queue_job *j, struct mlimg_queue_run *run, struct mlimg_err *err)
{
	const char *what = "upper";

	*j = (struct queue_job){.run = run,
		.call = {.user_fd = run->user_fd, .step = run->step, .ctx = run->ctx},
		.c = MLIMG_CHANGE_CLOSED,
		.dir_fd = -1,
		.err = err};
	j->c.call = &j->call;
	j->c.is_unionfs = run->is_unionfs;
	j->c.upper_fd = queue_open_dir(run->user_fd, what);
	if (j->c.upper_fd >= 0)
		j->c.own_fd = queue_open_dir(run->user_fd, what = "mlimg");
	if (j->c.upper_fd < 0 || j->c.own_fd < 0)
		return mlimg_err_set(err, j->c.upper_fd < 0 ? j->c.upper_fd : j->c.own_fd,
			"open 'user/%s'", what);
	return 0;
}

static void job_close(struct queue_job *j)
{
	mlimg_change_close(&j->c);
	mlimg_cleanup_close(&j->dir_fd);
}

bool mlimg_queue_is_pending(int own_fd)
{
	return mlimg_change_has(own_fd, MLIMG_QUEUE_RUN) != 0;
}

/* Whoever wrote it, it must not stop a boot; and it is not thrown away. @why: in run->bad */
static int set_bad(struct mlimg_queue_run *run, int own_fd, const char *name, struct mlimg_err *err)
{
	char *to = run->bad_name;

	snprintf(run->bad, sizeof(run->bad), "%s", err->text);
	run->is_bad_begun = strcmp(name, MLIMG_QUEUE_RUN) == 0;
	for (int n = 1; n < BAD_TRIES; n++) {
		snprintf(to, sizeof(run->bad_name),
			n == 1 ? MLIMG_QUEUE_BAD : MLIMG_QUEUE_BAD "-%d", n);
		if (renameat2(own_fd, name, own_fd, to, RENAME_NOREPLACE) == 0)
			return fsync(own_fd) < 0 ? mlimg_err_set(err, errno, "sync") : 0;
		if (errno != EEXIST)
			break;
	}
	return mlimg_err_set(err, errno, "rename 'user/mlimg/%s'", name);
}

/*
 * No other try would do better: something is missing or in the way, so that it is not what this
 * module has written; or not allowed, as where somebody has set flags since it was begun. All that
 * was set aside is kept in what becomes queue.bad. Room, memory and a disk may be there again.
 */
static bool is_for_good(int r)
{
	return r == -EUCLEAN || r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -EEXIST ||
		r == -ENOTEMPTY || r == -EPERM || r == -EACCES;
}

/*
 * What was begun. @is_new: in this call, so that its operations do not wait on, of which each boot
 * would make another queue.bad. @return 0, -errno
 */
static int end_run(struct mlimg_queue_run *run, bool is_new, struct mlimg_err *err)
{
	struct queue_job j;
	int r = job_open(&j, run, err);

	if (r == 0)
		r = mlimg_change_has(j.c.own_fd, MLIMG_QUEUE_RUN);
	if (r > 0) {
		r = open_run(&j);
		if (r == 0)
			r = carry_out(&j);
		if (r == 0)
			r = finish(&j);
		if (is_for_good(r)) {
			r = set_bad(run, j.c.own_fd, MLIMG_QUEUE_RUN, err);
			if (r == 0 && is_new) {
				r = leave_queue(&j);
				r = is_for_good(r) ? 0 : r;
			}
		}
		if (r < 0)
			r = mlimg_err_wrap(err, r, "user/mlimg/" MLIMG_QUEUE_RUN);
	}
	job_close(&j);
	return r;
}

/* What waits. @return 0; 1 when it cannot be begun, -errno when nothing is as it was */
static int begin(struct mlimg_queue_run *run, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_queue_free_cleanup) struct mlimg_queue *queue = NULL;
	struct queue_job j;
	int r = job_open(&j, run, err);

	if (r == 0) {
		(void)mlimg_remove_tree(j.c.own_fd, MLIMG_QUEUE_OLD);
		r = mlimg_queue_read(j.c.own_fd, &queue, err);
		if (r == -EUCLEAN)
			r = set_bad(run, j.c.own_fd, MLIMG_QUEUE_FILE, err);
	}
	if (r == 0 && queue && queue->n) {
		r = queue_make_ready(&j, queue);
		if (r == 0)
			r = decide(&j);
		if (r < 0 && r != -ECANCELED && !mlimg_queue_is_pending(j.c.own_fd)) {
			(void)mlimg_remove_tree(j.c.own_fd, MLIMG_QUEUE_NEW);
			r = 1;
		}
	}
	job_close(&j);
	return r;
}

/* @return 1 when something waits, was begun or is left over, as in few boots; 0, -errno */
static int has_any(int own_fd)
{
	static const char *const names[] = {
		MLIMG_QUEUE_FILE, MLIMG_QUEUE_RUN, MLIMG_QUEUE_NEW, MLIMG_QUEUE_OLD};
	int r = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && r == 0; i++)
		r = mlimg_change_has(own_fd, names[i]);
	return r;
}

/* @is_end: only what was begun */
static int run_locked(struct mlimg_queue_run *run, bool is_end, struct mlimg_err *err)
{
	mlimg_autoclose int own_fd = queue_open_dir(run->user_fd, "mlimg"), lock = -1;
	int r;

	run->number = run->n_done = run->n_left = 0;
	run->bad[0] = '\0';
	if (own_fd < 0)
		return mlimg_err_set(err, own_fd, "open 'user/mlimg'");
	lock = mlimg_queue_lock(own_fd, err);
	if (lock < 0)
		return lock;
	r = has_any(own_fd);
	if (r <= 0)
		return r < 0 ? mlimg_err_set(err, r, "look into 'user/mlimg'") : 0;
	r = end_run(run, false, err);
	if (r < 0 || is_end)
		return r;
	r = begin(run, err);
	return r ? r : end_run(run, true, err);
}

int mlimg_queue_run(struct mlimg_queue_run *run, struct mlimg_err *err)
{
	return run_locked(run, false, err);
}

int mlimg_queue_end(struct mlimg_queue_run *run, struct mlimg_err *err)
{
	return run_locked(run, true, err);
}

/* Of unionfs-fuse's root the kernel remembers what was looked up for a day (unionfs.c). */
static void forget_names(void)
{
	mlimg_autoclose int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!mlimg_write_all(fd, "2\n", 2);
}

int mlimg_queue_run_live(struct mlimg_queue_run *run, const struct mlimg_queue_op *ops, size_t n,
	struct mlimg_err *err)
{
	mlimg_autoclose int own_fd = queue_open_dir(run->user_fd, "mlimg");
	int r = own_fd < 0 ? mlimg_err_set(err, own_fd, "open 'user/mlimg'")
			   : mlimg_queue_add(own_fd, ops, n, err);

	if (r == 0)
		r = mlimg_queue_run(run, err);
	forget_names();
	return r;
}
