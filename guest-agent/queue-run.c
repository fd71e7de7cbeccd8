/* SPDX-License-Identifier: MIT */
#include "guest-agent/queue-run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/change-place.h"
#include "guest-agent/change-stage.h"
#include "guest-agent/origins.h"
#include "guest-agent/queue-plan.h"
#include "guest-agent/remove-tree.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/manifest-lex.h"

#define OPERATIONS "operations"
#define NUMBER "number"
#define NUMBER_SIZE 24
#define ASIDE "aside"
#define REPORTS "reports"
#define NAME_SIZE 48 /* "queue-N.json" */
#define BAD_TRIES 1000000

MLIMG_DEFINE_CLEANUP(struct mlimg_queue, mlimg_queue_free)

/* What is done about a queue. */
struct job {
	struct mlimg_queue_run *run;
	struct mlimg_change_call call;
	struct mlimg_change c;
	int dir_fd; /* queue.new or queue.run, or -1 */
	uint64_t number;
	char name[NAME_SIZE]; /* "queue-N" */
	struct mlimg_err *err;
};

static const char meanings[] =
	"\n"
	"dropped  what you had deleted, or its mark, is gone: what the layers have there shows\n"
	"aside    what the layers have there shows; yours lies in /run/mlimg/user/mlimg/aside\n"
	"joined   a directory of yours shows what the layers have there, too\n"
	"stays    there was nothing to be done any more\n\n";

static int open_dir(int fd, const char *name)
{
	int dir = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return dir < 0 ? -errno : dir;
}

static int open_made(int fd, const char *name, mode_t mode)
{
	return mkdirat(fd, name, mode) < 0 && errno != EEXIST ? -errno : open_dir(fd, name);
}

static void name_job(struct job *j, uint64_t number)
{
	j->number = number;
	snprintf(j->name, sizeof(j->name), MLIMG_QUEUE_NAME "%" PRIu64, number);
}

/* --- the number --- */

/* @return N of queue-N and queue-N.json, 0 of another name */
static uint64_t number_of(const char *name)
{
	size_t size = strlen(MLIMG_QUEUE_NAME);
	struct mlimg_span rest = {name + size, 0}, number;
	uint64_t n;

	if (strncmp(name, MLIMG_QUEUE_NAME, size) != 0)
		return 0;
	rest.size = strlen(rest.at);
	number = mlimg_span_cut(&rest, '.');
	return mlimg_lex_number(number, MLIMG_BOOT_GENERATION_MAX, &n) ? n : 0;
}

static int find_greatest(int own_fd, const char *dir_name, uint64_t *n)
{
	mlimg_autoclosedir DIR *dir = mlimg_dir_open(own_fd, dir_name);
	const struct dirent *entry;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((errno = 0, entry = readdir(dir)))
		if (number_of(entry->d_name) > *n)
			*n = number_of(entry->d_name);
	return -errno;
}

/* The next one: nothing of an earlier queue is ever replaced. */
static int choose_number(struct job *j)
{
	uint64_t n = 0;
	int r = find_greatest(j->c.own_fd, REPORTS, &n);

	if (r == 0)
		r = find_greatest(j->c.own_fd, ASIDE, &n);
	if (r < 0)
		return mlimg_err_set(j->err, r, "count the reports");
	if (n == MLIMG_BOOT_GENERATION_MAX)
		return mlimg_err_set(j->err, 0, "no number after " MLIMG_QUEUE_NAME "%" PRIu64, n);
	name_job(j, n + 1);
	return 0;
}

static int write_number(struct job *j)
{
	char text[NUMBER_SIZE];

	snprintf(text, sizeof(text), "%" PRIu64 "\n", j->number);
	return mlimg_replace_file(j->dir_fd, NUMBER, text, strlen(text), 0600, j->err);
}

