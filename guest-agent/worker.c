/* SPDX-License-Identifier: MIT */
#include "guest-agent/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest-agent/child.h"
#include "libmlimg/cleanup.h"

#define OWN_FD 3        /* first behind standard error */
#define FDS_OF_OLD 1024 /* where close_range(2), of Linux 5.9, is missing: the usual limit */

/* Else a client's connection, or a freeze, would last as long as this process. */
static void close_others(int fd)
{
	dup2(fd, OWN_FD);
	if (close_range(OWN_FD + 1, ~0U, 0) == 0)
		return;
	for (int i = OWN_FD + 1; i < FDS_OF_OLD; i++)
		close(i);
}

int mlimg_worker_start(mlimg_worker_fn *fn, void *ctx, struct mlimg_err *err)
{
	mlimg_autoclose int ours = -1, theirs = -1;
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return mlimg_err_set(err, errno, "make a socket");
	ours = ends[0];
	theirs = ends[1];
	pid = fork();
	if (pid < 0)
		return mlimg_err_set(err, errno, "fork");
	if (pid == 0) {
		signal(SIGCHLD, SIG_DFL);
		signal(SIGPIPE, SIG_IGN);
		close_others(theirs);
		fcntl(OWN_FD, F_SETFD, FD_CLOEXEC);
		mlimg_child_cancel_with(OWN_FD);
		fn(OWN_FD, ctx);
		_exit(0);
	}
	if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return mlimg_err_set(err, errno, "make a socket");
	return mlimg_steal_fd(&ours);
}
