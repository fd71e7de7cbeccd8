/* SPDX-License-Identifier: MIT */
#include "tools/vm-supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "tools/tenant-start.h"
#include "tools/cli.h"
#include "tools/vm-loop.h"
#include "tools/vm-runtime.h"

#define REPORT_FD 3 /* where whoever started it reads whether QEMU runs */
#define LOCK_FD 4   /* the tenant's lock, where he had one, until then */

/* How its guest is to begin, in its arguments. */
enum { BOOTED, PAUSED, LOADED };
static const char *const how_names[] = {
	[BOOTED] = "booted", [PAUSED] = "paused", [LOADED] = "loaded"};

/* A supervisor. */
struct supervisor {
	const char *store_dir; /* absolute */
	struct mlimg_tenant tenant;
	struct mlimg_tenant_start options;
	char *terminal;
	struct mlimg_vm_prepared prepared;
	bool is_running; /* and whoever started it knows */
	pid_t qemu;
	enum mlimg_guest_state told; /* by an event */
};

/* Notes that nobody waits for: an error has nobody to go to, and the next look at the guest does it again. */
static void note(struct supervisor *s, const char *kind, const char *text, bool is_off)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	int ret = mlimg_store_open(s->store_dir, MLIMG_STORE_USE, &store, NULL);

	if (ret < 0 || mlimg_store_begin(store, NULL) < 0)
		return;
	ret = mlimg_store_event_add(store, MLIMG_STORE_TENANT, s->tenant.row.id, kind, text, NULL);
	if (ret == 0 && is_off)
		ret = mlimg_tenant_run_set(store, s->tenant.row.id, 0, NULL);
	if (mlimg_store_end(store, ret, NULL) < 0)
		return;
}

/* The last that whoever started it hears. */
static void report(const struct mlimg_err *err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	dup2(null, STDERR_FILENO);
	mlimg_cleanup_close(&null);
	/* He may be gone. */
	if (mlimg_write_all(REPORT_FD, err, sizeof(*err)) < 0)
		errno = 0;
	close(REPORT_FD);
}

/* What he began is not gone on with. */
static int check_starter(struct mlimg_err *err)
{
	struct pollfd starter = {.fd = REPORT_FD};

	if (poll(&starter, 1, 0) == 1 && (starter.revents & POLLERR))
		return mlimg_err_set(err, 0, "whoever started it was killed");
	return 0;
}

/* Durable before anybody is told: what a guest runs on must not be forgotten, nor removed from the store. */
static int on_runs(void *ctx, pid_t qemu, struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	const struct mlimg_err none = MLIMG_ERR_INIT;
	struct supervisor *s = ctx;
	struct mlimg_runtime_state state = {
		.supervisor = getpid(), .qemu = qemu, .state = MLIMG_GUEST_STARTING};
	enum mlimg_accel accel = s->prepared.spec.accel;
	int ret = check_starter(err);

	if (ret == 0)
		ret = mlimg_store_open(s->store_dir, MLIMG_STORE_USE, &store, err);
	if (ret == 0)
		ret = mlimg_store_begin(store, err);
	if (ret == 0)
		ret = mlimg_store_end(
			store, mlimg_tenant_start_note(store, &s->tenant, accel, err), err);
	if (ret == 0)
		ret = mlimg_runtime_state_put(s->prepared.dir, &state, err);
	if (ret < 0)
		return ret;
	s->qemu = qemu;
	s->is_running = true;
	report(&none);
	close(LOCK_FD);
	return 0;
}

static void on_state(void *ctx, enum mlimg_guest_state state, bool hears, const char *text)
{
	struct supervisor *s = ctx;
	struct mlimg_runtime_state word = {
		.supervisor = getpid(), .qemu = s->qemu, .state = state, .hears = hears};
	bool is_end = state == MLIMG_GUEST_OFF || state == MLIMG_GUEST_DIED;

	if (!s->is_running) {
		struct mlimg_err err = MLIMG_ERR_INIT;

		if (is_end &&
			mlimg_err_set(&err, 0, "tenant '%s': %s", s->tenant.row.name, text) < 0)
			report(&err);
		return;
	}
	/* A boot's stages are many, and tell nothing of it afterwards. */
	if (is_end || (state == MLIMG_GUEST_UP && s->told != state))
		note(s, mlimg_guest_state_name(state), text, is_end);
	if (is_end || state == MLIMG_GUEST_UP)
		s->told = state;
	snprintf(word.why, sizeof(word.why), "%s", text);
	if (mlimg_runtime_state_put(s->prepared.dir, &word, NULL) < 0)
		return; /* a full /run: the old word stays */
}

static int prepare(struct supervisor *s, const char *name, const struct mlimg_backend_start *how,
	struct mlimg_err *err)
{
	static char *const paused[] = {(char *)"-S", NULL};
	mlimg_autostore struct mlimg_store *store = NULL;
	int ret = mlimg_store_open(s->store_dir, MLIMG_STORE_USE, &store, err);

	if (ret == 0)
		ret = mlimg_tenant_load(store, name, &s->tenant, err);
	if (ret == 0)
		ret = mlimg_tenant_start_fill(&s->options, s->store_dir, &s->tenant, err);
	if (ret < 0)
		return ret;
	if (how->is_paused)
		s->options.run.extra_args = paused;
	ret = mlimg_vm_prepare(&s->options.run, &s->prepared, err);
	return ret < 0 ? mlimg_err_wrap(err, ret, "tenant '%s'", name) : 0;
}

