/* SPDX-License-Identifier: MIT */
#include "guest-agent/freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/clock.h"
#include "guest-agent/daemon.h"
#include "guest-agent/worker.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

/* What the daemon sends to have it thawed: an id as it goes into the response, ',"id":7'. */
#define ASKED_MAX (MLIMG_ID_MAX + 16)

/* How far the process is that freezes, as it says itself; it ends with STAGE_OVER, unless killed. */
enum stage { STAGE_BEGINS = 0, STAGE_FROZEN, STAGE_OVER };

/* What the process gets. */
struct freeze {
	struct mlimg_call *call;
	int timeout_ms;
};

static int open_user(const struct mlimg_agent *agent, struct mlimg_failure *failure);

/* The process was killed before it could thaw. */
static void thaw_for_it(const struct mlimg_agent *agent)
{
	struct mlimg_failure failure;
	mlimg_autoclose int fd = open_user(agent, &failure);

	if (fd >= 0 && ioctl(fd, FITHAW, 0) == 0)
		fputs("mlimg-agent: what kept the freeze was killed: thawed\n", stderr);
}

/* By hand: epoll keeps it where another descriptor of the socket is left. */
static void forget(struct mlimg_agent *agent)
{
	epoll_ctl(agent->epoll_fd, EPOLL_CTL_DEL, agent->freeze_fd, NULL);
	close(mlimg_steal_fd(&agent->freeze_fd));
}

bool mlimg_freeze_is_kept(struct mlimg_agent *agent)
{
	struct pollfd p = {.fd = agent->freeze_fd};

	if (agent->freeze_fd >= 0 && poll(&p, 1, 0) > 0 && p.revents & POLLHUP) {
		if (*agent->freeze_stage == STAGE_FROZEN)
			thaw_for_it(agent);
		forget(agent);
	}
	return agent->freeze_fd >= 0;
}

bool mlimg_freeze_is_on(struct mlimg_agent *agent)
{
	return mlimg_freeze_is_kept(agent) && !agent->is_thawing &&
		*agent->freeze_stage != STAGE_OVER;
}

bool mlimg_freeze_is_of(struct mlimg_agent *agent, unsigned client)
{
	return agent->freeze_owner == client && mlimg_freeze_is_on(agent);
}

void mlimg_freeze_end(struct mlimg_agent *agent)
{
	if (agent->freeze_fd >= 0) {
		/* Other descriptors of the socket may be left. */
		shutdown(agent->freeze_fd, SHUT_WR);
		agent->is_thawing = true;
	}
}

static int open_user(const struct mlimg_agent *agent, struct mlimg_failure *failure)
{
	mlimg_autofree char *path = NULL;
	mlimg_autoclose int fd = -1;
	struct stat st, parent;

	if (asprintf(&path, "%s/mlimg/user", agent->run_dir) < 0)
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0 && fstatat(fd, "..", &parent, 0) == 0 &&
		st.st_dev != parent.st_dev)
		return mlimg_steal_fd(&fd);
	mlimg_fail(failure, MLIMG_CLASS_UNSUPPORTED, "no user file system is mounted on %s", path);
	return -1;
}

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
		n = read(fd, ret_asked + used, ASKED_MAX - used);
		if (n <= 0)
			return used > 0;
		used += (size_t)n;
	}
}

static int freeze_user(struct mlimg_call *call)
{
	mlimg_autoclose int fd = open_user(call->agent, &call->failure);

	if (fd < 0)
		return -1;
	/* Where so much may not be locked, a freeze is still better than none. */
	if (mlockall(MCL_CURRENT) < 0)
		errno = 0;
	*call->agent->freeze_stage = STAGE_FROZEN;
	if (ioctl(fd, FIFREEZE, 0) == 0)
		return mlimg_steal_fd(&fd);
	*call->agent->freeze_stage = STAGE_OVER;
	if (errno == EBUSY)
		mlimg_fail(&call->failure, MLIMG_CLASS_BUSY,
			"the user file system is frozen by somebody else");
	else
		mlimg_fail(&call->failure,
			errno == EOPNOTSUPP ? MLIMG_CLASS_UNSUPPORTED : MLIMG_CLASS_GENERIC,
			"freeze the user file system: %s", strerror(errno));
	return -1;
}

