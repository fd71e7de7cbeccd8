/* SPDX-License-Identifier: MIT */
#include "guest-agent/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest-agent/clock.h"
#include "libmlimg/cleanup.h"

/* What a shell says for a program that cannot be run. */
#define EXIT_NOT_FOUND 127

#define LOOK_MS 50 /* between looks at the program where pidfd_open(2), of Linux 5.3, is missing */

static int cancel_fd = -1;

void mlimg_child_cancel_with(int fd)
{
	cancel_fd = fd;
}

static void __attribute__((noreturn)) become(const char *const argv[], int out)
{
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(null, 2) < 0)
		_exit(EXIT_NOT_FOUND);
	execvp(argv[0], (char *const *)argv);
	_exit(EXIT_NOT_FOUND);
}

/* @return false at the end of what it prints */
static bool take_output(int fd, char *out, size_t size, size_t *used)
{
	char dropped[4096];
	bool has_room = *used < size - 1;
	ssize_t n = has_room ? read(fd, out + *used, size - 1 - *used)
			     : read(fd, dropped, sizeof(dropped));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (has_room)
		*used += (size_t)n;
	return n > 0;
}

static int get_wait(int pidfd, int64_t left_ms)
{
	return (int)(pidfd < 0 && left_ms > LOOK_MS ? LOOK_MS : left_ms);
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = {.si_pid = 0};

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid;
}

/*
 * Until both the program has ended and all that it printed is read. What it left running may hold
 * the pipe open: the program's own end is enough then.
 */
static int watch(pid_t pid, int pidfd, int pipe_fd, int64_t deadline_ms, char *out, size_t size)
{
	struct pollfd fds[] = {{.fd = pipe_fd, .events = POLLIN}, {.fd = pidfd, .events = POLLIN},
		{.fd = cancel_fd}};
	size_t used = 0;

	out[0] = '\0';
	for (;;) {
		int64_t left = deadline_ms - mlimg_clock_ms();
		bool is_over = pidfd < 0 && has_ended(pid);
		int n = left > 0 ? poll(fds, 3, is_over ? 0 : get_wait(pidfd, left)) : 0;

		if (n < 0 && errno != EINTR)
			return -errno;
		if (left <= 0)
			return -ETIMEDOUT;
		if (n < 0)
			continue;
		if (fds[2].revents)
			return -ECANCELED;
		if (fds[0].revents && !take_output(pipe_fd, out, size, &used))
			fds[0].fd = -1;
		out[used] = '\0';
		if ((is_over || fds[1].revents) && !(fds[0].fd >= 0 && fds[0].revents))
			return 0;
	}
}

static int reap(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int mlimg_child_run(const char *const argv[], int timeout_ms, char *ret_out, size_t out_size,
	int *ret_status, struct mlimg_err *err)
{
	int64_t deadline_ms = mlimg_clock_ms() + timeout_ms;
	mlimg_autoclose int reader = -1, writer = -1, pidfd = -1;
	int ends[2], r;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return mlimg_err_set(err, errno, "pipe for %s", argv[0]);
	reader = ends[0];
	writer = ends[1];
	pid = fork();
	if (pid < 0)
		return mlimg_err_set(err, errno, "fork for %s", argv[0]);
	if (pid == 0)
		become(argv, writer);
	setpgid(pid,
		pid); /* as the child does: whoever comes first, so that the group is there when it must be killed */
	close(mlimg_steal_fd(&writer));
	pidfd = pidfd_open(pid, 0);
	r = pidfd < 0 && errno != ENOSYS
		? -errno
		: watch(pid, pidfd, reader, deadline_ms, ret_out, out_size);
	if (r < 0)
		kill(-pid, SIGKILL);
	*ret_status = reap(pid);
	if (r == -ETIMEDOUT)
		return mlimg_err_set(
			err, ETIMEDOUT, "%s did not end within %d ms", argv[0], timeout_ms);
	return r < 0 ? mlimg_err_set(err, -r, "watch %s", argv[0]) : 0;
}
