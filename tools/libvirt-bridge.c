/* SPDX-License-Identifier: MIT */
#include "tools/libvirt-bridge.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "tools/libvirt-err.h"

#define PIECE 65536

/* What waits to be written. */
struct piece {
	char data[PIECE];
	size_t start, end;
};

/*
 * All but its making happens in the one thread of the events. It is freed when libvirt has let go of
 * both callbacks, which it does when none of them runs.
 */
struct bridge {
	pthread_mutex_t lock;
	virStreamPtr stream;
	int fd, watch;
	struct piece in, out; /* from the guest, to it */
	bool is_over;
	int references; /* callbacks that libvirt has */
};

static void bridge_free(struct bridge *b)
{
	if (b->stream)
		virStreamFree(b->stream);
	mlimg_cleanup_close(&b->fd);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static void let_go(void *ctx)
{
	struct bridge *b = ctx;
	bool is_last;

	pthread_mutex_lock(&b->lock);
	is_last = --b->references == 0;
	pthread_mutex_unlock(&b->lock);
	if (is_last)
		bridge_free(b);
}

static size_t room(struct piece *p)
{
	if (p->start == p->end)
		p->start = p->end = 0;
	return p->start ? 0 : PIECE - p->end;
}

static void finish(struct bridge *b)
{
	if (b->is_over)
		return;
	b->is_over = true;
	shutdown(b->fd, SHUT_RDWR);
	virEventRemoveHandle(b->watch);
	virStreamEventRemoveCallback(b->stream);
	virStreamAbort(b->stream);
}

/* What each side waits for: to take what there is room for, and to be given what waits. */
static void wait_for(struct bridge *b)
{
	int stream = VIR_STREAM_EVENT_ERROR | VIR_STREAM_EVENT_HANGUP;
	int socket = VIR_EVENT_HANDLE_ERROR | VIR_EVENT_HANDLE_HANGUP;

	if (b->is_over)
		return;
	if (room(&b->in))
		stream |= VIR_STREAM_EVENT_READABLE;
	if (b->out.start < b->out.end)
		stream |= VIR_STREAM_EVENT_WRITABLE;
	if (room(&b->out))
		socket |= VIR_EVENT_HANDLE_READABLE;
	if (b->in.start < b->in.end)
		socket |= VIR_EVENT_HANDLE_WRITABLE;
	virStreamEventUpdateCallback(b->stream, stream);
	virEventUpdateHandle(b->watch, socket);
}

/* @return whether it goes on */
static bool take_from_stream(struct bridge *b)
{
	size_t size = room(&b->in);
	int n = size ? virStreamRecv(b->stream, b->in.data + b->in.end, size) : -2;

	if (n > 0)
		b->in.end += (size_t)n;
	/* -2: nothing yet */
	return n > 0 || n == -2;
}

static bool give_to_stream(struct bridge *b)
{
	size_t size = b->out.end - b->out.start;
	int n = size ? virStreamSend(b->stream, b->out.data + b->out.start, size) : -2;

	if (n > 0)
		b->out.start += (size_t)n;
	return n >= 0 || n == -2;
}

static bool take_from_socket(struct bridge *b)
{
	size_t size = room(&b->out);
	ssize_t n = size ? recv(b->fd, b->out.data + b->out.end, size, MSG_DONTWAIT) : 1;

	if (size && n > 0)
		b->out.end += (size_t)n;
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static bool give_to_socket(struct bridge *b)
{
	size_t size = b->in.end - b->in.start;
	ssize_t n =
		size ? send(b->fd, b->in.data + b->in.start, size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

	if (n > 0)
		b->in.start += (size_t)n;
	return n >= 0 || errno == EAGAIN || errno == EINTR;
}

static void on_stream(virStreamPtr stream, int events, void *ctx)
{
	struct bridge *b = ctx;
	bool goes_on = true;

	pthread_mutex_lock(&b->lock);
	if (!b->is_over) {
		if (events & VIR_STREAM_EVENT_READABLE)
			goes_on = take_from_stream(b) && give_to_socket(b);
		if (goes_on && events & VIR_STREAM_EVENT_WRITABLE)
			goes_on = give_to_stream(b);
		if (!goes_on || events & (VIR_STREAM_EVENT_ERROR | VIR_STREAM_EVENT_HANGUP))
			finish(b);
		wait_for(b);
	}
	pthread_mutex_unlock(&b->lock);
}

static void on_socket(int watch, int fd, int events, void *ctx)
{
	struct bridge *b = ctx;
	bool goes_on = true;

	pthread_mutex_lock(&b->lock);
	if (!b->is_over) {
		if (events & VIR_EVENT_HANDLE_READABLE)
			goes_on = take_from_socket(b) && give_to_stream(b);
		if (goes_on && events & VIR_EVENT_HANDLE_WRITABLE)
			goes_on = give_to_socket(b);
		if (!goes_on || events & (VIR_EVENT_HANDLE_ERROR | VIR_EVENT_HANDLE_HANGUP))
			finish(b);
		wait_for(b);
	}
	pthread_mutex_unlock(&b->lock);
}

static struct bridge *bridge_new(virStreamPtr stream, int fd)
{
	struct bridge *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	pthread_mutex_init(&b->lock, NULL);
	b->stream = stream;
	b->fd = fd;
	b->watch = -1;
	b->references = 1;
	return b;
}

/* The events may come while this still runs: they wait for the lock. */
static int add_callbacks(struct bridge *b, struct mlimg_err *err)
{
	const int stream =
		VIR_STREAM_EVENT_READABLE | VIR_STREAM_EVENT_ERROR | VIR_STREAM_EVENT_HANGUP;
	const int socket =
		VIR_EVENT_HANDLE_READABLE | VIR_EVENT_HANDLE_ERROR | VIR_EVENT_HANDLE_HANGUP;
	int ret = 0;

	pthread_mutex_lock(&b->lock);
	b->watch = virEventAddHandle(b->fd, socket, on_socket, b, let_go);
	if (b->watch >= 0)
		b->references++;
	if (b->watch < 0)
		ret = mlimg_libvirt_fail(err, "stream");
	else if (virStreamEventAddCallback(b->stream, stream, on_stream, b, let_go) < 0)
		ret = mlimg_libvirt_fail(err, "stream");
	else
		b->references++;
	if (ret < 0 && b->watch >= 0) {
		b->is_over = true;
		virEventRemoveHandle(b->watch);
	}
	if (ret < 0)
		virStreamAbort(b->stream);
	pthread_mutex_unlock(&b->lock);
	return ret;
}

int mlimg_libvirt_bridge(virStreamPtr stream, int *ret_fd, struct mlimg_err *err)
{
	mlimg_autoclose int mine = -1;
	struct bridge *b;
	int fds[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
		ret = mlimg_err_set(err, errno, "socket pair");
		virStreamFree(stream);
		return ret;
	}
	mine = fds[0];
	b = bridge_new(stream, fds[1]);
	if (!b) {
		close(fds[1]);
		virStreamFree(stream);
		return mlimg_err_set(err, ENOMEM, "stream");
	}
	ret = add_callbacks(b, err);
	let_go(b);
	if (ret == 0)
		*ret_fd = mlimg_steal_fd(&mine);
	return ret;
}
