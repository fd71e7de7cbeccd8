/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "guest-agent/clock.h"
#include "guest-agent/freeze-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

#define LOOK_MS 1  /* between looks whether the witness waits: it needs some microseconds */
#define LOOKS 1000 /* a freeze must not wait for it longer */

/* --- the witness --- */

/* @return whether it waits for what nothing can interrupt */
static bool is_waiting(pid_t pid)
{
	char path[32], text[128];
	mlimg_autoclose int fd = -1;
	const char *name_end;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	name_end = strrchr(text, ')');
	return name_end && strncmp(name_end, ") D", 3) == 0;
}

bool mlimg_freeze_is_over(const struct mlimg_freeze_shared *shared)
{
	return shared->witness && !is_waiting(shared->witness);
}

static void __attribute__((noreturn)) bear_witness(int dir_fd, int word_fd)
{
	char word;

	if (read(word_fd, &word, 1) == 1 && fremovexattr(dir_fd, "user.mlimg.witness") < 0)
		errno = 0; /* it never is there, and here nothing may be writable */
	_exit(0);
}

/*
 * @fd is the daemon's socket: that it is closed must be seen when this process alone has ended.
 * Without a witness a freeze is still better than none.
 *
 * @return where the word is to be given; -1: there is none
 */
static int begin_witness(struct mlimg_freeze_shared *shared, int dir_fd, int fd)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		close(fd);
		close(ends[1]);
		bear_witness(dir_fd, ends[0]);
	}
	close(ends[0]);
	if (pid > 0) {
		shared->witness = pid;
		return ends[1];
	}
	close(ends[1]);
	return -1;
}

/*
 * From now on it waits. One that was never seen to is none: it has ended, since somebody else has
 * thawed already or nothing stops it, and a freeze that is taken for over would stay.
 */
static void call_witness(struct mlimg_freeze_shared *shared, int word_fd)
{
	struct pollfd ends = {.fd = word_fd};

	if (word_fd >= 0 && write(word_fd, "", 1) == 1)
		for (int i = 0; i < LOOKS; i++) {
			if (is_waiting(shared->witness))
				return;
			if (poll(&ends, 1, LOOK_MS) != 0)
				break;
		}
	shared->witness = 0;
}

/* --- the freeze --- */

/* @return whether the daemon has asked for the end; then what goes into its response */
static bool wait_for_the_end(int fd, int64_t deadline_ms, char *ret_asked)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t used = 0;

	for (;;) {
		int64_t left_ms = deadline_ms - mlimg_clock_ms();
		ssize_t n;

		ret_asked[used] = '\0';
		if (left_ms <= 0 || (poll(&p, 1, (int)left_ms) == 0))
			return false;
		n = read(fd, ret_asked + used, FREEZE_ASKED_MAX - used);
		if (n <= 0)
			return used > 0;
		used += (size_t)n;
	}
}

static int refused(struct mlimg_call *call, int code)
{
	call->agent->freeze->stage = FREEZE_OVER;
	if (code == EBUSY)
		mlimg_fail(&call->failure, MLIMG_CLASS_BUSY,
			"the user file system is frozen by somebody else");
	else
		mlimg_fail(&call->failure,
			code == EOPNOTSUPP ? MLIMG_CLASS_UNSUPPORTED : MLIMG_CLASS_GENERIC,
			"freeze the user file system: %s", strerror(code));
	return -1;
}

static int freeze_user(struct mlimg_freeze *freeze, int fd)
{
	struct mlimg_call *call = freeze->call;
	struct mlimg_freeze_shared *shared = call->agent->freeze;
	mlimg_autoclose int dir_fd = mlimg_freeze_open_user(call->agent, &call->failure),
			    word_fd = -1;

	if (dir_fd < 0)
		return -1;
	/* Where so much may not be locked, a freeze is still better than none. */
	if (mlockall(MCL_CURRENT) < 0)
		errno = 0;
	word_fd = begin_witness(shared, dir_fd, fd);
	shared->stage = FREEZE_FREEZES;
	if (ioctl(dir_fd, FIFREEZE, 0) < 0)
		return refused(call, errno);
	shared->deadline_ms = mlimg_clock_ms() + freeze->timeout_ms;
	call_witness(shared, word_fd);
	shared->stage = FREEZE_FROZEN;
	return mlimg_steal_fd(&dir_fd);
}

/* Between FIFREEZE and FITHAW nothing is allocated or loaded. */
void mlimg_freeze_keep(int fd, void *ctx)
{
	struct mlimg_freeze *freeze = ctx;
	struct mlimg_freeze_shared *shared = freeze->call->agent->freeze;
	static char asked[FREEZE_ASKED_MAX + 1], thawed[FREEZE_ASKED_MAX + 32];
	size_t size;
	mlimg_autofree char *done = mlimg_call_result(freeze->call, json_integer(1), &size);
	mlimg_autofree char *failed = NULL;
	mlimg_autoclose int dir_fd = -1;
	bool is_asked;
	int n;

	shared->keeper = getpid();
	/* Stopped, it would not see that the daemon is no more. */
	prctl(PR_SET_PDEATHSIG, SIGCONT);
	dir_fd = done ? freeze_user(freeze, fd) : -1;
	if (dir_fd < 0) {
		freeze->call->command = NULL;
		failed = mlimg_call_answer(freeze->call, &size);
		if (failed && mlimg_write_all(fd, failed, size) < 0)
			return;
		return;
	}
	is_asked = mlimg_write_all(fd, done, size) == 0 &&
		wait_for_the_end(fd, shared->deadline_ms, asked);
	/* What somebody else has thawed may be frozen again, and that is his. */
	n = !mlimg_freeze_is_over(shared) && ioctl(dir_fd, FITHAW, 0) == 0;
	shared->stage = FREEZE_OVER;
	if (is_asked &&
		mlimg_write_all(fd, thawed,
			(size_t)snprintf(
				thawed, sizeof(thawed), "{\"return\":%d%s}\n", n, asked + 1)) < 0)
		return;
}
