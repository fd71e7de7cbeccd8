/* SPDX-License-Identifier: MIT */
/*
 * QEMU on this machine. Whether a guest is on is told by the lock of its runtime directory (vm-runtime.h), what it does
 * by its supervisor's file `state` there (vm-supervise.h), so that nobody has to be asked who might not answer.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "libmlimg/cleanup.h"
#include "tools/backend.h"
#include "tools/checkpoint-qemu.h"
#include "tools/vm-agent.h"
#include "tools/vm-runtime.h"
#include "tools/vm-supervise.h"
#include "tools/vm-watch.h"

#define LOOK_MS 50    /* pause between looks whether a guest is off */
#define QMP_MS 5000   /* QEMU itself answers at once, unless its machine is very busy */
#define QUIT_MS 13000 /* how long a supervisor may take to end QEMU, which it kills after 10 s */
#define KILL_MS 5000  /* and when it was killed: what it was writing must be written */

/* @param ret_owner the supervisor, dead or alive; 0: the guest is off */
static int find(
	const struct mlimg_tenant *tenant, char **ret_dir, pid_t *ret_owner, struct mlimg_err *err)
{
	int ret = mlimg_runtime_dir(NULL, tenant->row.id, ret_dir, err);

	if (ret < 0)
		return ret;
	*ret_owner = mlimg_runtime_owner(*ret_dir);
	if (*ret_owner < 0)
		return mlimg_err_set(err, *ret_owner, "tenant '%s': runtime directory '%s'",
			tenant->row.name, *ret_dir);
	return 0;
}

static void say_why(char ret_why[MLIMG_GUEST_WHY_SIZE], const char *why)
{
	snprintf(ret_why, MLIMG_GUEST_WHY_SIZE, "%.*s", MLIMG_GUEST_WHY_SIZE - 1, why);
}

/* Nobody holds the lock. */
static enum mlimg_guest_state state_off(
	const struct mlimg_tenant *tenant, const char *dir, char ret_why[MLIMG_GUEST_WHY_SIZE])
{
	struct mlimg_runtime_state s;

	if (mlimg_runtime_state_get(dir, &s)) {
		bool is_last_word = !mlimg_guest_is_on(s.state);

		say_why(ret_why,
			is_last_word ? s.why : "its supervisor was killed, and QEMU with it");
		return is_last_word ? s.state : MLIMG_GUEST_DIED;
	}
	say_why(ret_why, tenant->run_s ? "the host went down while it was on" : "");
	return tenant->run_s ? MLIMG_GUEST_DIED : MLIMG_GUEST_OFF;
}

static enum mlimg_guest_state state_on(
	const char *dir, pid_t owner, char ret_why[MLIMG_GUEST_WHY_SIZE])
{
	struct mlimg_runtime_state s;

	say_why(ret_why, "");
	/* What an earlier supervisor wrote. */
	if (!mlimg_runtime_state_get(dir, &s) || s.supervisor != owner)
		return MLIMG_GUEST_STARTING;
	if (kill(owner, 0) < 0 && errno == ESRCH) {
		say_why(ret_why, "its supervisor was killed, QEMU ends");
		return MLIMG_GUEST_STOPPING;
	}
	say_why(ret_why, s.why);
	/* The last word is written before the lock is let go. */
	return mlimg_guest_is_on(s.state) ? s.state : MLIMG_GUEST_STOPPING;
}

static int get_state(const struct mlimg_tenant *tenant, enum mlimg_guest_state *ret_state,
	char ret_why[MLIMG_GUEST_WHY_SIZE], struct mlimg_err *err)
{
	mlimg_autofree char *dir = NULL;
	pid_t owner = 0;
	int ret = find(tenant, &dir, &owner, err);

	if (ret == 0)
		*ret_state =
			owner ? state_on(dir, owner, ret_why) : state_off(tenant, dir, ret_why);
	return ret;
}

static int not_running(const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	return mlimg_err_set(err, 0, "tenant '%s' is off", tenant->row.name);
}

