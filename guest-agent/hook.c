/* SPDX-License-Identifier: MIT */
#include "guest-agent/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest-agent/clock.h"
#include "guest-agent/hook-root.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/text.h"

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
#define EXIT_CONFLICT 1
#define EXIT_NOT_RUN \
	126 /* what a shell says for a program that cannot be run; why is on standard error */
#define EXIT_SIGNAL 128
#define SAID_SIZE 200 /* bytes of what a hook says of its failure */

/* A hook that runs. */
struct running {
	pid_t pid;
	int pidfd;
	int out, said_fd; /* its standard output and error */
	struct mlimg_text text;
	char said[SAID_SIZE];
	size_t said_size;
	bool has_ended;
};

/* What it is given: descriptors 0 to 5. */
struct given {
	int fds[6];
};

/* --- files --- */

/* A file in memory that can only be read, also by who opens it again through /dev/fd. */
static int make_file(struct mlimg_merge3_text text)
{
	mlimg_autoclose int fd = memfd_create("mlimg", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char path[40];
	int r;

	if (fd < 0)
		return -errno;
	r = text.size ? mlimg_write_all(fd, text.data, text.size) : 0;
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = open(path, O_RDONLY | O_CLOEXEC);
	return r < 0 ? -errno : r;
}

static void given_done(struct given *given)
{
	for (size_t i = 0; i < 6; i++)
		if (given->fds[i] >= 0)
			close(given->fds[i]);
}

/* @ret_ends: where its standard output and error are read. @return 0 or -errno */
static int given_make(const struct mlimg_reconcile_hook *hook, struct given *ret, int ret_ends[2])
{
	const struct mlimg_merge3_text texts[3] = {hook->base, hook->mine, hook->next};
	int ends[2];

	ret->fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (ret->fds[0] < 0)
		return -errno;
	for (size_t i = 0; i < 2; i++) {
		if (pipe2(ends, O_CLOEXEC) < 0)
			return -errno;
		ret_ends[i] = ends[0];
		ret->fds[1 + i] = ends[1];
	}
	for (size_t i = 0; i < 3; i++) {
		ret->fds[3 + i] = make_file(texts[i]);
		if (ret->fds[3 + i] < 0)
			return ret->fds[3 + i];
	}
	return 0;
}

/* --- the hook's process --- */

/* Out of the way: what one number is to become may still be another one's. @return 0 or -errno */
static int lift(const struct given *given, struct given *ret)
{
	for (size_t i = 0; i < 6; i++) {
		ret->fds[i] = fcntl(given->fds[i], F_DUPFD_CLOEXEC, 6);
		if (ret->fds[i] < 0)
			return -errno;
	}
	return 0;
}

/* All others end with the execve(2). */
static int take(const struct given *given)
{
	for (int i = 0; i < 6; i++)
		if (dup2(given->fds[i], i) < 0)
			return -errno;
	return close_range(6, ~0U, CLOSE_RANGE_CLOEXEC) < 0 ? -errno : 0;
}

static int reap(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/*
 * Goes on in a child. The first process of a process namespace is spared most signals, which
 * programs do not expect; this one ends as its child does, as shells tell it.
 */
static void stand_by(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		return;
	status = pid > 0 ? reap(pid) : EXIT_NOT_RUN << 8;
	_exit(WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status));
}

static void __attribute__((noreturn)) become(const struct mlimg_hooks *hooks,
	const struct mlimg_reconcile_hook *hook, struct given *given)
{
	char program[sizeof("/" MLIMG_HOOK_DIR "/") + MLIMG_CLASS_HOOK_MAX];
	char path[MLIMG_PATH_MAX + 2];
	char *argv[] = {program, path, NULL};
	char *env[] = {(char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *)"LC_ALL=C",
		(char *)(hook->base.data ? "MLIMG_BASE=present" : "MLIMG_BASE=absent"), NULL};
	const char *what = "be given files";
	struct given high;
	sigset_t none;
	int r;

	snprintf(program, sizeof(program), "/" MLIMG_HOOK_DIR "/%s", hook->name);
	snprintf(path, sizeof(path), "/%s", hook->path);
	/* Whoever is gone does not wait for an answer. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	r = lift(given, &high);
	if (r < 0)
		_exit(EXIT_NOT_RUN);
	given_done(given);
	r = mlimg_hook_enter(hooks, &what);
	if (r == 0) {
		what = "be confined";
		r = take(&high);
	}
	if (r == 0)
		r = mlimg_hook_confine();
	if (r == 0) {
		what = "be run";
		stand_by();
		execve(program, argv, env);
		r = -errno;
	}
	dprintf(high.fds[2], "cannot %s: %s\n", what, strerror(-r));
	_exit(EXIT_NOT_RUN);
}

/*
 * As fork(2), into namespaces of its own: the child is the first process of its process namespace,
 * and with it ends all that it has started.
 */
static pid_t fork_apart(void)
{
	return (pid_t)syscall(SYS_clone, NAMESPACES | SIGCHLD, NULL, NULL, NULL, NULL);
}

/* --- reading what it prints --- */

/* @return 1, 0 at the end, -EFBIG, -ENOMEM */
static int take_text(struct running *run)
{
	char block[16384];
	ssize_t n = read(run->out, block, sizeof(block));

	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	if (run->text.size + (size_t)n > MLIMG_MERGE3_SIZE_MAX)
		return -EFBIG;
	mlimg_text_put(&run->text, block, (size_t)n);
	return run->text.has_failed ? -ENOMEM : n > 0;
}

static int take_said(struct running *run)
{
	char dropped[4096];
	size_t room = sizeof(run->said) - 1 - run->said_size;
	ssize_t n = room ? read(run->said_fd, run->said + run->said_size, room)
			 : read(run->said_fd, dropped, sizeof(dropped));

	if (n > 0 && room)
		run->said_size += (size_t)n;
	return n > 0 || (n < 0 && errno == EINTR);
}

/*
 * Until it has ended and all that it has printed is read. @return 0, -ETIMEDOUT, -EFBIG, -ENOMEM,
 * other -errno
 */
static int watch(struct running *run, int64_t deadline_ms)
{
	struct pollfd fds[] = {{.fd = run->out, .events = POLLIN},
		{.fd = run->said_fd, .events = POLLIN}, {.fd = run->pidfd, .events = POLLIN}};

	while (fds[0].fd >= 0 || fds[1].fd >= 0 || fds[2].fd >= 0) {
		int64_t left = deadline_ms - mlimg_clock_ms();
		int n = left > 0 ? poll(fds, 3, (int)left) : 0, r = 1;

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -ETIMEDOUT;
		if (n < 0)
			continue;
		if (fds[0].fd >= 0 && fds[0].revents)
			r = take_text(run);
		if (r < 0)
			return r;
		if (r == 0)
			fds[0].fd = -1;
		if (fds[1].fd >= 0 && fds[1].revents && !take_said(run))
			fds[1].fd = -1;
		if (fds[2].revents)
			fds[2].fd = -1;
	}
	return 0;
}

/* --- one hook --- */

/* The first line of what it has said, printable; ": " before it. */
static const char *said_of(struct running *run, char ret_text[SAID_SIZE + 2])
{
	size_t n = 0;

	ret_text[0] = '\0';
	for (const char *c = run->said; n < run->said_size && *c && *c != '\n'; c++, n++)
		ret_text[2 + n] = *c < ' ' || *c > '~' ? '?' : *c;
	if (n) {
		memcpy(ret_text, ": ", 2);
		ret_text[2 + n] = '\0';
	}
	return ret_text;
}

static void note(struct mlimg_hooks *hooks, const struct mlimg_reconcile_hook *hook,
	const char *why, const char *more)
{
	char shown[160];

	if (++hooks->n_notes == MLIMG_HOOK_NOTES)
		mlimg_boot_note(hooks->boot,
			"more hooks failed: the report has their files, as conflicts (hook)");
	if (hooks->n_notes >= MLIMG_HOOK_NOTES)
		return;
	snprintf(shown, sizeof(shown), "%s", hook->path);
	for (char *c = shown; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	mlimg_boot_note(hooks->boot, "hook %s for '/%s': %s%s", hook->name, shown, why, more);
}

/* @r: watch()'s. @return as mlimg_hooks_merge() */
static int judge(struct mlimg_hooks *hooks, const struct mlimg_reconcile_hook *hook,
	struct running *run, int r, int status)
{
	char said[SAID_SIZE + 2], why[64];

	if (r == 0 && WIFEXITED(status) && WEXITSTATUS(status) <= EXIT_CONFLICT)
		return WEXITSTATUS(status) == 0;
	if (r == -ETIMEDOUT)
		snprintf(why, sizeof(why), "did not end in its time");
	else if (r == -EFBIG)
		snprintf(why, sizeof(why), "printed more than %d bytes", MLIMG_MERGE3_SIZE_MAX);
	else if (r < 0)
		snprintf(why, sizeof(why), "%s", strerror(-r));
	else if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "ended by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) > EXIT_SIGNAL)
		snprintf(why, sizeof(why), "ended by signal %d", WEXITSTATUS(status) - EXIT_SIGNAL);
	else
		snprintf(why, sizeof(why), "exit status %d", WEXITSTATUS(status));
	note(hooks, hook, why, said_of(run, said));
	return r == -ENOMEM ? r : 0;
}

/* @return 0, or -errno when it could not be run */
static int start(const struct mlimg_hooks *hooks, const struct mlimg_reconcile_hook *hook,
	struct running *run)
{
	mlimg_cleanup(given_done) struct given given = {{-1, -1, -1, -1, -1, -1}};
	int ends[2] = {-1, -1}, r = hooks->lowers->n_whole ? 0 : -ENOENT;

	if (r == 0)
		r = given_make(hook, &given, ends);
	run->out = ends[0];
	run->said_fd = ends[1];
	if (r == 0 && mkdirat(hooks->root_fd, MLIMG_HOOK_MOUNT_POINT, 0700) < 0 && errno != EEXIST)
		r = -errno;
	if (r < 0)
		return r;
	run->pid = fork_apart();
	if (run->pid == 0)
		become(hooks, hook, &given);
	if (run->pid < 0)
		return -errno;
	run->pidfd = pidfd_open(run->pid, 0);
	return 0;
}

static void running_done(struct running *run)
{
	free(run->text.data);
	if (run->out >= 0)
		close(run->out);
	if (run->said_fd >= 0)
		close(run->said_fd);
	if (run->pidfd >= 0)
		close(run->pidfd);
}

int mlimg_hooks_merge(
	const struct mlimg_reconcile_hook *hook, void *ctx, char **ret_text, size_t *ret_size)
{
	struct mlimg_hooks *hooks = ctx;
	mlimg_cleanup(running_done) struct running run = {.pidfd = -1, .out = -1, .said_fd = -1};
	int64_t began = mlimg_clock_ms(), ms = MLIMG_HOOK_MS;
	int status, r;

	if (ms > hooks->left_ms)
		ms = hooks->left_ms;
	r = ms > 0 ? start(hooks, hook, &run) : -ETIMEDOUT;
	if (r < 0) {
		note(hooks, hook, "not run: ", ms > 0 ? strerror(-r) : "no time is left for hooks");
		return r == -ENOMEM ? r : 0;
	}
	r = run.pidfd < 0 ? -errno : watch(&run, began + ms);
	if (r < 0)
		kill(run.pid, SIGKILL);
	status = reap(run.pid);
	unlinkat(hooks->root_fd, MLIMG_HOOK_MOUNT_POINT, AT_REMOVEDIR);
	hooks->left_ms -= mlimg_clock_ms() - began;
	r = judge(hooks, hook, &run, r, status);
	if (r <= 0)
		return r;
	if (!run.text.data)
		mlimg_text_put(&run.text, "", 0);
	*ret_size = run.text.size;
	*ret_text = mlimg_steal(&run.text.data);
	return *ret_text ? 1 : -ENOMEM;
}
