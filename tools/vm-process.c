/* SPDX-License-Identifier: MIT */
#include "tools/vm-process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

static void set_streams(bool has_terminal, int err_fd)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (!has_terminal) {
		setsid();
		dup2(null, STDIN_FILENO);
		dup2(err_fd, STDOUT_FILENO);
	}
	dup2(err_fd, STDERR_FILENO);
}

static void __attribute__((noreturn)) run_child(char *const *argv, bool has_terminal,
	const struct mlimg_process *process, pid_t parent, int err_fd, int failed_fd)
{
	sigset_t none;
	int failed = process->confine ? mlimg_confine_enter(process->confine) : 0;

	/* After that: who becomes another user loses it. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent) /* it died before the line above */
		_exit(1);
	set_streams(has_terminal, err_fd);
	if (process->keeps_fd >= 0)
		fcntl(process->keeps_fd, F_SETFD, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (failed == 0)
		execvp(argv[0], argv);
	failed = failed < 0 ? -failed : errno;
	_exit(mlimg_write_all(failed_fd, &failed, sizeof(failed)) < 0);
}

/* The pipe closes by itself when the program starts, and carries errno when it does not. */
static int await_start(int failed_fd, const char *program, struct mlimg_err *err)
{
	int failed;

	if (read(failed_fd, &failed, sizeof(failed)) != (ssize_t)sizeof(failed))
		return 0;
	return mlimg_err_set(err, failed, "run '%s'", program);
}

static int start(char *const *argv, bool has_terminal, int err_pipe[2], int failed_pipe[2],
	struct mlimg_process *process, struct mlimg_err *err)
{
	pid_t parent = getpid();
	int ret;

	process->pid = fork();
	if (process->pid < 0)
		return mlimg_err_set(err, errno, "start a process");
	if (process->pid == 0)
		run_child(argv, has_terminal, process, parent, err_pipe[1], failed_pipe[1]);
	process->pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
	close(failed_pipe[1]);
	failed_pipe[1] = -1;
	ret = process->pidfd < 0 ? mlimg_err_set(err, errno, "pidfd_open")
				 : await_start(failed_pipe[0], argv[0], err);
	if (ret < 0) {
		kill(process->pid, SIGKILL);
		mlimg_process_wait(process);
	}
	return ret;
}

int mlimg_process_start(char *const *argv, bool has_terminal, struct mlimg_process *process,
	int *ret_stderr, struct mlimg_err *err)
{
	int err_pipe[2] = {-1, -1}, failed_pipe[2] = {-1, -1};
	int ret;

	if (pipe2(err_pipe, O_CLOEXEC) < 0 || pipe2(failed_pipe, O_CLOEXEC) < 0)
		ret = mlimg_err_set(err, errno, "pipe");
	else
		ret = start(argv, has_terminal, err_pipe, failed_pipe, process, err);
	if (ret == 0) {
		fcntl(err_pipe[0], F_SETFL, O_NONBLOCK);
		*ret_stderr = mlimg_steal_fd(&err_pipe[0]);
	}
	for (int i = 0; i < 2; i++) {
		mlimg_cleanup_close(&err_pipe[i]);
		mlimg_cleanup_close(&failed_pipe[i]);
	}
	return ret;
}

int mlimg_process_wait(struct mlimg_process *process)
{
	int status = 0;

	if (process->pid <= 0)
		return 0;
	while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
		;
	mlimg_cleanup_close(&process->pidfd);
	process->pid = process->pidfd = -1;
	return status;
}

int mlimg_process_signals(struct mlimg_err *err)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction old;
	sigset_t set, blocked;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	/* Who started us with one of them ignored (nohup, a shell's &) meant it. */
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaddset(&set, signals[i]);
	/* Who stops reading the console, or our messages, does not end the guest by it. */
	blocked = set;
	sigaddset(&blocked, SIGPIPE);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? mlimg_err_set(err, errno, "signalfd") : fd;
}
