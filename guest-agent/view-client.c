/* SPDX-License-Identifier: MIT */
#include "guest-agent/view-client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "libmlimg/io.h"
#include "libmlimg/json.h"

#define REQUEST "{\"execute\":\"mlimg-view\"}\n"
#define ANSWER_MAX 65536
#define TIMEOUT_S 10
#define FDS_MAX 253 /* of one message (unix(7), SCM_RIGHTS) */

/* An answer as it comes. */
struct answer {
	char *text; /* ANSWER_MAX bytes */
	size_t size;
	int fds[FDS_MAX];
	size_t n_fds;
};

static int connect_to(const char *path, struct mlimg_err *err)
{
	const struct timeval timeout = {.tv_sec = TIMEOUT_S};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mlimg_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		return mlimg_err_set(err, ENAMETOOLONG, "connect to '%s'", path);
	strcpy(address.sun_path, path);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
		connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return mlimg_err_set(err, errno,
			"only root can look at the layers itself; for others mlimg-agent must run: "
			"connect to '%s'",
			path);
	return mlimg_steal_fd(&fd);
}

static void take_fds(struct answer *a, struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (a->n_fds < FDS_MAX)
				a->fds[a->n_fds++] = fd;
			else
				close(fd);
		}
	}
}

/* Up to the end of the line. */
static int receive(int fd, struct answer *a, struct mlimg_err *err)
{
	union {
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;

	while (a->size == 0 || a->text[a->size - 1] != '\n') {
		struct iovec part = {a->text + a->size, ANSWER_MAX - a->size};
		struct msghdr message = {.msg_iov = &part,
			.msg_iovlen = 1,
			.msg_control = control.bytes,
			.msg_controllen = sizeof(control.bytes)};
		ssize_t n;

		if (part.iov_len == 0)
			return mlimg_err_set(err, EMSGSIZE, "mlimg-agent's answer");
		n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return mlimg_err_set(
				err, n < 0 ? errno : ECONNRESET, "wait for mlimg-agent's answer");
		take_fds(a, &message);
		a->size += (size_t)n;
	}
	return 0;
}

/* Names and descriptors belong to each other one by one. */
static int take_dirs(struct answer *a, struct mlimg_view_sent *sent, struct mlimg_err *err)
{
	mlimg_autojson json_t *json = NULL;
	const json_t *dirs;
	const char *desc;
	int r = mlimg_json_load("mlimg-agent's answer", a->text, a->size, &json, err);

	if (r < 0)
		return r;
	desc = json_string_value(json_object_get(json_object_get(json, "error"), "desc"));
	if (desc)
		return mlimg_err_set(err, 0, "mlimg-agent: %.400s", desc);
	dirs = json_object_get(json_object_get(json, "return"), "dirs");
	if (json_array_size(dirs) != a->n_fds || a->n_fds > MLIMG_VIEW_SENT_MAX)
		return mlimg_err_refuse(err, "mlimg-agent's answer: %zu directories, %zu names",
			a->n_fds, json_array_size(dirs));
	for (size_t i = 0; i < a->n_fds; i++) {
		const char *dir = json_string_value(json_array_get(dirs, i));

		snprintf(sent->dirs[i].dir, sizeof(sent->dirs[i].dir), "%s", dir ? dir : "");
		sent->dirs[i].fd = a->fds[i];
	}
	sent->n = a->n_fds;
	a->n_fds = 0;
	return 0;
}

int mlimg_view_ask(const char *path, struct mlimg_view_sent *ret_sent, struct mlimg_err *err)
{
	struct answer a = {.text = NULL};
	mlimg_autoclose int fd = connect_to(path, err);
	int r = fd < 0 ? fd : mlimg_write_all(fd, REQUEST, strlen(REQUEST));

	if (fd < 0)
		return r;
	if (r < 0)
		return mlimg_err_set(err, r, "write to '%s'", path);
	a.text = malloc(ANSWER_MAX);
	r = a.text ? receive(fd, &a, err) : mlimg_err_set(err, ENOMEM, "ask mlimg-agent");
	if (r == 0)
		r = take_dirs(&a, ret_sent, err);
	while (a.n_fds > 0)
		close(a.fds[--a.n_fds]);
	free(a.text);
	return r;
}

int mlimg_view_sent_open(const struct mlimg_view_sent *sent, const char *dir)
{
	for (size_t i = 0; i < sent->n; i++) {
		int fd;

		if (strcmp(sent->dirs[i].dir, dir) != 0)
			continue;
		fd = openat(sent->dirs[i].fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	return -ENOENT;
}

void mlimg_view_sent_close(struct mlimg_view_sent *sent)
{
	while (sent->n > 0)
		close(sent->dirs[--sent->n].fd);
}
