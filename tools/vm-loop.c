/* SPDX-License-Identifier: MIT */
/*
 * One loop around poll(2) for everything that a running guest does: its console and QEMU's messages
 * into their logs, QMP's events, the agent's messages while it boots, the user's signals, and
 * QEMU's end.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "libmlimg/cleanup.h"
#include "tools/cli.h"
#include "tools/vm-agent.h"
#include "tools/vm-log.h"
#include "tools/vm-process.h"
#include "tools/vm-run.h"
#include "tools/vm-runtime.h"
#include "tools/vm-watch.h"

#define CONNECT_MS 20 /* pause between attempts while QEMU makes its sockets */
#define TICK_MS 250   /* at least so often deadlines are looked at */
#define POWERDOWN_AGAIN_MS \
	5000 /* the button is pressed again: a guest that was not listening yet missed it */
#define SILENT_MS 500       /* a console that is silent for so long has said what it had to say */
#define LAST_WORDS_MS 5000  /* and after so long nobody waits for it any more */
#define QUIT_MS 10000       /* how long QEMU itself may take to end */
#define STAGE_LINES_MAX 200 /* of --verbose; a guest could announce stages without end */

enum phase {
	BOOTING,
	UP,
	POWERDOWN, /* the guest was asked to power off */
	STOPPED, /* the guest says that its boot has failed; its console is slower than the port */
	QUIT,    /* QEMU was asked to end */
	KILLED,
};

struct run {
	const struct mlimg_vm_spec *spec;
	const struct mlimg_vm_options *options;
	const struct mlimg_vm_images *images;
	struct mlimg_process qemu;
	struct mlimg_vm_log console, log;
	struct mlimg_chan qmp, agent;
	struct mlimg_watch watch;
	int signal_fd;
	enum phase phase;
	uint64_t started_ms, deadline_ms, press_ms, printed_ms;
	unsigned n_stage_lines;
	bool is_negotiated;   /* QMP takes commands */
	bool has_failed;      /* and has said so */
	bool has_powered_off; /* by the guest's own doing */
	char reason[32];      /* of QEMU's SHUTDOWN event */
};

/* One line about the guest; what is in it may be the guest's. */
static void __attribute__((format(printf, 3, 4)))
say(const struct run *run, FILE *f, const char *fmt, ...)
{
	mlimg_autofree char *line = NULL;
	char text[2048];
	size_t size = 0;
	FILE *memory = open_memstream(&line, &size);
	va_list ap;

	if (!memory)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(memory, "%s: ", run->spec->name);
	mlimg_cli_put_safe(memory, text);
	fputc('\n', memory);
	/* A terminal that was stopped must not stop the deadlines too. */
	if (fclose(memory) == 0)
		mlimg_vm_log_put(fileno(f), line, size);
}

static void set_phase(struct run *run, enum phase phase, uint64_t limit_ms)
{
	run->phase = phase;
	run->deadline_ms = limit_ms ? mlimg_now_ms() + limit_ms : UINT64_MAX;
}

static void qmp_send(struct run *run, const char *command)
{
	/*
	 * An answer is not waited for; where the command could not be sent, the phase's deadline
	 * decides.
	 */
	if (run->is_negotiated && mlimg_chan_request(&run->qmp, command, NULL, NULL) < 0)
		run->is_negotiated = false;
}

static void quit(struct run *run)
{
	set_phase(run, QUIT, QUIT_MS);
	qmp_send(run, "quit");
	if (!run->is_negotiated)
		kill(run->qemu.pid, SIGTERM);
}

/* "; console log: FILE", where there is one. */
static void console_hint(const struct run *run, char *ret_text, size_t size)
{
	ret_text[0] = '\0';
	if (run->console.path)
		snprintf(ret_text, size, "; console log: %s", run->console.path);
}

static void fail_boot(struct run *run, const char *what)
{
	char how_far[1024], hint[1024];
	int64_t printed = run->console.path ? (int64_t)run->console.bytes : -1;

	mlimg_watch_describe(&run->watch, printed, how_far, sizeof(how_far));
	console_hint(run, hint, sizeof(hint));
	say(run, stderr, "%s: %s%s", what, how_far, hint);
	run->has_failed = true;
}