static int run(struct supervisor *s, const struct mlimg_backend_start *how, struct mlimg_err *err)
{
	struct mlimg_vm_follower follower = {.ctx = s,
		.runs = on_runs,
		.state = on_state,
		.is_paused = how->is_paused,
		.is_loaded = how->load_tag != NULL};
	int code, ret;

	s->terminal = mlimg_runtime_file(s->prepared.dir, "terminal.sock");
	if (!s->terminal)
		return mlimg_err_set(err, ENOMEM, "tenant '%s'", s->tenant.row.name);
	follower.terminal = s->terminal;
	ret = mlimg_vm_loop(&s->prepared, &s->options.run, &follower, &code, err);
	return ret < 0 ? mlimg_err_wrap(err, ret, "tenant '%s'", s->tenant.row.name) : 0;
}

/*
 * Away from who started it: his terminal, his directory, and every descriptor of his; but for stderr
 * and the tenant's lock, until QEMU runs. Where he is killed, the next command on the tenant waits
 * until nothing is left of what he began.
 */
static void detach(void)
{
	static const int ignored[] = {SIGINT, SIGHUP, SIGQUIT, SIGTSTP};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC);
	fcntl(LOCK_FD, F_SETFD, FD_CLOEXEC);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	close_range(LOCK_FD + 1, ~0u, 0);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	signal(SIGXFSZ, SIG_IGN);
	/* Whatever file system it is, it can be unmounted. */
	if (chdir("/") < 0)
		errno = 0;
}

int mlimg_vm_cmd_supervise(int argc, char **argv)
{
	struct supervisor s = {.prepared = MLIMG_VM_PREPARED_INIT};
	struct mlimg_backend_start how = {.is_paused = false};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int ret;

	if (argc != 4 || fcntl(REPORT_FD, F_GETFD) < 0)
		return mlimg_cli_usage(
			MLIMG_VM_PROG, "'supervise' is not a command of its own, but of 'start'");
	s.store_dir = argv[1];
	how.is_paused = strcmp(argv[3], how_names[BOOTED]) != 0;
	how.load_tag = strcmp(argv[3], how_names[LOADED]) == 0 ? "" : NULL;
	detach();
	ret = prepare(&s, argv[2], &how, &err);
	if (ret == 0)
		ret = run(&s, &how, &err);
	if (ret < 0)
		report(&err);
	/* The lock last: who waits for it finds everything done. */
	mlimg_vm_prepared_done(&s.prepared);
	mlimg_tenant_start_done(&s.options);
	mlimg_tenant_done(&s.tenant);
	free(s.terminal);
	return ret < 0 ? MLIMG_EXIT_FAILED : MLIMG_EXIT_DONE;
}

static int read_report(int fd, const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	struct mlimg_err said = MLIMG_ERR_INIT;
	size_t n = 0;

	while (n < sizeof(said)) {
		ssize_t got = read(fd, (char *)&said + n, sizeof(said) - n);

		if (got <= 0 && !(got < 0 && errno == EINTR))
			return mlimg_err_set(
				err, 0, "tenant '%s': its supervisor was killed", tenant->row.name);
		n += got > 0 ? (size_t)got : 0;
	}
	if (said.code < 0 && err)
		*err = said;
	return said.code;
}

/* In the child. @lock is nobody's number that is wanted here. */
static void __attribute__((noreturn)) become(char *const *argv, int out, int lock)
{
	bool is_ready = lock < 0 || (lock = fcntl(lock, F_DUPFD, LOCK_FD + 1)) >= 0;

	/* dup2(2) onto itself would leave FD_CLOEXEC. */
	if (is_ready && out == REPORT_FD)
		is_ready = fcntl(out, F_SETFD, 0) == 0;
	else if (is_ready)
		is_ready = dup2(out, REPORT_FD) >= 0;
	if (lock < 0)
		close(LOCK_FD);
	else if (is_ready)
		is_ready = dup2(lock, LOCK_FD) >= 0;
	if (is_ready)
		execv("/proc/self/exe", argv);
	_exit(1);
}

int mlimg_supervise(const char *store_dir, const struct mlimg_tenant *tenant,
	const struct mlimg_backend_start *how, struct mlimg_err *err)
{
	mlimg_autofree char *dir = realpath(store_dir, NULL);
	char *const argv[] = {(char *)MLIMG_VM_PROG, (char *)"supervise", dir,
		(char *)tenant->row.name,
		(char *)how_names[how->load_tag  ? LOADED
				: how->is_paused ? PAUSED
						 : BOOTED],
		NULL};
	mlimg_autoclose int in = -1, out = -1;
	int fds[2], ret;
	pid_t pid;

	if (!dir)
		return mlimg_err_set(err, errno, "store '%s'", store_dir);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return mlimg_err_set(err, errno, "pipe");
	in = fds[0];
	out = fds[1];
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return mlimg_err_set(err, errno, "start a process");
	if (pid == 0)
		become(argv, out, tenant->lock > 0 ? tenant->lock : -1);
	close(mlimg_steal_fd(&out));
	ret = read_report(in, tenant, err);
	if (ret < 0)
		waitpid(pid, NULL, 0);
	return ret;
}
