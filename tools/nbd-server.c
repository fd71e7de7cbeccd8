/* SPDX-License-Identifier: MIT */
#include "tools/nbd-server.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

/* sd_listen_fds(3): the first descriptor that is handed over, and above those that it may use. */
#define LISTEN_FD 3
#define HIGH_FD 10
#define LISTEN_PID "LISTEN_PID="

/* What a child is made with: after fork(2) among threads there is no malloc(3). */
struct child {
	char *const *argv;
	char **env;
	char *pid_text; /* behind LISTEN_PID in env; room for any number */
	int listen_fd, err_fd, failed_fd, null_fd;
	pid_t parent;
};

/* ---- the child ---- */

/*
 * What can be had of it: an older kernel has no landlock, and a server that may write is as good as
 * any program of QEMU's.
 */
static void confine(int null_fd)
{
	static const struct landlock_ruleset_attr attr = {
		.handled_access_fs = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
			LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
			LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
			LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
			LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM};
	static const struct rlimit none = {0, 0};
	/* Without it QEMU finds no locks (util/osdep.c), and would read what a guest writes. */
	const struct landlock_path_beneath_attr null = {
		.allowed_access = LANDLOCK_ACCESS_FS_WRITE_FILE, .parent_fd = null_fd};
	int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
	setrlimit(RLIMIT_FSIZE, &none);
	if (fd >= 0) {
		if (syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &null, 0) == 0)
			syscall(SYS_landlock_restrict_self, fd, 0);
		close(fd);
	}
}

static void put_number(char *text, pid_t number)
{
	char digits[16];
	size_t n = 0;

	for (; number; number /= 10)
		digits[n++] = (char)('0' + number % 10);
	while (n)
		*text++ = digits[--n];
	*text = '\0';
}

static void __attribute__((noreturn)) run_child(const struct child *c)
{
	int failed_fd = fcntl(c->failed_fd, F_DUPFD_CLOEXEC, HIGH_FD);
	int listen_fd = fcntl(c->listen_fd, F_DUPFD_CLOEXEC, HIGH_FD);
	int err_fd = fcntl(c->err_fd, F_DUPFD_CLOEXEC, HIGH_FD), failed;
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != c->parent) /* it died before the line above */
		_exit(1);
	setsid();
	dup2(c->null_fd, STDIN_FILENO);
	dup2(err_fd, STDOUT_FILENO);
	dup2(err_fd, STDERR_FILENO);
	dup2(listen_fd, LISTEN_FD);
	put_number(c->pid_text, getpid());
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	confine(c->null_fd);
	execvpe(c->argv[0], c->argv, c->env);
	failed = errno;
	_exit(mlimg_write_all(failed_fd, &failed, sizeof(failed)) < 0);
}

/* ---- this process ---- */

/* @return the environment with what hands over a socket; free() it, and *ret_pid */
static char **make_env(char **ret_pid)
{
	size_t n = 0;
	char **env, *pid = malloc(sizeof(LISTEN_PID) + 16);

	while (environ[n])
		n++;
	env = calloc(n + 3, sizeof(*env));
	if (!env || !pid) {
		free(env);
		free(pid);
		return NULL;
	}
	n = 0;
	for (char **e = environ; *e; e++)
		if (strncmp(*e, "LISTEN_", strlen("LISTEN_")) != 0)
			env[n++] = *e;
	strcpy(pid, LISTEN_PID);
	env[n++] = pid;
	env[n++] = (char *)"LISTEN_FDS=1";
	*ret_pid = pid;
	return env;
}

/* The pipe closes by itself when the program starts, and carries errno when it does not. */
static int await_start(int failed_fd, const char *program, struct mlimg_err *err)
{
	int failed;

	if (mlimg_read_full(failed_fd, &failed, sizeof(failed)) != (ssize_t)sizeof(failed))
		return 0;
	return mlimg_err_set(err, failed, "run '%s'", program);
}

