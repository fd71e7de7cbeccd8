/* SPDX-License-Identifier: MIT */
#include "guest-agent/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest-agent/clock.h"
#include "guest-agent/daemon.h"
#include "guest-agent/freeze.h"
#include "guest-agent/power.h"
#include "guest-agent/worker.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

/* Things done for one client before the others come: reads of 4 KiB, requests, writes. */
#define ROUNDS 64

static void drop_output(struct mlimg_output *out)
{
	for (size_t i = 0; i < out->n_fds; i++)
		close(out->fds[i]);
	free(out->fds);
	free(out->data);
	*out = (struct mlimg_output){.data = NULL};
}

/* Takes over @p data. */
static void set_output(struct mlimg_client *client, char *data, size_t size)
{
	drop_output(&client->out);
	client->out.data = data;
	client->out.size = size;
}

static void end_job(struct mlimg_client *client)
{
	if (client->job_fd >= 0) {
		/* By hand: epoll keeps it where another descriptor of the socket is left. */
		epoll_ctl(client->epoll_fd, EPOLL_CTL_DEL, client->job_fd, NULL);
		close(mlimg_steal_fd(&client->job_fd));
	}
	free(mlimg_steal(&client->or_else));
	client->job_has_said = false;
}

static void tell_init(struct mlimg_client *client)
{
	if (client->signal || client->program)
		mlimg_power_go(client->agent, client->signal, client->program);
	client->signal = 0;
	client->program = NULL;
}

static bool is_absent(const struct mlimg_client *client)
{
	struct pollfd p = {.fd = client->fd};

	return client->kind == MLIMG_CLIENT_PORT && poll(&p, 1, 0) > 0 && p.revents & POLLHUP;
}

/* What a client that does not read has asked meanwhile is thrown away, too. */
static void give_up(struct mlimg_client *client)
{
	drop_output(&client->out);
	end_job(client);
	tell_init(client);
	mlimg_line_reset(&client->line);
	client->in_at = client->in_end = 0;
	client->send_since_ms = 0;
	client->owes_resync = client->is_deaf = true;
}

static ssize_t send_with_fds(int fd, const struct mlimg_output *out)
{
	struct iovec data = {.iov_base = out->data, .iov_len = out->size};
	size_t size = out->n_fds * sizeof(int);
	mlimg_autofree struct cmsghdr *control = calloc(1, CMSG_SPACE(size));
	struct msghdr message = {.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(size)};

	if (!control)
		return -1;
	control->cmsg_level = SOL_SOCKET;
	control->cmsg_type = SCM_RIGHTS;
	control->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(control), out->fds, size);
	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static ssize_t send_some(struct mlimg_client *client)
{
	struct mlimg_output *out = &client->out;

	if (client->owes_resync)
		return write(client->fd, "\xff", 1);
	if (out->n_fds && out->at == 0)
		return send_with_fds(client->fd, out);
	return write(client->fd, out->data + out->at, out->size - out->at);
}

static void sent(struct mlimg_client *client)
{
	drop_output(&client->out);
	client->send_since_ms = 0;
	if (client->job_fd < 0)
		tell_init(client);
}

/* Whoever cannot be sent to: has it been long enough? */
static int wait_to_send(struct mlimg_client *client, int64_t now_ms)
{
	if (!client->send_since_ms)
		client->send_since_ms = now_ms;
	client->send_limit_ms = is_absent(client) ? MLIMG_ABSENT_MS : MLIMG_SEND_TIMEOUT_MS;
	if (now_ms < client->send_since_ms + client->send_limit_ms)
		return 0;
	give_up(client);
	return 1;
}

static int flush(struct mlimg_client *client, int64_t now_ms)
{
	ssize_t n = send_some(client);

	if (n < 0 && errno == EAGAIN)
		return wait_to_send(client, now_ms);
	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	if (client->owes_resync) {
		client->owes_resync = false;
		return 1;
	}
	client->out.at += (size_t)n;
	if (client->out.at == client->out.size)
		sent(client);
	return 1;
}

/* A piece of what the process has to say; or what is said when it says nothing more. */
static int relay(struct mlimg_client *client, int64_t now_ms)
{
	char piece[MLIMG_PIECE_MAX], *data;
	ssize_t n = read(client->job_fd, piece, sizeof(piece));

	if (n > 0) {
		data = malloc((size_t)n);
		if (!data)
			return -ENOMEM;
		set_output(client, memcpy(data, piece, (size_t)n), (size_t)n);
		client->job_has_said = true;
		if (data[n - 1] == '\n')
			end_job(client);
		return 1;
	}
	if (n < 0 && errno == EAGAIN && now_ms < client->job_deadline_ms)
		return 0;
	client->owes_resync = client->owes_resync || client->job_has_said;
	data = mlimg_steal(&client->or_else);
	set_output(client, data, data ? client->or_else_size : 0);
	end_job(client);
	return 1;
}

static void answer_in_worker(int fd, void *ctx)
{
	struct mlimg_call *call = ctx;
	size_t size;
	char *line = mlimg_call_answer(call, &size);

	/* When nobody listens any more there is nobody to tell. */
	if (line && mlimg_write_all(fd, line, size) < 0)
		return;
}

