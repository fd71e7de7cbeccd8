/* SPDX-License-Identifier: MIT */
/*
 * One loop around poll(2) for everything that a running guest does: its console and QEMU's messages
 * into their logs, QMP's events, the agent's messages while it boots, the user's signals, and
 * QEMU's end.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "tools/cli.h"
#include "tools/vm-loop-impl.h"
#include "tools/vm-runtime.h"

#define CONNECT_MS 20 /* pause between attempts while QEMU makes its sockets */
#define TICK_MS 250   /* at least so often deadlines are looked at */

/* The descriptors of the loop; behind them the terminal's. */
enum { FD_QEMU, FD_SIGNAL, FD_CONSOLE, FD_LOG, FD_AGENT, FD_QMP, FD_TERMINAL };

void mlimg_run_say(struct mlimg_run *run, FILE *f, const char *fmt, ...)
{
	mlimg_autofree char *line = NULL;
	char text[2048];
	size_t size = 0;
	FILE *memory;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (f == stderr)
		snprintf(run->last, sizeof(run->last), "%.*s", (int)sizeof(run->last) - 1, text);
	memory = run->follower ? NULL : open_memstream(&line, &size);
	if (!memory)
		return;
	fprintf(memory, "%s: ", run->spec->name);
	mlimg_cli_put_safe(memory, text);
	fputc('\n', memory);
	/* A terminal that was stopped must not stop the deadlines too. */
	if (fclose(memory) == 0)
		mlimg_vm_log_put(fileno(f), line, size);
}

static void read_chan(struct mlimg_run *run, struct mlimg_chan *chan,
	void (*handle)(struct mlimg_run *run, const json_t *message))
{
	int ret = mlimg_chan_fill(chan);
	json_t *message;

	while ((message = mlimg_chan_next(chan))) {
		handle(run, message);
		json_decref(message);
	}
	if (ret < 0)
		mlimg_chan_close(chan);
}

/* QEMU makes its sockets one after another while it starts. */
static void connect_one(const struct mlimg_run *run, const char *file, int *fd)
{
	mlimg_autofree char *path = *fd < 0 ? mlimg_runtime_file(run->spec->dir, file) : NULL;

	/* Not yet there, or nobody listens: tried again, until the boot's deadline. */
	if (path && mlimg_unix_connect(path, fd, NULL) < 0)
		*fd = -1;
}

static bool wants_agent(const struct mlimg_run *run)
{
	return run->phase <= MLIMG_RUN_BOOTING || run->is_rebooting;
}

static bool connect_all(struct mlimg_run *run)
{
	bool wants_console = run->spec->console == MLIMG_CONSOLE_SOCKET;

	if (wants_console)
		connect_one(run, "console.sock", &run->console.in);
	connect_one(run, "qmp.sock", &run->qmp.fd);
	if (wants_agent(run))
		connect_one(run, "agent.sock", &run->agent.fd);
	return run->qmp.fd >= 0 && (run->agent.fd >= 0 || !wants_agent(run)) &&
		(!wants_console || run->console.in >= 0);
}

static void poll_once(struct mlimg_run *run, int timeout_ms, bool *ret_ended)
{
	struct pollfd fds[FD_TERMINAL + MLIMG_TERMINAL_FDS] = {
		[FD_QEMU] = {.fd = run->qemu.pidfd, .events = POLLIN},
		[FD_SIGNAL] = {.fd = run->signal_fd, .events = POLLIN},
		[FD_CONSOLE] = {.fd = run->console.in, .events = POLLIN},
		[FD_LOG] = {.fd = run->log.in, .events = POLLIN},
		[FD_AGENT] = {.fd = run->agent.fd, .events = POLLIN},
		[FD_QMP] = {.fd = run->qmp.fd, .events = POLLIN},
	};

	mlimg_terminal_poll(&run->terminal, run->console.in, fds + FD_TERMINAL);
	if (poll(fds, sizeof(fds) / sizeof(fds[0]), timeout_ms) < 0)
		return;
	if (fds[FD_SIGNAL].revents)
		mlimg_run_on_signal(run);
	mlimg_terminal_handle(&run->terminal, run->console.in, fds + FD_TERMINAL);
	if (fds[FD_CONSOLE].revents && mlimg_vm_log_pump(&run->console))
		run->printed_ms = mlimg_now_ms();
	if (fds[FD_LOG].revents)
		mlimg_vm_log_pump(&run->log);
	/*
	 * The guest's own words before QEMU's: what it said came before what then happened to it.
	 */
	if (run->agent.fd >= 0 && (fds[FD_AGENT].revents || fds[FD_QMP].revents))
		read_chan(run, &run->agent, mlimg_run_on_agent);
	if (fds[FD_QMP].revents)
		read_chan(run, &run->qmp, mlimg_run_on_qmp);
	*ret_ended = fds[FD_QEMU].revents != 0;
}

