/* SPDX-License-Identifier: MIT */
#include "guest-agent/daemon.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest-agent/client.h"
#include "guest-agent/clock.h"
#include "guest-agent/daemon-open.h"
#include "guest-agent/freeze.h"
#include "guest-agent/status.h"
#include "libmlimg/cleanup.h"

/* What the loop waits for beside clients, whose numbers are 0 (the port) to MLIMG_CLIENTS_MAX. */
enum source { FROM_HOST = 0x1000, FROM_LOCAL, FROM_SIGNALS, FROM_MARKS };

#define PORT 0
#define N_CLIENTS (MLIMG_CLIENTS_MAX + 1)

struct daemon {
	struct mlimg_agent *agent;
	struct mlimg_daemon_fds fds;
	int epoll_fd;
	struct mlimg_client *clients[N_CLIENTS]; /* NULL: none */
	bool is_ready[N_CLIENTS];                /* has more to do */
	bool has_target;                         /* the default target is reached */
	bool is_to_end;
};

static int watch(struct daemon *daemon, int fd, uint32_t events, uint64_t what)
{
	struct epoll_event event = {.events = events, .data.u64 = what};

	return fd < 0 ? 0 : epoll_ctl(daemon->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* --- clients --- */

/*
 * Edge-triggered: a port whose other end is closed is "readable" and "hung up" all the time, so
 * that waiting for a level would return at once, for ever. The port wakes its waiters whenever data
 * come and whenever the host opens or closes its end, and an edge is kept for us while we do
 * something else; so after reading until nothing is left there is nothing to miss.
 */
static int add_client(struct daemon *daemon, unsigned number, int fd, enum mlimg_client_kind kind,
	enum mlimg_who who)
{
	struct mlimg_client *client = malloc(sizeof(*client));

	if (!client || watch(daemon, fd, EPOLLIN | EPOLLOUT | EPOLLET, number) < 0) {
		free(client);
		close(fd);
		return -ENOMEM;
	}
	/* Not all of it: a line that is not needed takes no memory. */
	client->line.size = client->line.is_too_long = 0;
	memset((char *)client + sizeof(client->line), 0, sizeof(*client) - sizeof(client->line));
	client->fd = fd;
	client->job_fd = -1;
	client->kind = kind;
	client->who = who;
	client->number = number;
	client->epoll_fd = daemon->epoll_fd;
	client->agent = daemon->agent;
	daemon->clients[number] = client;
	daemon->is_ready[number] = true;
	return 0;
}

static void remove_client(struct daemon *daemon, unsigned number)
{
	mlimg_client_close(daemon->clients[number]);
	free(mlimg_steal(&daemon->clients[number]));
	daemon->is_ready[number] = false;
}

static unsigned count_clients(const struct daemon *daemon)
{
	unsigned n = 0;

	for (unsigned i = PORT + 1; i < N_CLIENTS; i++)
		n += daemon->clients[i] != NULL;
	return n;
}

static void turn_away(int fd)
{
	static const char line[] =
		"{\"error\":{\"class\":\"Busy\",\"desc\":\"too many clients\"}}\n";

	if (send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		errno = 0; /* it is told what it can be told */
	close(fd);
}

static enum mlimg_who who_is(int fd)
{
	struct ucred cred = {.uid = (uid_t)-1};
	socklen_t size = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return MLIMG_WHO_USER;
	return cred.uid == 0 ? MLIMG_WHO_ROOT : MLIMG_WHO_USER;
}

static void take_in(struct daemon *daemon, int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		enum mlimg_who who = listener == daemon->fds.host ? MLIMG_WHO_HOST : who_is(fd);
		unsigned room = MLIMG_CLIENTS_MAX - count_clients(daemon), number = PORT + 1;

		while (number < N_CLIENTS && daemon->clients[number])
			number++;
		if (room <= (who == MLIMG_WHO_USER ? MLIMG_CLIENTS_OF_ROOT : 0))
			turn_away(fd);
		else if (add_client(daemon, number, fd, MLIMG_CLIENT_SOCKET, who) < 0)
			return;
	}
}

/* --- the default target --- */

/* Under another init than systemd there is nothing to wait for. */
static void look_for_target(struct daemon *daemon)
{
	char path[PATH_MAX], dropped[4096];

	while (daemon->fds.marks >= 0 && read(daemon->fds.marks, dropped, sizeof(dropped)) > 0)
		;
	snprintf(path, sizeof(path), "%s/mlimg/default-target", daemon->agent->run_dir);
	daemon->has_target = daemon->has_target || !mlimg_status_is_systemd(daemon->agent) ||
		access(path, F_OK) == 0;
}

/* Once to each client, the port being one. Who is not there misses it. */
static void announce(struct daemon *daemon, struct mlimg_client *client)
{
	static const char event[] = "{\"event\":\"default-target\",\"data\":{}}\n";

	if (daemon->has_target && client->who == MLIMG_WHO_HOST && !client->has_announced)
		client->has_announced = mlimg_client_announce(client, event);
}

/* --- the loop --- */

static int go(struct daemon *daemon, unsigned number, struct mlimg_err *err)
{
	struct mlimg_client *client = daemon->clients[number];
	enum mlimg_client_next next;

	announce(daemon, client);
	next = mlimg_client_go(client, mlimg_clock_ms());
	daemon->is_ready[number] = next == MLIMG_CLIENT_IS_READY;
	if (next != MLIMG_CLIENT_IS_GONE)
		return 0;
	remove_client(daemon, number);
	return number == PORT ? mlimg_err_set(err, ENODEV, "the port is gone") : 0;
}

/* How long to wait; -1: for ever. */
static int get_timeout(const struct daemon *daemon)
{
	int64_t now_ms = mlimg_clock_ms(), soonest_ms = mlimg_freeze_deadline(daemon->agent);

	for (unsigned i = 0; i < N_CLIENTS; i++) {
		int64_t deadline_ms =
			daemon->clients[i] ? mlimg_client_deadline(daemon->clients[i]) : 0;

		if (daemon->is_ready[i])
			return 0;
		if (deadline_ms && (!soonest_ms || deadline_ms < soonest_ms))
			soonest_ms = deadline_ms;
	}
	if (!soonest_ms)
		return -1;
	return soonest_ms > now_ms ? (int)(soonest_ms - now_ms) : 0;
}

static void take_event(struct daemon *daemon, const struct epoll_event *event)
{
	unsigned number = (unsigned)(event->data.u64 & ~(uint64_t)MLIMG_DAEMON_JOB);

	switch (event->data.u64) {
	case FROM_HOST: take_in(daemon, daemon->fds.host); return;
	case FROM_LOCAL: take_in(daemon, daemon->fds.local); return;
	case FROM_SIGNALS: daemon->is_to_end = true; return;
	case MLIMG_DAEMON_FREEZE: mlimg_freeze_is_kept(daemon->agent); return;
	case FROM_MARKS:
		look_for_target(daemon);
		memset(daemon->is_ready, true, sizeof(daemon->is_ready));
		return;
	}
	if (number >= N_CLIENTS || !daemon->clients[number])
		return;
	daemon->is_ready[number] = true;
	/* It cannot take the answer of what it has asked, so that nobody need go on. */
	if (!(event->data.u64 & MLIMG_DAEMON_JOB) && event->events & EPOLLHUP &&
		daemon->clients[number]->kind == MLIMG_CLIENT_SOCKET &&
		daemon->clients[number]->job_fd >= 0)
		remove_client(daemon, number);
}

/* Whoever has something to do, and whose deadline may be over. */
static int go_on(struct daemon *daemon, struct mlimg_err *err)
{
	int r = 0;

	for (unsigned i = 0; i < N_CLIENTS && r == 0; i++) {
		bool has_deadline = daemon->clients[i] && mlimg_client_deadline(daemon->clients[i]);

		if (daemon->clients[i] && (daemon->is_ready[i] || has_deadline))
			r = go(daemon, i, err);
		else
			daemon->is_ready[i] = false;
	}
	return r;
}

static bool is_needed(const struct daemon *daemon)
{
	return !daemon->fds.is_passed || daemon->clients[PORT] || count_clients(daemon);
}

static int serve(struct daemon *daemon, struct mlimg_err *err)
{
	struct epoll_event events[N_CLIENTS];
	int n = 0, r = 0;

	while (r == 0 && !daemon->is_to_end) {
		n = epoll_wait(daemon->epoll_fd, events, N_CLIENTS, get_timeout(daemon));
		if (n < 0 && errno != EINTR)
			return mlimg_err_set(err, errno, "wait for clients");
		for (int i = 0; i < n; i++)
			take_event(daemon, &events[i]);
		mlimg_freeze_watch(daemon->agent, mlimg_clock_ms());
		r = go_on(daemon, err);
		daemon->is_to_end = daemon->is_to_end || !is_needed(daemon);
	}
	return r;
}

static int begin(struct daemon *daemon, struct mlimg_err *err)
{
	int r = 0;

	daemon->epoll_fd = daemon->agent->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (daemon->epoll_fd < 0 || watch(daemon, daemon->fds.host, EPOLLIN, FROM_HOST) < 0 ||
		watch(daemon, daemon->fds.local, EPOLLIN, FROM_LOCAL) < 0 ||
		watch(daemon, daemon->fds.signals, EPOLLIN, FROM_SIGNALS) < 0 ||
		watch(daemon, daemon->fds.marks, EPOLLIN, FROM_MARKS) < 0)
		return mlimg_err_set(err, errno, "wait for clients");
	look_for_target(daemon);
	if (daemon->fds.port >= 0)
		r = add_client(daemon, PORT, mlimg_steal_fd(&daemon->fds.port), MLIMG_CLIENT_PORT,
			MLIMG_WHO_HOST);
	return r < 0 ? mlimg_err_set(err, r, "serve the port") : 0;
}

int mlimg_daemon_run(const struct mlimg_daemon_options *options, struct mlimg_agent *agent,
	struct mlimg_err *err)
{
	mlimg_autofree struct daemon *daemon = calloc(1, sizeof(*daemon));
	int r;

	if (!daemon)
		return mlimg_err_set(err, ENOMEM, "serve");
	daemon->agent = agent;
	daemon->epoll_fd = -1;
	r = mlimg_daemon_open(options, agent, &daemon->fds, err);
	if (r == 0)
		r = begin(daemon, err);
	if (r == 0)
		r = serve(daemon, err);
	for (unsigned i = 0; i < N_CLIENTS; i++)
		if (daemon->clients[i])
			remove_client(daemon, i);
	mlimg_freeze_end(agent);
	if (daemon->epoll_fd >= 0)
		close(daemon->epoll_fd);
	mlimg_daemon_close(&daemon->fds);
	return r;
}
