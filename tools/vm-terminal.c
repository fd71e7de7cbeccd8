/* SPDX-License-Identifier: MIT */
#include "tools/vm-terminal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "tools/vm-chan.h"

/* Where the listener and the console are among the descriptors; the clients come first. */
enum { LISTENER = MLIMG_TERMINAL_CLIENTS, CONSOLE };

void mlimg_terminal_init(struct mlimg_terminal *t)
{
	t->listener = -1;
	t->n_typed = 0;
	for (size_t i = 0; i < MLIMG_TERMINAL_CLIENTS; i++)
		t->clients[i] = -1;
}

int mlimg_terminal_listen(struct mlimg_terminal *t, const char *path, struct mlimg_err *err)
{
	struct sockaddr_un addr;
	mlimg_autoclose int fd = -1;
	int ret = mlimg_unix_socket(path, &addr, &fd, err);

	if (ret < 0)
		return ret;
	unlink(path);
	/* Its directory is 0700 already. */
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || chmod(path, 0600) < 0 ||
		listen(fd, MLIMG_TERMINAL_CLIENTS) < 0)
		return mlimg_err_set(err, errno, "socket '%s'", path);
	t->listener = mlimg_steal_fd(&fd);
	return 0;
}

static void hang_up(struct mlimg_terminal *t, size_t i)
{
	mlimg_cleanup_close(&t->clients[i]);
	t->clients[i] = -1;
}

void mlimg_terminal_put(struct mlimg_terminal *t, const char *text, size_t size)
{
	for (size_t i = 0; i < MLIMG_TERMINAL_CLIENTS; i++)
		if (t->clients[i] >= 0 &&
			send(t->clients[i], text, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
			errno != EAGAIN && errno != EINTR)
			hang_up(t, i);
}

void mlimg_terminal_poll(
	const struct mlimg_terminal *t, int console, struct pollfd ret_fds[MLIMG_TERMINAL_FDS])
{
	/* As long as the guest has not taken what was typed, nobody can type. */
	for (size_t i = 0; i < MLIMG_TERMINAL_CLIENTS; i++)
		ret_fds[i] =
			(struct pollfd){.fd = t->clients[i], .events = t->n_typed ? 0 : POLLIN};
	ret_fds[LISTENER] = (struct pollfd){.fd = t->listener, .events = POLLIN};
	ret_fds[CONSOLE] = (struct pollfd){.fd = t->n_typed ? console : -1, .events = POLLOUT};
}

static void take_client(struct mlimg_terminal *t)
{
	mlimg_autoclose int fd = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	for (size_t i = 0; fd >= 0 && i < MLIMG_TERMINAL_CLIENTS; i++)
		if (t->clients[i] < 0) {
			t->clients[i] = mlimg_steal_fd(&fd);
			return;
		}
}

static void pass_on(struct mlimg_terminal *t, int console)
{
	ssize_t n = console < 0 ? (ssize_t)t->n_typed
				: send(console, t->typed, t->n_typed, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		n = (ssize_t)t->n_typed;
	if (n <= 0)
		return;
	t->n_typed -= (size_t)n;
	memmove(t->typed, t->typed + n, t->n_typed);
}

static void read_client(struct mlimg_terminal *t, size_t i, int console)
{
	ssize_t n = recv(t->clients[i], t->typed, sizeof(t->typed), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		hang_up(t, i);
		return;
	}
	t->n_typed = (size_t)n;
	pass_on(t, console);
}

void mlimg_terminal_handle(
	struct mlimg_terminal *t, int console, const struct pollfd fds[MLIMG_TERMINAL_FDS])
{
	if (t->n_typed && fds[CONSOLE].revents)
		pass_on(t, console);
	for (size_t i = 0; i < MLIMG_TERMINAL_CLIENTS; i++) {
		if (t->clients[i] < 0 || t->clients[i] != fds[i].fd || !fds[i].revents)
			continue;
		/* One that has gone is seen even where nobody can type. */
		if (!t->n_typed)
			read_client(t, i, console);
		else if (fds[i].revents & (POLLHUP | POLLERR))
			hang_up(t, i);
	}
	if (fds[LISTENER].revents)
		take_client(t);
}

void mlimg_terminal_close(struct mlimg_terminal *t)
{
	for (size_t i = 0; i < MLIMG_TERMINAL_CLIENTS; i++)
		hang_up(t, i);
	mlimg_cleanup_close(&t->listener);
	mlimg_terminal_init(t);
}