/* A socket of a guest that is on. */
static int connect_to(
	const struct mlimg_tenant *tenant, const char *file, int *ret_fd, struct mlimg_err *err)
{
	mlimg_autofree char *dir = NULL, *path = NULL;
	pid_t owner = 0;
	int ret = find(tenant, &dir, &owner, err);

	if (ret < 0)
		return ret;
	if (!owner)
		return not_running(tenant, err);
	path = mlimg_runtime_file(dir, file);
	ret = path ? mlimg_unix_connect(path, ret_fd, err) : mlimg_err_set(err, ENOMEM, "socket");
	return ret < 0 ? mlimg_err_wrap(err, ret, "tenant '%s'", tenant->row.name) : 0;
}

static int get_agent(const struct mlimg_tenant *tenant, int *ret_fd, struct mlimg_err *err)
{
	return connect_to(tenant, "agent.sock", ret_fd, err);
}

static int get_console(const struct mlimg_tenant *tenant, int *ret_fd, struct mlimg_err *err)
{
	return connect_to(tenant, "terminal.sock", ret_fd, err);
}

static int get_monitor(
	const struct mlimg_tenant *tenant, struct mlimg_chan *chan, struct mlimg_err *err)
{
	int ret = connect_to(tenant, "monitor.sock", &chan->fd, err);

	if (ret < 0)
		return ret;
	ret = mlimg_qmp_greet(chan, mlimg_now_ms() + QMP_MS, err);
	if (ret == 0)
		return 0;
	mlimg_chan_close(chan);
	return mlimg_err_wrap(err, ret, "tenant '%s'", tenant->row.name);
}

/* A command that the monitor answers. */
static int call(const struct mlimg_tenant *tenant, const char *command, json_t **ret_answer,
	struct mlimg_err *err)
{
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	int ret = get_monitor(tenant, &chan, err);

	if (ret == 0) {
		ret = mlimg_chan_call(&chan, command, mlimg_now_ms() + QMP_MS, ret_answer, err);
		if (ret < 0)
			ret = mlimg_err_wrap(err, ret, "tenant '%s'", tenant->row.name);
	}
	mlimg_chan_close(&chan);
	return ret;
}

static int is_stuck(const struct mlimg_tenant *tenant, bool *ret_is, struct mlimg_err *err)
{
	json_t *answer = NULL;
	int ret = call(tenant, "query-status", &answer, err);

	if (ret == 0)
		*ret_is = strcmp(mlimg_json_text(answer, "status", ""), "io-error") == 0;
	json_decref(answer);
	return ret;
}

static int go_on(const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	return call(tenant, "cont", NULL, err);
}

static int wait_off(const struct mlimg_tenant *tenant, uint64_t deadline_ms, bool *ret_is_off,
	struct mlimg_err *err)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000l};
	mlimg_autofree char *dir = NULL;
	pid_t owner = 0;
	int ret = find(tenant, &dir, &owner, err);

	while (ret == 0 && owner && mlimg_now_ms() < deadline_ms) {
		nanosleep(&pause, NULL);
		owner = mlimg_runtime_owner(dir);
		if (owner < 0)
			ret = mlimg_err_set(err, owner, "runtime directory '%s'", dir);
	}
	if (ret == 0)
		*ret_is_off = !owner;
	return ret;
}

/*
 * Whether a process is the supervisor or its QEMU: both have the lock open, so that it cannot be a
 * stranger who got the number of one that is gone.
 */
static bool is_ours(pid_t pid, const char *dir)
{
	mlimg_autofree char *lock = mlimg_runtime_file(dir, "lock");
	mlimg_autoclosedir DIR *fds = NULL;
	const struct dirent *entry;
	struct stat st, wanted;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	fds = pid > 0 && lock && stat(lock, &wanted) == 0 ? opendir(path) : NULL;
	/* The file, not its name: a path may have several spellings. */
	while (fds && (entry = readdir(fds)))
		if (fstatat(dirfd(fds), entry->d_name, &st, 0) == 0 && st.st_dev == wanted.st_dev &&
			st.st_ino == wanted.st_ino)
			return true;
	return false;
}

