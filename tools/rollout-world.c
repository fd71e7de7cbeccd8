/* SPDX-License-Identifier: MIT */
#include "tools/rollout-world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libmlimg/arena.h"
#include "libmlimg/io.h"
#include "tools/cli.h"
#include "tools/vm-chan.h"

#define REPORT_FD 3

static volatile sig_atomic_t is_interrupted;

static void on_signal(int number)
{
	/* Whoever asks a second time does not want to wait; nothing is lost by it. */
	if (is_interrupted)
		_exit(128 + number);
	is_interrupted = 1;
}

void mlimg_rollout_catch_signals(void)
{
	const struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* ---- in the process of an intent ---- */

int mlimg_upgrade_cmd_step(int argc, char **argv)
{
	struct mlimg_rollout_report report = {.result = MLIMG_ROLLOUT_OK};
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint64_t number, attempt;
	int ret;

	if (argc != 5 || fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC) < 0 ||
		mlimg_cli_number(argv[2], 1, UINT32_MAX, &number, &err) < 0 ||
		mlimg_cli_number(argv[4], 1, UINT32_MAX, &attempt, &err) < 0)
		return mlimg_cli_usage(
			"mlimg-upgrade", "'step' is not a command of its own, but of 'apply'");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	ret = mlimg_rollout_step(
		argv[1], (uint32_t)number, argv[3], (uint32_t)attempt, &report, &err);
	/* Nobody waits for an earlier attempt any more. */
	if (ret == -ESTALE)
		return MLIMG_EXIT_FAILED;
	if (ret < 0) {
		report.result = MLIMG_ROLLOUT_BROKEN;
		snprintf(
			report.text, sizeof(report.text), "%.*s", MLIMG_ROLLOUT_TEXT - 1, err.text);
	}
	/* He may be gone; who resumes finds it out again. */
	return mlimg_write_all(REPORT_FD, &report, sizeof(report)) < 0 ? MLIMG_EXIT_FAILED
								       : MLIMG_EXIT_DONE;
}

/* ---- in the one that waits for them ---- */

static struct mlimg_rollout_process *find_free(struct mlimg_rollout_processes *w)
{
	for (size_t i = 0; i < MLIMG_ROLLOUT_AT_ONCE_MAX; i++)
		if (!w->processes[i].pid)
			return &w->processes[i];
	return NULL;
}

/* What it prints is told in its report; its terminal is not this one's. */
_Noreturn static void become_step(int fd, char *const argv[])
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	/* Not with FD_CLOEXEC; another one where it is that already. */
	if (fd == REPORT_FD ? fcntl(fd, F_SETFD, 0) == 0 : dup2(fd, REPORT_FD) >= 0)
		execv("/proc/self/exe", argv);
	_exit(1);
}

static int begin(void *ctx, const struct mlimg_rollout *rollout,
	const struct mlimg_rollout_row *row, struct mlimg_err *err)
{
	struct mlimg_rollout_processes *w = ctx;
	struct mlimg_rollout_process *p = find_free(w);
	char number[16], attempt[16];
	char *const argv[] = {(char *)"mlimg-upgrade", (char *)"step", w->dir, number,
		(char *)row->tenant_id, attempt, NULL};
	int fds[2];
	pid_t pid;

	snprintf(number, sizeof(number), "%u", rollout->number);
	snprintf(attempt, sizeof(attempt), "%u", row->attempt);
	if (!p)
		return mlimg_err_set(err, EAGAIN, "start a process");
	if (pipe2(fds, O_CLOEXEC) < 0)
		return mlimg_err_set(err, errno, "pipe");
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become_step(fds[1], argv);
	close(fds[1]);
	if (pid < 0) {
		int error = errno;

		close(fds[0]);
		return mlimg_err_set(err, error, "start a process");
	}
	*p = (struct mlimg_rollout_process){.pid = pid, .fd = fds[0], .position = row->position};
	return 0;
}