static int read_number(struct job *j)
{
	mlimg_autofree char *text = NULL;
	struct mlimg_span rest;
	uint64_t n;
	size_t size;
	int r = mlimg_read_beneath(j->dir_fd, NUMBER, NUMBER_SIZE - 1, &text, &size, j->err);

	if (r < 0)
		return r;
	rest = (struct mlimg_span){text, size};
	if (!mlimg_lex_number(mlimg_span_cut(&rest, '\n'), MLIMG_BOOT_GENERATION_MAX, &n) ||
		n == 0 || rest.size > 0)
		return mlimg_err_refuse(j->err, NUMBER ": it is none");
	name_job(j, n);
	return 0;
}

/* --- what is made ready --- */

/* A user layer that never ran has neither. */
static void read_state(struct job *j, uint64_t *ret_generation, char ret_id[MLIMG_SHA256_HEX_SIZE])
{
	mlimg_autofree struct mlimg_boot_state *state = calloc(1, sizeof(*state));
	mlimg_autofree char *text = NULL;
	size_t size;

	*ret_generation = 0;
	ret_id[0] = '\0';
	if (!state ||
		mlimg_read_beneath(
			j->c.own_fd, "state.json", MLIMG_BOOT_STATE_MAX, &text, &size, NULL) < 0 ||
		mlimg_boot_state_from_json(text, size, state, NULL) < 0)
		return;
	*ret_generation = state->generation;
	strcpy(ret_id, state->stack.stack_id);
}

static int write_reports(struct job *j, struct mlimg_report *report)
{
	mlimg_autofree char *json = NULL, *text = NULL;
	char title[96], id[MLIMG_SHA256_HEX_SIZE];
	uint64_t generation;
	size_t size;
	int r;

	read_state(j, &generation, id);
	r = mlimg_report_to_json(report, generation, id, id, &json, &size, j->err);
	if (r == 0)
		r = mlimg_replace_file(j->dir_fd, "report.json", json, size, 0644, j->err);
	if (r < 0)
		return r;
	snprintf(title, sizeof(title), "What was queued: %s", j->name);
	report->meanings = meanings;
	r = mlimg_report_to_text(report, title, &text, &size, j->err);
	return r < 0 ? r : mlimg_replace_file(j->dir_fd, "report.txt", text, size, 0644, j->err);
}

static int write_operations(struct job *j, const struct mlimg_queue *queue)
{
	struct mlimg_text text = {.data = NULL};
	int r;

	mlimg_queue_put(queue, mlimg_text_put, &text);
	r = text.has_failed
		? mlimg_err_set(j->err, ENOMEM, "write '" OPERATIONS "'")
		: mlimg_replace_file(j->dir_fd, OPERATIONS, text.data, text.size, 0600, j->err);
	free(text.data);
	return r;
}

/* Those that everything goes to in the end, so that there is room for them. */
static int make_places(struct job *j, bool sets_aside)
{
	static const struct {
		const char *name;
		mode_t mode;
	} places[] = {{REPORTS, 0755}, {ASIDE, 0700}};

	for (size_t i = 0; i < 1 + (size_t)sets_aside; i++) {
		mlimg_autoclose int fd = open_made(j->c.own_fd, places[i].name, places[i].mode);

		if (fd < 0)
			return mlimg_err_set(j->err, fd, "make 'user/mlimg/%s'", places[i].name);
	}
	if (!sets_aside)
		return 0;
	j->c.aside_fd = open_made(j->dir_fd, ASIDE, 0700);
	return j->c.aside_fd < 0
		? mlimg_err_set(j->err, j->c.aside_fd, "make '" MLIMG_QUEUE_NEW "/" ASIDE "'")
		: 0;
}

static int open_new(struct job *j)
{
	int r = mlimg_remove_tree(j->c.own_fd, MLIMG_QUEUE_NEW);

	if (r == 0 || r == -ENOENT)
		r = j->dir_fd = open_made(j->c.own_fd, MLIMG_QUEUE_NEW, 0700);
	if (r >= 0)
		r = j->c.taken_fd = open_made(j->dir_fd, "taken", 0700);
	return r < 0 ? mlimg_err_set(j->err, r, "make 'user/mlimg/" MLIMG_QUEUE_NEW "'") : 0;
}