static int signal_and_wait(const struct mlimg_tenant *tenant, const char *dir, pid_t pid,
	int number, bool *is_off, struct mlimg_err *err)
{
	if (*is_off || !is_ours(pid, dir))
		return 0;
	kill(pid, number);
	return wait_off(
		tenant, mlimg_now_ms() + (number == SIGKILL ? KILL_MS : QUIT_MS), is_off, err);
}

/*
 * The supervisor does it, also one that was stopped, and knows then that it was wanted. One that
 * hangs, or that was killed while its QEMU hangs, does not.
 */
static int end(const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	mlimg_autofree char *dir = NULL;
	struct mlimg_runtime_state s = {.supervisor = 0};
	bool is_off = false;
	pid_t owner = 0;
	int ret = find(tenant, &dir, &owner, err);

	if (ret < 0 || !owner)
		return ret;
	if (is_ours(owner, dir))
		kill(owner, SIGCONT);
	ret = signal_and_wait(tenant, dir, owner, SIGUSR1, &is_off, err);
	if (ret == 0 && mlimg_runtime_state_get(dir, &s))
		ret = signal_and_wait(tenant, dir, s.qemu, SIGKILL, &is_off, err);
	if (ret == 0)
		ret = signal_and_wait(tenant, dir, owner, SIGKILL, &is_off, err);
	if (ret == 0 && !is_off)
		ret = wait_off(tenant, 0, &is_off, err);
	if (ret == 0 && !is_off)
		return mlimg_err_set(err, 0, "tenant '%s': QEMU (process %d) does not end",
			tenant->row.name, (int)s.qemu);
	return ret;
}

/* Before its root is there nobody in the guest hears the button, and nothing is lost by ending it at once. */
static int press(const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	mlimg_autofree char *dir = NULL;
	struct mlimg_runtime_state s;
	pid_t owner = 0;
	int ret = find(tenant, &dir, &owner, err);

	if (ret < 0)
		return ret;
	if (!owner)
		return not_running(tenant, err);
	if (mlimg_runtime_state_get(dir, &s) && s.supervisor == owner && !s.hears)
		return end(tenant, err);
	return call(tenant, "system_powerdown", NULL, err);
}

static int start(struct mlimg_store *store, struct mlimg_tenant *tenant,
	const struct mlimg_backend_start *how, struct mlimg_err *err)
{
	mlimg_autofree char *dir = NULL;
	pid_t owner = 0;
	int ret = find(tenant, &dir, &owner, err);

	if (ret == 0 && owner)
		return mlimg_err_set(err, 0, "tenant '%s' is already running (process %d)",
			tenant->row.name, (int)owner);
	return ret < 0 ? ret : mlimg_supervise(mlimg_store_dir(store), tenant, how, err);
}

static int forget(const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	mlimg_autofree char *dir = NULL;
	pid_t owner = 0;
	int ret = find(tenant, &dir, &owner, err);

	if (ret == 0 && owner)
		return mlimg_err_set(err, EBUSY, "tenant '%s' is running (process %d)",
			tenant->row.name, (int)owner);
	if (ret == 0)
		mlimg_runtime_remove(dir);
	return ret;
}

const struct mlimg_backend mlimg_backend_qemu = {
	.name = "qemu",
	.state = get_state,
	.start = start,
	.is_stuck = is_stuck,
	.go_on = go_on,
	.press = press,
	.end = end,
	.wait_off = wait_off,
	.agent = get_agent,
	.console = get_console,
	.monitor = get_monitor,
	.save = mlimg_qemu_save,
	.load = mlimg_qemu_load,
	.remove = mlimg_qemu_remove,
	.saved = mlimg_qemu_saved,
	.machine = mlimg_qemu_machine,
	.settle = mlimg_qemu_settle,
	.forget = forget,
};
