/* SPDX-License-Identifier: MIT */
#include "guest-agent/daemon-open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "guest-agent/port.h"
#include "libmlimg/cleanup.h"

#define PASSED_FD 3 /* sd_listen_fds(3): the first one */

static int listen_on(const char *path, mode_t mode, struct mlimg_err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mlimg_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct stat st;
	mode_t mask;
	int r;

	if (strlen(path) >= sizeof(address.sun_path))
		return mlimg_err_set(err, ENAMETOOLONG, "socket %s", path);
	strcpy(address.sun_path, path);
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	mask = umask(~mode & 0777);
	r = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (r < 0 || listen(fd, MLIMG_CLIENTS_MAX) < 0)
		return mlimg_err_set(err, errno, "listen on %s", path);
	return mlimg_steal_fd(&fd);
}

static bool has_passed_socket(void)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");

	return pid && n && strtol(pid, NULL, 10) == getpid() && strcmp(n, "1") == 0;
}

static int open_local(const struct mlimg_daemon_options *options, const struct mlimg_agent *agent,
	struct mlimg_daemon_fds *fds, struct mlimg_err *err)
{
	char path[PATH_MAX];

	if (has_passed_socket()) {
		fds->is_passed = true;
		fds->local = PASSED_FD;
		fcntl(PASSED_FD, F_SETFD, FD_CLOEXEC);
		fcntl(PASSED_FD, F_SETFL, O_NONBLOCK);
		return 0;
	}
	snprintf(path, sizeof(path), "%s/" MLIMG_DAEMON_SOCKET, agent->run_dir);
	fds->local = listen_on(options->socket ? options->socket : path, 0666, err);
	return fds->local;
}

static int open_port(const struct mlimg_daemon_options *options, int *ret_fd, struct mlimg_err *err)
{
	char found[MLIMG_PORT_PATH_SIZE];
	const char *path = options->port ? options->port : found;
	int r = options->port ? 0 : mlimg_port_find(MLIMG_PORT_SYSFS, found, err);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	*ret_fd = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return *ret_fd < 0 ? mlimg_err_set(err, errno, "open %s", path) : 0;
}

/* -1 where a boot by mlimg has not made the directory. */
static int watch_marks(const struct mlimg_agent *agent)
{
	mlimg_autoclose int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s/mlimg", agent->run_dir);
	if (fd < 0 || inotify_add_watch(fd, dir, IN_CREATE | IN_ONLYDIR) < 0)
		return -1;
	return mlimg_steal_fd(&fd);
}

static int watch_signals(struct mlimg_err *err)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN); /* nobody asks how a process has ended, and none is to remain */
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd < 0 ? mlimg_err_set(err, errno, "wait for signals") : fd;
}

int mlimg_daemon_open(const struct mlimg_daemon_options *options, const struct mlimg_agent *agent,
	struct mlimg_daemon_fds *ret_fds, struct mlimg_err *err)
{
	int r = 0;

	*ret_fds = (struct mlimg_daemon_fds){
		.port = -1, .host = -1, .local = -1, .signals = -1, .marks = -1};
	if (options->host)
		r = ret_fds->host = listen_on(options->host, 0600, err);
	else
		r = open_port(options, &ret_fds->port, err);
	if (r >= 0)
		r = open_local(options, agent, ret_fds, err);
	if (r >= 0)
		r = ret_fds->signals = watch_signals(err);
	if (r >= 0)
		ret_fds->marks = watch_marks(agent);
	return r < 0 ? r : 0;
}

void mlimg_daemon_close(const struct mlimg_daemon_fds *fds)
{
	const int all[] = {fds->port, fds->host, fds->local, fds->signals, fds->marks};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i] >= 0)
			close(all[i]);
}