/* What QEMU said last is still in the sockets. */
static void drain(struct mlimg_run *run)
{
	for (int i = 0; i < 64 && run->agent.fd >= 0; i++)
		read_chan(run, &run->agent, mlimg_run_on_agent);
	for (int i = 0; i < 64 && run->qmp.fd >= 0; i++)
		read_chan(run, &run->qmp, mlimg_run_on_qmp);
	for (int i = 0; i < 1024 && mlimg_vm_log_pump(&run->log); i++)
		;
	for (int i = 0; i < 1024 && mlimg_vm_log_pump(&run->console); i++)
		;
}

static void hand_on(void *ctx, const char *text, size_t size)
{
	struct mlimg_run *run = ctx;

	mlimg_terminal_put(&run->terminal, text, size);
}

static int open_logs(struct mlimg_run *run, struct mlimg_err *err)
{
	mlimg_autofree char *console = mlimg_runtime_file(run->spec->dir, "console.log");
	mlimg_autofree char *log = mlimg_runtime_file(run->spec->dir, "qemu.log");
	const char *path = run->options->console_path ? run->options->console_path : console;
	int ret;

	if (!console || !log)
		return mlimg_err_set(err, ENOMEM, "logs");
	ret = mlimg_vm_log_open(&run->log, log, err);
	if (ret == 0 && run->spec->console == MLIMG_CONSOLE_SOCKET)
		ret = mlimg_vm_log_open(&run->console, path, err);
	if (ret == 0 && run->follower && run->follower->terminal) {
		run->console.also = hand_on;
		run->console.also_ctx = run;
		ret = mlimg_terminal_listen(&run->terminal, run->follower->terminal, err);
	}
	return ret;
}

static int start(struct mlimg_run *run, struct mlimg_vm_prepared *p, struct mlimg_err *err)
{
	int ret = open_logs(run, err);

	if (ret < 0)
		return ret;
	run->signal_fd = mlimg_process_signals(err);
	if (run->signal_fd < 0)
		return run->signal_fd;
	mlimg_run_boots(run);
	if (run->follower && run->follower->is_paused)
		mlimg_run_enter(run, MLIMG_RUN_WAITING, 0);
	run->qemu.keeps_fd = p->lock;
	run->qemu.confine = &p->confine;
	ret = mlimg_process_start(p->args.v, run->spec->console == MLIMG_CONSOLE_STDIO, &run->qemu,
		&run->log.in, err);
	/* A socket that is QEMU's alone ends with it. */
	mlimg_confine_close(&p->confine);
	if (ret == -ENOENT)
		return mlimg_err_set(err, 0,
			"'%s' is not installed (Debian package qemu-system-x86)", p->args.v[0]);
	return ret;
}

static void loop(struct mlimg_run *run)
{
	bool has_connected = false, has_ended = false;

	while (!has_ended) {
		if (!has_connected || run->is_rebooting)
			has_connected = connect_all(run);
		poll_once(run, has_connected ? TICK_MS : CONNECT_MS, &has_ended);
		if (!has_ended)
			mlimg_run_on_time(run);
		mlimg_run_tell(run);
	}
	drain(run);
}

static void done(struct mlimg_run *run)
{
	mlimg_cleanup_close(&run->signal_fd);
	mlimg_terminal_close(&run->terminal);
	mlimg_chan_close(&run->qmp);
	mlimg_chan_close(&run->agent);
	mlimg_vm_log_close(&run->console);
	mlimg_vm_log_close(&run->log);
	mlimg_watch_done(&run->watch);
}

int mlimg_vm_loop(struct mlimg_vm_prepared *prepared, const struct mlimg_vm_options *options,
	const struct mlimg_vm_follower *follower, int *ret_code, struct mlimg_err *err)
{
	struct mlimg_run run = {.spec = &prepared->spec,
		.options = options,
		.images = &prepared->images,
		.follower = follower,
		.qemu = MLIMG_PROCESS_INIT,
		.console = MLIMG_VM_LOG_INIT,
		.log = MLIMG_VM_LOG_INIT,
		.qmp = MLIMG_CHAN_INIT,
		.agent = MLIMG_CHAN_INIT,
		.signal_fd = -1,
		.told = MLIMG_GUEST_STATES};
	int ret;

	mlimg_terminal_init(&run.terminal);
	ret = start(&run, prepared, err);
	if (ret == 0) {
		loop(&run);
		*ret_code = mlimg_run_conclude(&run, mlimg_process_wait(&run.qemu));
	}
	done(&run);
	return ret;
}