/* One that ends without a report was killed, or nobody could say anything: tried again. */
static void collect(struct mlimg_rollout_process *p, struct mlimg_rollout_report *ret_report)
{
	struct mlimg_rollout_report report = {.result = MLIMG_ROLLOUT_UNREACHABLE};
	size_t n = 0;
	ssize_t got;

	do {
		got = read(p->fd, (char *)&report + n, sizeof(report) - n);
		n += got > 0 ? (size_t)got : 0;
	} while ((got > 0 && n < sizeof(report)) || (got < 0 && errno == EINTR));
	if (n < sizeof(report)) {
		report = (struct mlimg_rollout_report){.result = MLIMG_ROLLOUT_UNREACHABLE};
		strcpy(report.text, "what was to be done ended without a word");
	}
	report.position = p->position;
	close(p->fd);
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	p->pid = 0;
	*ret_report = report;
}

static int wait_for(void *ctx, unsigned timeout_ms, struct mlimg_rollout_report *ret_report,
	struct mlimg_err *err)
{
	struct mlimg_rollout_processes *w = ctx;
	struct pollfd fds[MLIMG_ROLLOUT_AT_ONCE_MAX];
	int n;

	for (size_t i = 0; i < MLIMG_ROLLOUT_AT_ONCE_MAX; i++)
		fds[i] = (struct pollfd){
			.fd = w->processes[i].pid ? w->processes[i].fd : -1, .events = POLLIN};
	n = poll(fds, MLIMG_ROLLOUT_AT_ONCE_MAX, (int)timeout_ms);
	if (n < 0 && errno != EINTR)
		return mlimg_err_set(err, errno, "wait for processes");
	for (size_t i = 0; n > 0 && i < MLIMG_ROLLOUT_AT_ONCE_MAX; i++)
		if (fds[i].revents) {
			collect(&w->processes[i], ret_report);
			return 1;
		}
	return 0;
}

static int look(void *ctx, const struct mlimg_rollout_row *row, enum mlimg_rollout_look *ret_look,
	struct mlimg_err *err)
{
	struct mlimg_rollout_processes *w = ctx;
	size_t had = w->seen_room;

	if (mlimg_buffer_reserve(
		    &w->seen, &w->seen_room, ((size_t)row->position + 1) * sizeof(*w->seen)) < 0)
		return mlimg_err_set(err, ENOMEM, "look at %s", row->name);
	memset((char *)w->seen + had, 0, w->seen_room - had);
	return mlimg_rollout_look_at(w->store, row, &w->seen[row->position], ret_look, err);
}

static unsigned minute(void *ctx)
{
	time_t now = time(NULL);
	struct tm tm = {.tm_hour = 0};

	localtime_r(&now, &tm);
	return (unsigned)(60 * tm.tm_hour + tm.tm_min);
}

static uint64_t clock_ms(void *ctx)
{
	return mlimg_now_ms();
}

static bool was_interrupted(void *ctx)
{
	return is_interrupted;
}

int mlimg_rollout_world_init(struct mlimg_store *store, struct mlimg_rollout_processes *ret,
	struct mlimg_rollout_world *ret_world, struct mlimg_err *err)
{
	*ret = (struct mlimg_rollout_processes){.store = store};
	ret->dir = realpath(mlimg_store_dir(store), NULL);
	if (!ret->dir)
		return mlimg_err_set(err, errno, "store '%s'", mlimg_store_dir(store));
	*ret_world = (struct mlimg_rollout_world){.ctx = ret,
		.begin = begin,
		.wait = wait_for,
		.look = look,
		.minute = minute,
		.clock_ms = clock_ms,
		.is_interrupted = was_interrupted};
	return 0;
}

void mlimg_rollout_world_done(struct mlimg_rollout_processes *w)
{
	for (size_t i = 0; i < MLIMG_ROLLOUT_AT_ONCE_MAX; i++)
		if (w->processes[i].pid)
			close(w->processes[i].fd);
	free(w->dir);
	free(w->seen);
	*w = (struct mlimg_rollout_processes){.store = NULL};
}