static int make_ready(struct job *j, const struct mlimg_queue *queue)
{
	mlimg_cleanup(mlimg_report_done) struct mlimg_report report = {.n_rebuild = 0};
	mlimg_cleanup(mlimg_plan_done) struct mlimg_plan plan = {.n_ops = 0};
	int r = choose_number(j);

	if (r == 0)
		r = open_new(j);
	if (r == 0)
		r = mlimg_plan_init(&plan, j->err);
	if (r == 0)
		r = mlimg_report_init(&report, j->err);
	if (r == 0)
		r = mlimg_queue_plan(
			&j->c, queue, j->name, j->run->upper_memory_max, &plan, &report, j->err);
	if (r >= 0)
		r = make_places(j, r == 1);
	if (r == 0)
		r = write_number(j);
	if (r == 0)
		r = write_operations(j, queue);
	if (r == 0)
		r = write_reports(j, &report);
	if (r == 0)
		r = mlimg_change_stage_log(&j->c, &plan, j->dir_fd, j->err);
	return r;
}

/* From here there is no way but to the end. */
static int decide(struct job *j)
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

static int open_run(struct job *j)
{
	char path[NAME_SIZE + 8];
	int r = j->dir_fd = open_dir(j->c.own_fd, MLIMG_QUEUE_RUN);

	if (r < 0)
		return mlimg_err_set(j->err, r, "open");
	r = read_number(j);
	if (r < 0)
		return r;
	r = j->c.taken_fd = open_dir(j->dir_fd, "taken");
	if (r < 0)
		return mlimg_err_set(j->err, r, "open 'taken'");
	r = j->c.aside_fd = open_dir(j->dir_fd, ASIDE);
	if (r == -ENOENT) {
		snprintf(path, sizeof(path), ASIDE "/%s", j->name);
		r = j->c.aside_fd = open_dir(j->c.own_fd, path);
	}
	/* Nothing is set aside. */
	return r < 0 && r != -ENOENT ? mlimg_err_set(j->err, r, "open '" ASIDE "'") : 0;
}