/* Between FIFREEZE and FITHAW nothing is allocated or loaded. */
static void keep_frozen(int fd, void *ctx)
{
	struct freeze *freeze = ctx;
	static char asked[ASKED_MAX + 1], thawed[ASKED_MAX + 32];
	size_t size;
	mlimg_autofree char *done = mlimg_call_result(freeze->call, json_integer(1), &size);
	mlimg_autofree char *failed = NULL;
	mlimg_autoclose int dir_fd = done ? freeze_user(freeze->call) : -1;
	bool is_asked;
	int n;

	if (dir_fd < 0) {
		freeze->call->command = NULL;
		failed = mlimg_call_answer(freeze->call, &size);
		if (failed && mlimg_write_all(fd, failed, size) < 0)
			return;
		return;
	}
	is_asked = mlimg_write_all(fd, done, size) == 0 &&
		wait_for_the_end(fd, mlimg_clock_ms() + freeze->timeout_ms, asked);
	n = ioctl(dir_fd, FITHAW, 0) == 0;
	*freeze->call->agent->freeze_stage = STAGE_OVER;
	if (is_asked &&
		mlimg_write_all(fd, thawed,
			(size_t)snprintf(
				thawed, sizeof(thawed), "{\"return\":%d%s}\n", n, asked + 1)) < 0)
		return;
}

/* Once: it lasts as long as the daemon. */
static int share(struct mlimg_agent *agent)
{
	int *shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		return -ENOMEM;
	agent->freeze_stage = shared;
	return 0;
}

/* Of an earlier freeze. @return whether it may still be frozen */
static bool is_thawing(struct mlimg_agent *agent)
{
	if (!mlimg_freeze_is_kept(agent))
		return false;
	if (*agent->freeze_stage != STAGE_OVER)
		return true;
	/* Its process has nothing left to do but to end. */
	forget(agent);
	return false;
}

json_t *mlimg_freeze_command(struct mlimg_call *call)
{
	const json_t *timeout = json_object_get(call->arguments, "timeout-ms");
	struct freeze freeze = {
		.call = call,
		.timeout_ms = timeout ? (int)json_integer_value(timeout) : MLIMG_FREEZE_MS,
	};
	struct epoll_event event = {.events = EPOLLET, .data.u64 = MLIMG_DAEMON_FREEZE};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int fd;

	if (mlimg_freeze_is_on(call->agent))
		return mlimg_fail(
			&call->failure, MLIMG_CLASS_BUSY, "the user file system is frozen already");
	if (is_thawing(call->agent))
		return mlimg_fail(
			&call->failure, MLIMG_CLASS_BUSY, "the user file system is being thawed");
	if (!call->agent->freeze_stage && share(call->agent) < 0)
		return mlimg_fail(&call->failure, MLIMG_CLASS_GENERIC, "%s", strerror(ENOMEM));
	*call->agent->freeze_stage = STAGE_BEGINS;
	fd = mlimg_worker_start(keep_frozen, &freeze, &err);
	if (fd < 0)
		return mlimg_fail(&call->failure, MLIMG_CLASS_GENERIC, "%s", err.text);
	call->agent->freeze_fd = fd;
	call->agent->is_thawing = false;
	call->agent->freeze_owner = call->client;
	/* A hang-up always wakes. */
	if (epoll_ctl(call->agent->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
		call->answer_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (call->answer_fd >= 0)
		return NULL;
	mlimg_fail(&call->failure, MLIMG_CLASS_GENERIC, "%s", strerror(errno));
	mlimg_freeze_end(call->agent);
	return NULL;
}

/* One character, so that there is something to send, and the id. */
static size_t ask(const json_t *id, char *ret_asked)
{
	static const char before[] = "?,\"id\":";
	size_t size = sizeof(before) - 1;

	memcpy(ret_asked, before, size);
	return id ? size +
			json_dumpb(
				id, ret_asked + size, MLIMG_ID_MAX, JSON_COMPACT | JSON_ENCODE_ANY)
		  : 1;
}

/* The process says whether the freeze that it ends was still its own; silence means no. */
json_t *mlimg_freeze_thaw_command(struct mlimg_call *call)
{
	char asked[ASKED_MAX];
	size_t size = ask(call->id, asked);

	if (!mlimg_freeze_is_on(call->agent) ||
		send(call->agent->freeze_fd, asked, size, MSG_NOSIGNAL) != (ssize_t)size)
		return json_integer(0);
	call->or_else = json_integer(0);
	call->answer_fd = fcntl(call->agent->freeze_fd, F_DUPFD_CLOEXEC, 0);
	mlimg_freeze_end(call->agent);
	return call->answer_fd < 0 ? json_integer(0) : NULL;
}

json_t *mlimg_freeze_status_command(struct mlimg_call *call)
{
	return json_string(mlimg_freeze_is_on(call->agent) ? "frozen" : "thawed");
}
