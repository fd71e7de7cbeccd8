/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
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
#include "guest-agent/freeze-impl.h"
#include "guest-agent/worker.h"
#include "libmlimg/cleanup.h"

/* The process was killed. */
static void thaw_for_it(const struct mlimg_agent *agent)
{
	const struct mlimg_freeze_shared *shared = agent->freeze;
	struct mlimg_failure failure;
	mlimg_autoclose int fd = -1;

	if (shared->stage == FREEZE_BEGINS || shared->stage == FREEZE_OVER ||
		(shared->stage == FREEZE_FROZEN && mlimg_freeze_is_over(shared)))
		return;
	fd = mlimg_freeze_open_user(agent, &failure);
	if (fd >= 0 && ioctl(fd, FITHAW, 0) == 0)
		fputs("mlimg-agent: what kept the freeze was killed: thawed\n", stderr);
}

/* By hand: epoll keeps it where another descriptor of the socket is left. */
static void forget(struct mlimg_agent *agent)
{
	epoll_ctl(agent->epoll_fd, EPOLL_CTL_DEL, agent->freeze_fd, NULL);
	close(mlimg_steal_fd(&agent->freeze_fd));
	munmap(mlimg_steal(&agent->freeze), sizeof(*agent->freeze));
}

bool mlimg_freeze_is_kept(struct mlimg_agent *agent)
{
	struct pollfd p = {.fd = agent->freeze_fd};

	if (agent->freeze_fd >= 0 && poll(&p, 1, 0) > 0 && p.revents & POLLHUP) {
		thaw_for_it(agent);
		forget(agent);
	}
	return agent->freeze_fd >= 0;
}

bool mlimg_freeze_is_on(struct mlimg_agent *agent)
{
	return mlimg_freeze_is_kept(agent) && !agent->is_thawing &&
		agent->freeze->stage != FREEZE_OVER;
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

int64_t mlimg_freeze_deadline(const struct mlimg_agent *agent)
{
	int64_t deadline_ms;

	if (agent->freeze_fd < 0 || agent->is_overdue)
		return 0;
	deadline_ms = agent->freeze->deadline_ms;
	return (deadline_ms ? deadline_ms : agent->freeze_since_ms + MLIMG_FREEZE_MAX_MS) +
		MLIMG_FREEZE_LATE_MS;
}

void mlimg_freeze_watch(struct mlimg_agent *agent, int64_t now_ms)
{
	int64_t deadline_ms = mlimg_freeze_deadline(agent);

	if (!deadline_ms || now_ms < deadline_ms || !mlimg_freeze_is_kept(agent))
		return;
	agent->is_overdue = true;
	/* Its socket would have hung up if the number were another's by now. */
	if (agent->freeze->keeper)
		kill(agent->freeze->keeper, SIGKILL);
	else
		forget(agent);
}

int mlimg_freeze_open_user(const struct mlimg_agent *agent, struct mlimg_failure *failure)
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

/* Of one freeze: whatever becomes of its process, it can say nothing of the next one. */
static int share(struct mlimg_agent *agent)
{
	struct mlimg_freeze_shared *shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		return -ENOMEM;
	agent->freeze = shared;
	return 0;
}

/* Of an earlier freeze. @return whether it may still be frozen */
static bool is_thawing(struct mlimg_agent *agent)
{
	if (!mlimg_freeze_is_kept(agent))
		return false;
	if (agent->freeze->stage != FREEZE_OVER)
		return true;
	/* Its process has nothing left to do but to end. */
	forget(agent);
	return false;
}

json_t *mlimg_freeze_command(struct mlimg_call *call)
{
	const json_t *timeout = json_object_get(call->arguments, "timeout-ms");
	struct mlimg_freeze freeze = {
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
	if (share(call->agent) < 0)
		return mlimg_fail(&call->failure, MLIMG_CLASS_GENERIC, "%s", strerror(ENOMEM));
	fd = mlimg_worker_start(mlimg_freeze_keep, &freeze, &err);
	if (fd < 0) {
		munmap(mlimg_steal(&call->agent->freeze), sizeof(*call->agent->freeze));
		return mlimg_fail(&call->failure, MLIMG_CLASS_GENERIC, "%s", err.text);
	}
	call->agent->freeze_fd = fd;
	call->agent->freeze_since_ms = mlimg_clock_ms();
	call->agent->is_thawing = call->agent->is_overdue = false;
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
	char asked[FREEZE_ASKED_MAX];
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
	const struct mlimg_agent *agent = call->agent;
	bool is_frozen = mlimg_freeze_is_on(call->agent) &&
		(agent->freeze->stage != FREEZE_FROZEN || !mlimg_freeze_is_over(agent->freeze));

	return json_string(is_frozen ? "frozen" : "thawed");
}