static int carry_out(struct job *j)
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
static int put_in_place(struct job *j, const char *name, const char *dir, const char *ending)
{
	mlimg_autoclose int to_fd = open_dir(j->c.own_fd, dir);
	char to[NAME_SIZE + 8];
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

static int put_all_in_place(struct job *j)
{
	int r = put_in_place(j, ASIDE, ASIDE, "");

	if (r == 0)
		r = put_in_place(j, "report.json", REPORTS, ".json");
	if (r == 0)
		r = put_in_place(j, "report.txt", REPORTS, ".txt");
	return r;
}

static void count(struct job *j)
{
	uint64_t counts[MLIMG_N_VERDICTS], done[MLIMG_N_DONE];
	mlimg_autofree char *text = NULL;
	char name[NAME_SIZE + 16];
	size_t size;

	j->run->number = j->number;
	j->run->n_done = j->run->n_left = 0;
	snprintf(name, sizeof(name), REPORTS "/%s.json", j->name);
	if (mlimg_read_beneath_head(j->c.own_fd, name, MLIMG_REPORT_HEAD_MAX, &text, &size, NULL) <
			0 ||
		mlimg_report_read_counts(text, size, counts, done) < 0)
		return;
	j->run->n_left = done[MLIMG_DONE_NOTHING];
	j->run->n_done =
		done[MLIMG_DONE_DROPPED] + done[MLIMG_DONE_ASIDE] + done[MLIMG_DONE_JOINED];
}

/* What is in the queue and was not done stays; one that is damaged is seen to afterwards. */
static int leave_queue(struct job *j)
{
	mlimg_cleanup(mlimg_queue_free_cleanup) struct mlimg_queue *done = NULL;
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_read_beneath(j->dir_fd, OPERATIONS, MLIMG_QUEUE_MAX, &text, &size, j->err);

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

static int finish(struct job *j)
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

static int job_open(struct job *j, struct mlimg_queue_run *run, struct mlimg_err *err)
{
	const char *what = "upper";

	*j = (struct job){.run = run,
		.call = {.user_fd = run->user_fd, .step = run->step, .ctx = run->ctx},
		.c = MLIMG_CHANGE_CLOSED,
		.dir_fd = -1,
		.err = err};
	j->c.call = &j->call;
	j->c.is_unionfs = run->is_unionfs;
	j->c.upper_fd = open_dir(run->user_fd, what);
	if (j->c.upper_fd >= 0)
		j->c.own_fd = open_dir(run->user_fd, what = "mlimg");
	if (j->c.upper_fd < 0 || j->c.own_fd < 0)
		return mlimg_err_set(err, j->c.upper_fd < 0 ? j->c.upper_fd : j->c.own_fd,
			"open 'user/%s'", what);
	return 0;
}

static void job_close(struct job *j)
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
	char to[NAME_SIZE];

	snprintf(run->bad, sizeof(run->bad), "%s", err->text);
	for (int n = 1; n < BAD_TRIES; n++) {
		snprintf(to, sizeof(to), n == 1 ? MLIMG_QUEUE_BAD : MLIMG_QUEUE_BAD "-%d", n);
		if (renameat2(own_fd, name, own_fd, to, RENAME_NOREPLACE) == 0)
			return fsync(own_fd) < 0 ? mlimg_err_set(err, errno, "sync") : 0;
		if (errno != EEXIST)
			break;
	}
	return mlimg_err_set(err, errno, "rename 'user/mlimg/%s'", name);
}

/* Something is missing or in the way: it is not what this module has written. */
static bool is_foreign(int r)
{
	return r == -EUCLEAN || r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -EEXIST ||
		r == -ENOTEMPTY;
}

/* What was begun. @return 0, -errno */
static int end_run(struct mlimg_queue_run *run, struct mlimg_err *err)
{
	struct job j;
	int r = job_open(&j, run, err);

	if (r == 0)
		r = mlimg_change_has(j.c.own_fd, MLIMG_QUEUE_RUN);
	if (r > 0) {
		r = open_run(&j);
		if (r == 0)
			r = carry_out(&j);
		if (r == 0)
			r = finish(&j);
		if (is_foreign(r))
			r = set_bad(run, j.c.own_fd, MLIMG_QUEUE_RUN, err);
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
	struct job j;
	int r = job_open(&j, run, err);

	if (r == 0) {
		(void)mlimg_remove_tree(j.c.own_fd, MLIMG_QUEUE_OLD);
		r = mlimg_queue_read(j.c.own_fd, &queue, err);
		if (r == -EUCLEAN)
			r = set_bad(run, j.c.own_fd, MLIMG_QUEUE_FILE, err);
	}
	if (r == 0 && queue && queue->n) {
		r = make_ready(&j, queue);
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

/* @is_end: only what was begun */
static int run_locked(struct mlimg_queue_run *run, bool is_end, struct mlimg_err *err)
{
	mlimg_autoclose int own_fd = open_dir(run->user_fd, "mlimg"), lock = -1;
	int r;

	run->number = run->n_done = run->n_left = 0;
	run->bad[0] = '\0';
	if (own_fd < 0)
		return mlimg_err_set(err, own_fd, "open 'user/mlimg'");
	lock = mlimg_queue_lock(own_fd, err);
	if (lock < 0)
		return lock;
	r = end_run(run, err);
	if (r < 0 || is_end)
		return r;
	r = begin(run, err);
	return r ? r : end_run(run, err);
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
	mlimg_autoclose int own_fd = open_dir(run->user_fd, "mlimg");
	int r = own_fd < 0 ? mlimg_err_set(err, own_fd, "open 'user/mlimg'")
			   : mlimg_queue_add(own_fd, ops, n, err);

	if (r == 0)
		r = mlimg_queue_run(run, err);
	forget_names();
	return r;
}
