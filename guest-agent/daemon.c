/* SPDX-License-Identifier: MIT */
#include "guest-agent/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "guest-agent/line.h"
#include "guest-agent/port.h"
#include "guest-agent/status.h"
#include "libmlimg/cleanup.h"

/* What a client is served with. */
struct channel {
	int fd;
	bool is_open; /* somebody was at the other end when it was last looked at */
	bool owes_resync; /* a response broke off: the client's next line would begin in the middle of it */
	bool is_deaf;       /* and what it had asked until then is not answered any more */
	bool has_announced; /* that the default target is reached */
	const struct mlimg_agent *agent;
	struct mlimg_line line;
};

static bool send_response(struct channel *channel, const char *response, size_t size)
{
	int r = 0;

	if (channel->owes_resync)
		r = mlimg_port_write(
			channel->fd, "\xff", 1, MLIMG_SEND_TIMEOUT_MS, MLIMG_ABSENT_MS);
	if (r == 0)
		r = mlimg_port_write(
			channel->fd, response, size, MLIMG_SEND_TIMEOUT_MS, MLIMG_ABSENT_MS);
	channel->owes_resync = channel->is_deaf = r < 0;
	return r == 0;
}

static bool answer(const char *text, size_t size, void *ctx)
{
	struct channel *channel = ctx;
	size_t response_size;
	mlimg_autofree char *response =
		mlimg_protocol_answer(channel->agent, text, size, &response_size);

	return !response || send_response(channel, response, response_size);
}

/*
 * Read until there is no more. What a client that does not read its responses has asked meanwhile
 * is thrown away, since to answer each of its requests would take the time limit of each.
 *
 * @return 0; 1 when the other end is closed; -errno when the port itself is gone
 */
static int drain(struct channel *channel)
{
	char data[4096];

	channel->is_deaf = false;
	for (;;) {
		ssize_t n = read(channel->fd, data, sizeof(data));

		if (n > 0 && channel->is_deaf)
			mlimg_line_reset(&channel->line);
		else if (n > 0)
			mlimg_line_feed(&channel->line, data, (size_t)n, answer, channel);
		else if (n == 0 || errno == ECONNRESET)
			return 1;
		else if (errno == EAGAIN)
			return 0;
		else if (errno != EINTR)
			return -errno;
	}
}

/*
 * The directory in which the mark of the default target will appear; -1 where a boot by mlimg has
 * not made it.
 */
static int watch_marks(const struct mlimg_agent *agent)
{
	mlimg_autoclose int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s/mlimg", agent->run_dir);
	if (fd < 0 || inotify_add_watch(fd, dir, IN_CREATE | IN_ONLYDIR) < 0)
		return -1;
	return mlimg_steal_fd(&fd);
}

/*
 * Once, whether the mark was there before the watch or after it; under another init there is
 * nothing to wait for. A client that is not there misses it.
 */
static void announce_default_target(struct channel *channel, int marks_fd)
{
	static const char event[] = "{\"event\":\"default-target\",\"data\":{}}\n";
	char path[PATH_MAX], dropped[4096];

	while (marks_fd >= 0 && read(marks_fd, dropped, sizeof(dropped)) > 0)
		;
	if (channel->has_announced)
		return;
	snprintf(path, sizeof(path), "%s/mlimg/default-target", channel->agent->run_dir);
	if (mlimg_status_is_systemd(channel->agent) && access(path, F_OK) < 0)
		return;
	channel->has_announced = true;
	send_response(channel, event, sizeof(event) - 1);
}

/*
 * Edge-triggered: a port whose other end is closed is "readable" and "hung up" all the time, so
 * that waiting for a level would return at once, for ever. The port wakes its waiters whenever data
 * come and whenever the host opens or closes its end, and an edge is kept for us while we do
 * something else; so after reading until nothing is left there is nothing to miss.
 */
static int watch_edges(int fd, int marks_fd, struct mlimg_err *err)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	mlimg_autoclose int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ||
		(marks_fd >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, marks_fd, &event) < 0))
		return mlimg_err_set(err, errno, "wait for the port");
	return mlimg_steal_fd(&epoll_fd);
}

static int wait_edge(int epoll_fd, struct mlimg_err *err)
{
	struct epoll_event event;

	if (epoll_wait(epoll_fd, &event, 1, -1) < 0 && errno != EINTR)
		return mlimg_err_set(err, errno, "wait for the port");
	return 0;
}

/*
 * That a port's other end is closed ends nothing: the news comes another way than the data, so that
 * the next client's first bytes may be here before it. What the last client left unfinished, the
 * next one clears away with 0xFF.
 *
 * @return 0 when @p until_closed and the client has gone; else only on failure
 */
static int serve(struct channel *channel, bool until_closed, struct mlimg_err *err)
{
	mlimg_autoclose int marks_fd = watch_marks(channel->agent);
	mlimg_autoclose int epoll_fd = watch_edges(channel->fd, marks_fd, err);
	int r = epoll_fd;

	while (r >= 0) {
		announce_default_target(channel, marks_fd);
		r = drain(channel);
		if (r < 0)
			return mlimg_err_set(err, r, "read from the port");
		if (r == 1 && until_closed)
			return 0;
		r = wait_edge(epoll_fd, err);
	}
	return r;
}

int mlimg_daemon_serve_port(
	const char *path, const struct mlimg_agent *agent, struct mlimg_err *err)
{
	mlimg_autofree struct channel *channel = calloc(1, sizeof(*channel));
	mlimg_autoclose int fd = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (!channel)
		return mlimg_err_set(err, ENOMEM, "serve %s", path);
	if (fd < 0)
		return mlimg_err_set(err, errno, "open %s", path);
	channel->fd = fd;
	channel->agent = agent;
	signal(SIGPIPE, SIG_IGN);
	return mlimg_err_wrap(err, serve(channel, false, err), "%s", path);
}

static int listen_on(const char *path, struct mlimg_err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mlimg_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;
	mode_t mask;
	int r;

	if (strlen(path) >= sizeof(address.sun_path))
		return mlimg_err_set(err, ENAMETOOLONG, "socket %s", path);
	strcpy(address.sun_path, path);
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	mask = umask(0177);
	r = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (r < 0 || listen(fd, 4) < 0)
		return mlimg_err_set(err, errno, "listen on %s", path);
	return mlimg_steal_fd(&fd);
}

int mlimg_daemon_serve_unix(
	const char *path, const struct mlimg_agent *agent, struct mlimg_err *err)
{
	mlimg_autofree struct channel *channel = malloc(sizeof(*channel));
	mlimg_autoclose int listener = listen_on(path, err);
	int r = listener;

	if (!channel)
		return mlimg_err_set(err, ENOMEM, "serve %s", path);
	signal(SIGPIPE, SIG_IGN);
	while (r >= 0) {
		mlimg_autoclose int fd =
			accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return mlimg_err_set(err, errno, "accept on %s", path);
		memset(channel, 0, sizeof(*channel));
		channel->fd = fd;
		channel->agent = agent;
		r = serve(channel, true, err);
	}
	return r;
}