static void begin_job(struct mlimg_client *client, struct mlimg_call *call)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLET, .data.u64 = MLIMG_DAEMON_JOB | client->number};

	client->or_else = mlimg_call_or_else(call, &client->or_else_size);
	client->job_fd = mlimg_steal_fd(&call->answer_fd);
	client->job_deadline_ms = mlimg_clock_ms() + MLIMG_JOB_TIMEOUT_MS;
	epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, client->job_fd, &event);
}

static void begin(struct mlimg_client *client, struct mlimg_call *call)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *line = NULL;
	size_t size = 0;

	/* So that a process knows by the agent's state, too. */
	mlimg_freeze_is_on(client->agent);
	if (call->command && call->command->flags & MLIMG_COMMAND_SLOW) {
		call->answer_fd = mlimg_worker_start(answer_in_worker, call, &err);
		if (call->answer_fd < 0) {
			call->answer_fd = -1;
			call->command =
				mlimg_fail(&call->failure, MLIMG_CLASS_GENERIC, "%s", err.text);
		}
	}
	if (call->answer_fd < 0)
		line = mlimg_call_answer(call, &size);
	if (call->answer_fd >= 0) {
		begin_job(client, call);
	} else if (line) {
		set_output(client, line, size);
		client->out.fds = mlimg_steal(&call->fds);
		client->out.n_fds = call->n_fds;
		call->n_fds = 0;
	}
	client->signal = call->signal;
	client->program = call->program;
}

/* @return false: whatever it is, it is answered before the next one */
static bool take_line(const char *text, size_t size, void *ctx)
{
	struct mlimg_client *client = ctx;
	struct mlimg_call call = {.agent = client->agent,
		.who = client->who,
		.client = client->number,
		.n_views = &client->n_views};

	if (mlimg_call_read(&call, text, size))
		begin(client, &call);
	mlimg_call_done(&call);
	return false;
}

static int take_input(struct mlimg_client *client)
{
	ssize_t n;

	if (client->in_at < client->in_end) {
		client->in_at += mlimg_line_feed(&client->line, client->in + client->in_at,
			client->in_end - client->in_at, take_line, client);
		return 1;
	}
	n = read(client->fd, client->in, sizeof(client->in));
	if (n > 0) {
		client->in_end = (size_t)n;
		client->in_at = client->is_deaf ? client->in_end : 0;
		return 1;
	}
	if (n < 0 && errno == EINTR)
		return 1;
	/* Nobody is at a port's other end; or nothing has come yet. */
	if ((n == 0 && client->kind == MLIMG_CLIENT_PORT) || (n < 0 && errno == EAGAIN)) {
		client->is_deaf = false;
		return 0;
	}
	return n == 0 ? -EPIPE : -errno;
}

/*
 * That a client is gone is no news for a port, through which the next one will come, but for a
 * freeze that it has asked for: it ends.
 */
static void watch_absence(struct mlimg_client *client, int64_t now_ms)
{
	if (client->kind != MLIMG_CLIENT_PORT || !mlimg_freeze_is_of(client->agent, client->number))
		client->absent_since_ms = 0;
	else if (!is_absent(client))
		client->absent_since_ms = 0;
	else if (!client->absent_since_ms)
		client->absent_since_ms = now_ms;
	else if (now_ms >= client->absent_since_ms + MLIMG_ABSENT_MS)
		mlimg_freeze_end(client->agent);
}

static int step(struct mlimg_client *client, int64_t now_ms)
{
	if (client->out.data)
		return flush(client, now_ms);
	if (client->job_fd >= 0)
		return relay(client, now_ms);
	return take_input(client);
}

enum mlimg_client_next mlimg_client_go(struct mlimg_client *client, int64_t now_ms)
{
	int r = 1;

	for (int i = 0; i < ROUNDS && r > 0; i++)
		r = step(client, now_ms);
	watch_absence(client, now_ms);
	return r < 0 ? MLIMG_CLIENT_IS_GONE : r > 0 ? MLIMG_CLIENT_IS_READY : MLIMG_CLIENT_WAITS;
}

static void sooner(int64_t *deadline_ms, int64_t other_ms)
{
	if (!*deadline_ms || other_ms < *deadline_ms)
		*deadline_ms = other_ms;
}

int64_t mlimg_client_deadline(const struct mlimg_client *client)
{
	int64_t deadline_ms = 0;

	if (client->send_since_ms)
		sooner(&deadline_ms, client->send_since_ms + client->send_limit_ms);
	if (client->job_fd >= 0 && !client->out.data)
		sooner(&deadline_ms, client->job_deadline_ms);
	if (client->absent_since_ms)
		sooner(&deadline_ms, client->absent_since_ms + MLIMG_ABSENT_MS);
	return deadline_ms;
}

bool mlimg_client_announce(struct mlimg_client *client, const char *line)
{
	char *data;

	if (client->out.data || client->job_fd >= 0)
		return false;
	data = strdup(line);
	set_output(client, data, data ? strlen(data) : 0);
	return true;
}

void mlimg_client_close(struct mlimg_client *client)
{
	drop_output(&client->out);
	end_job(client);
	tell_init(client);
	if (mlimg_freeze_is_of(client->agent, client->number))
		mlimg_freeze_end(client->agent);
	if (client->fd >= 0) {
		epoll_ctl(client->epoll_fd, EPOLL_CTL_DEL, client->fd, NULL);
		close(mlimg_steal_fd(&client->fd));
	}
}