static int spawn(struct child *c, struct mlimg_nbd_server *server, struct mlimg_err *err)
{
	mlimg_autoclose int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int err_pipe[2] = {-1, -1}, failed_pipe[2] = {-1, -1}, ret = 0;

	if (null_fd < 0 || pipe2(err_pipe, O_CLOEXEC) < 0 || pipe2(failed_pipe, O_CLOEXEC) < 0)
		ret = mlimg_err_set(err, errno, "start '%s'", c->argv[0]);
	c->null_fd = null_fd;
	c->err_fd = err_pipe[1];
	c->failed_fd = failed_pipe[1];
	c->parent = getpid();
	if (ret == 0)
		server->pid = fork();
	if (ret == 0 && server->pid < 0)
		ret = mlimg_err_set(err, errno, "start '%s'", c->argv[0]);
	if (server->pid == 0)
		run_child(c);
	mlimg_cleanup_close(&failed_pipe[1]);
	mlimg_cleanup_close(&err_pipe[1]);
	failed_pipe[1] = err_pipe[1] = -1;
	if (ret == 0)
		ret = await_start(failed_pipe[0], c->argv[0], err);
	if (ret == 0) {
		fcntl(err_pipe[0], F_SETFL, O_NONBLOCK);
		server->stderr_fd = mlimg_steal_fd(&err_pipe[0]);
	}
	mlimg_cleanup_close(&failed_pipe[0]);
	mlimg_cleanup_close(&err_pipe[0]);
	return ret;
}

/*
 * A pair of sockets that are connected through a directory nobody else can look into, and which is
 * gone on return: qemu-nbd takes only one that listens.
 */
static int make_sockets(int *ret_listen, int *ret_connected, struct mlimg_err *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/mlimg-nbd-XXXXXX";
	mlimg_autoclose int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mlimg_autoclose int connected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ret = 0;

	if (listening < 0 || connected < 0)
		return mlimg_err_set(err, errno, "make a socket");
	if (!mkdtemp(dir))
		return mlimg_err_set(err, errno, "make a directory in /tmp");
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", dir);
	if (bind(listening, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
		listen(listening, 1) < 0 ||
		connect(connected, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		ret = mlimg_err_set(err, errno, "make a socket in '%s'", dir);
	unlink(addr.sun_path);
	rmdir(dir);
	if (ret < 0)
		return ret;
	*ret_listen = mlimg_steal_fd(&listening);
	*ret_connected = mlimg_steal_fd(&connected);
	return 0;
}

int mlimg_nbd_server_start(
	char *const *argv, struct mlimg_nbd_server *server, int *ret_socket, struct mlimg_err *err)
{
	mlimg_autoclose int listening = -1, connected = -1;
	mlimg_autofree char *pid = NULL, **env = make_env(&pid);
	struct child c = {.argv = argv, .env = env};
	int ret;

	if (!env)
		return mlimg_err_set(err, ENOMEM, "start '%s'", argv[0]);
	c.pid_text = pid + strlen(LISTEN_PID);
	ret = make_sockets(&listening, &connected, err);
	c.listen_fd = listening;
	if (ret == 0)
		ret = spawn(&c, server, err);
	if (ret < 0)
		mlimg_nbd_server_end(server, NULL);
	else
		*ret_socket = mlimg_steal_fd(&connected);
	return ret;
}

/* The last line that is the program's own: hints follow it ("Is another process ...?"). */
static void read_said(int fd, char ret_said[MLIMG_NBD_SAID_MAX])
{
	static const char prefix[] = "qemu-nbd: ";
	ssize_t n = read(fd, ret_said, MLIMG_NBD_SAID_MAX - 1);
	char *said = ret_said, *line;

	ret_said[n > 0 ? n : 0] = '\0';
	for (line = ret_said; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, prefix, strlen(prefix)) == 0)
			said = line + strlen(prefix);
	}
	memmove(ret_said, said, strlen(said) + 1);
	ret_said[strcspn(ret_said, "\n")] = '\0';
}

void mlimg_nbd_server_end(struct mlimg_nbd_server *server, char ret_said[MLIMG_NBD_SAID_MAX])
{
	if (ret_said)
		ret_said[0] = '\0';
	if (server->pid > 0) {
		kill(server->pid, SIGKILL);
		while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (server->stderr_fd >= 0) {
		if (ret_said)
			read_said(server->stderr_fd, ret_said);
		close(server->stderr_fd);
	}
	*server = (struct mlimg_nbd_server)MLIMG_NBD_SERVER_INIT;
}
