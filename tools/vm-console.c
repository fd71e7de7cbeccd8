/* SPDX-License-Identifier: MIT */
/* `mlimg-vm console`: a tenant's serial console, both ways. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>

#include "libmlimg/io.h"
#include "tools/cli.h"
#include "tools/vm-life.h"

#define LEAVE 0x1d /* Ctrl-], as of telnet and virsh */

static const char help[] =
	"Usage: mlimg-vm console [OPTION]... NAME\n"
	"\n"
	"Connect the terminal with a tenant's serial console. Ctrl-] leaves; the guest\n"
	"goes on. What it prints is logged all the same ('mlimg-vm logs'), and goes to\n"
	"the terminal as it is. Where stdin is no terminal, its content goes to the\n"
	"guest, and its end does not leave.\n"
	"\n" MLIMG_LIFE_STORE_HELP;

static const struct option options[] = {MLIMG_LIFE_STORE, MLIMG_LIFE_HELP, {NULL, 0, NULL, 0}};

/* A conversation. */
struct talk {
	int guest, signals;
	int in; /* -1 when there is no more to come */
	bool is_raw;
	struct termios was;
	char typed[256]; /* what the guest has not taken yet */
	size_t n_typed;
	bool has_left, has_ended;
};

static int begin(struct talk *t, struct mlimg_err *err)
{
	struct termios raw;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	t->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (t->signals < 0)
		return mlimg_err_set(err, errno, "signalfd");
	if (tcgetattr(STDIN_FILENO, &t->was) < 0)
		return 0;
	raw = t->was;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
		return mlimg_err_set(err, errno, "terminal");
	t->is_raw = true;
	fprintf(stderr, "Ctrl-] leaves.\r\n");
	return 0;
}

static void done(struct talk *t)
{
	if (t->is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &t->was);
	mlimg_cleanup_close(&t->signals);
	mlimg_cleanup_close(&t->guest);
}

static void pass_on(struct talk *t)
{
	ssize_t n = write(t->guest, t->typed, t->n_typed);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		t->has_ended = true;
	if (n <= 0)
		return;
	t->n_typed -= (size_t)n;
	memmove(t->typed, t->typed + n, t->n_typed);
}

static void take_typed(struct talk *t)
{
	ssize_t n = read(t->in, t->typed, sizeof(t->typed));
	const char *leave = n > 0 && t->is_raw ? memchr(t->typed, LEAVE, (size_t)n) : NULL;

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			t->in = -1;
		/* A terminal that is gone. */
		t->has_left = t->in < 0 && t->is_raw;
		return;
	}
	t->has_left = leave != NULL;
	t->n_typed = leave ? (size_t)(leave - t->typed) : (size_t)n;
	if (t->n_typed)
		pass_on(t);
}

static void take_printed(struct talk *t)
{
	char text[16384];
	ssize_t n = read(t->guest, text, sizeof(text));

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		t->has_ended = true;
	if (n > 0 && mlimg_write_all(STDOUT_FILENO, text, (size_t)n) < 0)
		t->has_left = true;
}

static void talk(struct talk *t)
{
	while (!t->has_left && !t->has_ended) {
		struct pollfd fds[] = {
			{.fd = t->guest, .events = (short)(POLLIN | (t->n_typed ? POLLOUT : 0))},
			{.fd = t->n_typed ? -1 : t->in, .events = POLLIN},
			{.fd = t->signals, .events = POLLIN},
		};

		if (poll(fds, 3, -1) < 0)
			continue;
		if (fds[0].revents & (POLLIN | POLLHUP | POLLERR))
			take_printed(t);
		if (fds[0].revents & POLLOUT && t->n_typed)
			pass_on(t);
		if (fds[1].revents)
			take_typed(t);
		if (fds[2].revents)
			t->has_left = true;
	}
}

int mlimg_vm_cmd_console(int argc, char **argv)
{
	struct mlimg_vm_life life = {.timeout_ms = 0};
	mlimg_autofound struct mlimg_vm_found found = {.store = NULL};
	struct talk t = {.guest = -1, .signals = -1, .in = STDIN_FILENO};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int code = mlimg_vm_life_parse(argc, argv, help, "h", options, &life);
	int ret;

	if (code >= 0)
		return code;
	/* In the store alone: `mlimg-vm run` has its guest's console itself. */
	ret = mlimg_vm_find_tenant(&life.wanted, &found, &err);
	if (ret == 0)
		ret = mlimg_backend_of(&found.tenant)->console(&found.tenant, &t.guest, &err);
	mlimg_store_close(mlimg_steal(&found.store));
	if (ret == 0)
		ret = begin(&t, &err);
	if (ret == 0)
		talk(&t);
	done(&t);
	if (ret < 0)
		return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	fprintf(stderr, "%s%s: %s\n", t.is_raw ? "\n" : "", found.tenant.row.name,
		t.has_ended ? "the guest is off" : "left, the guest goes on");
	return MLIMG_EXIT_DONE;
}