static void press_power_button(struct run *run)
{
	run->press_ms = mlimg_now_ms() + POWERDOWN_AGAIN_MS;
	qmp_send(run, "system_powerdown");
}

/*
 * Before its root is there nobody in the guest hears a power button, and nothing is lost by ending
 * it at once.
 */
static void on_signal(struct run *run)
{
	struct signalfd_siginfo info;
	bool hears = run->phase == UP || run->watch.has_agent ||
		strcmp(run->watch.stage, "switch-root") == 0;

	if (read(run->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (run->phase <= UP && hears && run->is_negotiated) {
		say(run, stderr, "powering off (again to end it at once)");
		set_phase(run, POWERDOWN, MLIMG_POWERDOWN_MS);
		press_power_button(run);
	} else if (run->phase == STOPPED) {
		quit(run);
	} else if (run->phase <= POWERDOWN) {
		say(run, stderr, "ended%s", run->phase == BOOTING ? " before it was up" : "");
		run->has_failed = true;
		quit(run);
	}
}

static void on_deadline(struct run *run)
{
	char what[64];

	switch (run->phase) {
	case BOOTING:
		snprintf(what, sizeof(what), "not up after %u s", run->options->boot_timeout_s);
		fail_boot(run, what);
		quit(run);
		break;
	case POWERDOWN:
		say(run, stderr, "did not power off within %d s, ended", MLIMG_POWERDOWN_MS / 1000);
		run->has_failed = true;
		quit(run);
		break;
	case STOPPED: quit(run); break;
	case QUIT:
		set_phase(run, KILLED, 0);
		kill(run->qemu.pid, SIGKILL);
		break;
	default: break;
	}
}

static void on_shutdown_event(struct run *run, const json_t *data)
{
	snprintf(run->reason, sizeof(run->reason), "%s", mlimg_json_text(data, "reason", ""));
	run->has_powered_off = strcmp(run->reason, "guest-shutdown") == 0;
}

static void on_reset_event(struct run *run, const json_t *data)
{
	if (!json_is_true(json_object_get(data, "guest")))
		return;
	if (run->phase == BOOTING) {
		fail_boot(run, "it reset itself before it was up, as a kernel that panics does");
		quit(run);
	} else if (run->phase == UP) {
		say(run, stdout, "reboots");
	} else if (run->phase == STOPPED) {
		quit(run);
	}
}

static void on_qmp(struct run *run, const json_t *message)
{
	const char *event = mlimg_json_text(message, "event", "");
	const json_t *data = json_object_get(message, "data");

	if (json_object_get(message, "QMP")) {
		if (mlimg_chan_request(&run->qmp, "qmp_capabilities", NULL, NULL) == 0)
			run->is_negotiated = true;
	} else if (json_object_get(message, "return") && !run->options->kernel) {
		/*
		 * The monitor greets from a thread of its own, but answers when the machine is
		 * made: QEMU has both in memory now, for resets too.
		 */
		unlink(run->spec->kernel);
		unlink(run->spec->initrd);
	} else if (strcmp(event, "SHUTDOWN") == 0) {
		on_shutdown_event(run, data);
	} else if (strcmp(event, "RESET") == 0) {
		on_reset_event(run, data);
	}
}

/*
 * The guest tells its own stack; that it is the one it was given is not taken on trust from the
 * disks alone.
 */
static bool is_same_stack(const struct run *run, const json_t *boot)
{
	const json_t *stack = json_object_get(boot, "stack"), *layer;
	size_t i;

	if (json_array_size(stack) != run->images->n - 1)
		return false;
	json_array_foreach(
		stack, i, layer) if (strcmp(mlimg_json_text(layer, "build_id", ""),
					     run->images->infos[i].build_id) != 0) return false;
	return true;
}

static void say_up(const struct run *run)
{
	const json_t *boot = json_object_get(run->watch.status, "boot");
	char layers[512], units[512];

	mlimg_vm_images_describe(run->images, layers, sizeof(layers));
	mlimg_status_failed_units(run->watch.status, units, sizeof(units));
	say(run, stdout, "up after %.1f s: %s, %s%s%s%s, default target reached%s%s",
		(double)(mlimg_now_ms() - run->started_ms) / 1000, layers,
		mlimg_json_text(boot, "union", "no"), boot ? " union" : "",
		run->options->mode != MLIMG_BOOT_NORMAL ? ", mode " : "",
		run->options->mode != MLIMG_BOOT_NORMAL ? mlimg_json_text(boot, "mode", "?") : "",
		*units ? ", failed units: " : "", units);
	if (!is_same_stack(run, boot))
		say(run, stderr, "warning: the guest does not report the stack it was given");
}

static void on_agent(struct run *run, const json_t *message)
{
	bool is_stage = mlimg_watch_message(&run->watch, message);

	if (is_stage && run->options->verbose && run->n_stage_lines++ < STAGE_LINES_MAX)
		say(run, stdout, "%6.1f s  %s%s%s",
			(double)(mlimg_now_ms() - run->started_ms) / 1000, run->watch.stage,
			*run->watch.detail ? ": " : "", run->watch.detail);
	if (run->phase != BOOTING)
		return;
	if (run->watch.state == MLIMG_BOOT_UP) {
		say_up(run);
		set_phase(run, UP, 0);
	} else if (run->watch.state == MLIMG_BOOT_FAILED) {
		char hint[1024];

		console_hint(run, hint, sizeof(hint));
		say(run, stderr, "boot failed: %s%s", run->watch.detail, hint);
		run->has_failed = true;
		run->printed_ms = mlimg_now_ms();
		set_phase(run, STOPPED, LAST_WORDS_MS);
	}
}

static void read_chan(struct run *run, struct mlimg_chan *chan,
	void (*handle)(struct run *run, const json_t *message))
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
static void connect_one(const struct run *run, const char *file, int *fd)
{
	mlimg_autofree char *path = *fd < 0 ? mlimg_runtime_file(run->spec->dir, file) : NULL;

	/* Not yet there, or nobody listens: tried again, until the boot's deadline. */
	if (path && mlimg_unix_connect(path, fd, NULL) < 0)
		*fd = -1;
}

static bool connect_all(struct run *run)
{
	bool wants_console = run->spec->console == MLIMG_CONSOLE_SOCKET;

	if (wants_console)
		connect_one(run, "console.sock", &run->console.in);
	connect_one(run, "qmp.sock", &run->qmp.fd);
	if (run->phase == BOOTING)
		connect_one(run, "agent.sock", &run->agent.fd);
	return run->qmp.fd >= 0 && (run->agent.fd >= 0 || run->phase != BOOTING) &&
		(!wants_console || run->console.in >= 0);
}

static void on_time(struct run *run)
{
	uint64_t now = mlimg_now_ms();
	bool can_ask = run->phase == BOOTING && run->agent.fd >= 0;
	const char *question = can_ask ? mlimg_watch_ask(&run->watch, now) : NULL;

	/* Lost when the guest does not read: it is asked again. */
	if (question && mlimg_chan_request(&run->agent, question, NULL, NULL) == -EPIPE)
		mlimg_chan_close(&run->agent);
	if (run->phase == POWERDOWN && now >= run->press_ms)
		press_power_button(run);
	if (run->phase == STOPPED && now >= run->printed_ms + SILENT_MS)
		run->deadline_ms = now;
	if (now >= run->deadline_ms)
		on_deadline(run);
	/* One client at a time: from now on it is `mlimg-vm status`. */
	if (run->phase != BOOTING && run->agent.fd >= 0)
		mlimg_chan_close(&run->agent);
}

static void poll_once(struct run *run, int timeout_ms, bool *ret_ended)
{
	struct pollfd fds[] = {
		{.fd = run->qemu.pidfd, .events = POLLIN},
		{.fd = run->signal_fd, .events = POLLIN},
		{.fd = run->console.in, .events = POLLIN},
		{.fd = run->log.in, .events = POLLIN},
		{.fd = run->agent.fd, .events = POLLIN},
		{.fd = run->qmp.fd, .events = POLLIN},
	};

	if (poll(fds, sizeof(fds) / sizeof(fds[0]), timeout_ms) < 0)
		return;
	if (fds[1].revents)
		on_signal(run);
	if (fds[2].revents && mlimg_vm_log_pump(&run->console))
		run->printed_ms = mlimg_now_ms();
	if (fds[3].revents)
		mlimg_vm_log_pump(&run->log);
	/*
	 * The guest's own words before QEMU's: what it said came before what then happened to it.
	 */
	if (run->agent.fd >= 0 && (fds[4].revents || fds[5].revents))
		read_chan(run, &run->agent, on_agent);
	if (fds[5].revents)
		read_chan(run, &run->qmp, on_qmp);
	*ret_ended = fds[0].revents != 0;
}

/* What QEMU said last is still in the sockets. */
static void drain(struct run *run)
{
	for (int i = 0; i < 64 && run->agent.fd >= 0; i++)
		read_chan(run, &run->agent, on_agent);
	for (int i = 0; i < 64 && run->qmp.fd >= 0; i++)
		read_chan(run, &run->qmp, on_qmp);
	for (int i = 0; i < 1024 && mlimg_vm_log_pump(&run->log); i++)
		;
	for (int i = 0; i < 1024 && mlimg_vm_log_pump(&run->console); i++)
		;
}

/* What QEMU's end means. */
static int conclude(struct run *run, int status)
{
	char line[512];

	if (run->has_failed)
		return MLIMG_EXIT_FAILED;
	if (run->has_powered_off && run->phase == BOOTING) {
		fail_boot(run, "powered off before it was up");
		return MLIMG_EXIT_FAILED;
	}
	if (run->has_powered_off && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		say(run, stdout, "powered off");
		return MLIMG_EXIT_DONE;
	}
	if (*run->reason && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		say(run, stderr, "QEMU was ended from outside (%s)", run->reason);
		return MLIMG_EXIT_FAILED;
	}
	mlimg_vm_log_last_line(&run->log, line, sizeof(line));
	if (WIFSIGNALED(status))
		say(run, stderr, "QEMU was killed by signal %d%s%s", WTERMSIG(status),
			*line ? ": " : "", line);
	else
		say(run, stderr, "QEMU ended with status %d%s%s", WEXITSTATUS(status),
			*line ? ": " : "", line);
	return MLIMG_EXIT_FAILED;
}

static int open_logs(struct run *run, struct mlimg_err *err)
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
	return ret;
}

static int start(struct run *run, const struct mlimg_args *args, struct mlimg_err *err)
{
	int ret = open_logs(run, err);

	if (ret < 0)
		return ret;
	run->signal_fd = mlimg_process_signals(err);
	if (run->signal_fd < 0)
		return run->signal_fd;
	run->started_ms = mlimg_now_ms();
	set_phase(run, BOOTING, 1000ull * run->options->boot_timeout_s);
	ret = mlimg_process_start(
		args->v, run->spec->console == MLIMG_CONSOLE_STDIO, &run->qemu, &run->log.in, err);
	if (ret == -ENOENT)
		return mlimg_err_set(err, 0,
			"'%s' is not installed (Debian package qemu-system-x86)", args->v[0]);
	return ret;
}

static void loop(struct run *run)
{
	bool has_connected = false, has_ended = false;

	while (!has_ended) {
		if (!has_connected)
			has_connected = connect_all(run);
		poll_once(run, has_connected ? TICK_MS : CONNECT_MS, &has_ended);
		if (!has_ended)
			on_time(run);
	}
	drain(run);
}

int mlimg_vm_loop(const struct mlimg_args *args, const struct mlimg_vm_spec *spec,
	const struct mlimg_vm_options *options, const struct mlimg_vm_images *images)
{
	struct run run = {.spec = spec,
		.options = options,
		.images = images,
		.qemu = MLIMG_PROCESS_INIT,
		.console = MLIMG_VM_LOG_INIT,
		.log = MLIMG_VM_LOG_INIT,
		.qmp = MLIMG_CHAN_INIT,
		.agent = MLIMG_CHAN_INIT,
		.signal_fd = -1};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int code;

	if (start(&run, args, &err) < 0) {
		code = mlimg_cli_fail(MLIMG_VM_PROG, &err);
	} else {
		loop(&run);
		code = conclude(&run, mlimg_process_wait(&run.qemu));
	}
	mlimg_cleanup_close(&run.signal_fd);
	mlimg_chan_close(&run.qmp);
	mlimg_chan_close(&run.agent);
	mlimg_vm_log_close(&run.console);
	mlimg_vm_log_close(&run.log);
	mlimg_watch_done(&run.watch);
	return code;
}
