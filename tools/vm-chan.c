/* SPDX-License-Identifier: MIT */
#include "tools/vm-chan.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "libmlimg/cleanup.h"

#define READ_SIZE 65536 /* at least so much room for a read: an ordinary answer fits */
#define RESYNC 0xff     /* throws away what is before it on its line */

uint64_t mlimg_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int mlimg_unix_socket(
	const char *path, struct sockaddr_un *ret_addr, int *ret_fd, struct mlimg_err *err)
{
	int fd;

	if (strlen(path) >= sizeof(ret_addr->sun_path))
		return mlimg_err_set(err, ENAMETOOLONG, "socket '%s'", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return mlimg_err_set(err, errno, "socket '%s'", path);
	*ret_addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret_addr->sun_path, path, strlen(path) + 1);
	*ret_fd = fd;
	return 0;
}

int mlimg_unix_connect(const char *path, int *ret_fd, struct mlimg_err *err)
{
	struct sockaddr_un addr;
	mlimg_autoclose int fd = -1;
	int ret = mlimg_unix_socket(path, &addr, &fd, err);

	if (ret < 0)
		return ret;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return mlimg_err_set(err, errno, "connect to '%s'", path);
	*ret_fd = mlimg_steal_fd(&fd);
	return 0;
}

void mlimg_chan_close(struct mlimg_chan *chan)
{
	if (chan->fd >= 0)
		close(chan->fd);
	free(chan->buf);
	*chan = (struct mlimg_chan)MLIMG_CHAN_INIT;
}

/* Room for a read behind what is unread; the buffer never grows beyond one line's limit and one
 * read. */
static int make_room(struct mlimg_chan *chan)
{
	size_t size = chan->size ? chan->size : READ_SIZE;
	char *buf;

	if (chan->start)
		memmove(chan->buf, chan->buf + chan->start, chan->end - chan->start);
	chan->scanned -= chan->start;
	chan->end -= chan->start;
	chan->start = 0;
	while (size - chan->end < READ_SIZE)
		size *= 2;
	if (size == chan->size)
		return 0;
	buf = realloc(chan->buf, size);
	if (!buf)
		return -ENOMEM;
	chan->buf = buf;
	chan->size = size;
	return 0;
}

int mlimg_chan_fill(struct mlimg_chan *chan)
{
	ssize_t n;
	int ret = chan->buf ? make_room(chan) : 0;

	if (!chan->buf) {
		chan->buf = malloc(READ_SIZE);
		chan->size = READ_SIZE;
		ret = chan->buf ? 0 : -ENOMEM;
	}
	if (ret < 0)
		return ret;
	n = recv(chan->fd, chan->buf + chan->end, READ_SIZE, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return -EPIPE;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	chan->end += (size_t)n;
	return (int)n;
}

/* Brackets that are not in strings. */
static bool is_nested_too_deep(const char *line, size_t len)
{
	bool in_string = false;
	int depth = 0;

	for (size_t i = 0; i < len; i++) {
		char c = line[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '['))
			depth++;
		else if (!in_string && (c == '}' || c == ']'))
			depth--;
		if (depth > MLIMG_CHAN_DEPTH_MAX)
			return true;
	}
	return false;
}

static json_t *parse_line(const char *line, size_t len)
{
	const char *resync = memrchr(line, RESYNC, len);
	json_t *json;

	if (resync) {
		len -= (size_t)(resync + 1 - line);
		line = resync + 1;
	}
	if (is_nested_too_deep(line, len))
		return NULL;
	json = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(json))
		return json;
	json_decref(json);
	return NULL;
}

/* A whole line, in the buffer. */
static bool next_line(struct mlimg_chan *chan, char **ret_line, size_t *ret_len)
{
	char *newline = NULL;

	if (chan->end > chan->scanned)
		newline = memchr(chan->buf + chan->scanned, '\n', chan->end - chan->scanned);
	if (!newline) {
		chan->scanned = chan->end;
		return false;
	}
	*ret_line = chan->buf + chan->start;
	*ret_len = (size_t)(newline - *ret_line);
	chan->start = chan->scanned = (size_t)(newline - chan->buf) + 1;
	return true;
}

json_t *mlimg_chan_next(struct mlimg_chan *chan)
{
	char *line;
	size_t len;

	while (next_line(chan, &line, &len)) {
		bool too_long = chan->skipping || len >= MLIMG_CHAN_LINE_MAX;
		json_t *json = too_long ? NULL : parse_line(line, len);

		chan->skipping = false;
		if (json)
			return json;
		chan->n_dropped++;
	}
	if (chan->end - chan->start >= MLIMG_CHAN_LINE_MAX) {
		chan->skipping = true;
		chan->start = chan->scanned = chan->end = 0;
	} else if (chan->skipping) {
		chan->start = chan->scanned = chan->end;
	}
	return NULL;
}

int mlimg_chan_wait(struct mlimg_chan *chan, uint64_t deadline_ms, json_t **ret)
{
	for (;;) {
		struct pollfd pfd = {.fd = chan->fd, .events = POLLIN};
		json_t *json = mlimg_chan_next(chan);
		uint64_t now = mlimg_now_ms();
		int n;

		if (json) {
			*ret = json;
			return 0;
		}
		if (now >= deadline_ms)
			return -ETIMEDOUT;
		n = poll(&pfd, 1, (int)(deadline_ms - now));
		if (n < 0 && errno != EINTR)
			return -errno;
		n = n > 0 ? mlimg_chan_fill(chan) : 0;
		if (n < 0)
			return n;
	}
}

/*
 * Requests have a few hundred bytes. A unix socket takes such a message whole or not at all as long
 * as it has room for it; if it ever took a part, the rest would be lost, and the other end would
 * drop one line.
 */
int mlimg_chan_request(
	struct mlimg_chan *chan, const char *command, json_t *arguments, json_int_t *ret_id)
{
	json_int_t id = ++chan->next_id;
	json_t *request =
		json_pack("{s:s, s:o*, s:I}", "execute", command, "arguments", arguments, "id", id);
	mlimg_autofree char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	mlimg_autofree char *line = NULL;
	ssize_t n;

	json_decref(request);
	if (!text || asprintf(&line, "%s\n", text) < 0)
		return -ENOMEM;
	n = send(chan->fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	if (ret_id)
		*ret_id = id;
	return 0;
}
