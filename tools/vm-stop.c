/* SPDX-License-Identifier: MIT */
/* `mlimg-vm stop`: a tenant, or a guest of `mlimg-vm run`. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/vm-agent.h"
#include "tools/vm-all.h"
#include "tools/vm-life.h"
#include "tools/vm-loop.h"
#include "tools/vm-runtime.h"

#define QMP_MS 10000  /* QEMU itself answers at once, unless its machine is very busy */
#define AGENT_MS 5000 /* and so does an agent */
#define PRESS_MS 5000 /* pause before the power button is pressed again */
#define QUIT_MS 10000 /* how long QEMU may take to end */

static const char help[] =
	"Usage: mlimg-vm stop [OPTION]... NAME\n"
	"       mlimg-vm stop --all [OPTION]...\n"
	"\n"
	"Have a running guest power off; end it when it does not. A tenant is told by its\n"
	"agent first, for half of the time, then by its power button, as a guest of\n"
	"'mlimg-vm run' is.\n"
	"\n"
	"  --all              all tenants that QEMU runs on this machine, at once\n"
	"  --timeout SECONDS  how long it may take to power off (default: "
	"90)\n" MLIMG_LIFE_RUNTIME_HELP MLIMG_LIFE_STORE_HELP;

static const struct option options[] = {MLIMG_LIFE_ALL, MLIMG_LIFE_TIMEOUT, MLIMG_LIFE_RUNTIME_DIR,
	MLIMG_LIFE_STORE, MLIMG_LIFE_HELP, {NULL, 0, NULL, 0}};

/* A tenant that is being stopped. */
struct stop {
	const struct mlimg_tenant *tenant;
	const struct mlimg_backend *backend;
	uint64_t begun_ms, timeout_ms;
	bool is_off;
	bool is_stuck; /* it stands still: its host's disk is full */
};

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* @return 0 when it has promised to power off */
static int ask_agent(struct stop *s)
{
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	uint64_t deadline = mlimg_now_ms() + least(AGENT_MS, s->timeout_ms / 2);
	int ret = s->backend->agent(s->tenant, &chan.fd, NULL);

	if (ret == 0)
		ret = mlimg_agent_sync(&chan, deadline, NULL);
	if (ret == 0)
		ret = mlimg_chan_call(&chan, "guest-shutdown", deadline, NULL, NULL);
	mlimg_chan_close(&chan);
	return ret;
}

/* Why it could not be asked does not matter: there is a way besides. */
static int by_agent(struct stop *s, struct mlimg_err *err)
{
	if (ask_agent(s) < 0)
		return 0;
	return s->backend->wait_off(s->tenant, s->begun_ms + s->timeout_ms / 2, &s->is_off, err);
}

/* Where there is room by now, it goes on, writes what it had to, and can power off. */
static void let_go_on(struct stop *s)
{
	enum mlimg_backend_resumed how = MLIMG_RESUMED_NOT;

	if (mlimg_backend_resume(s->tenant, &how, NULL) == 0)
		s->is_stuck = how == MLIMG_RESUMED_STUCK;
}

/* Said before, and not only when it was ended: there is time to make room. */
static void warn_stuck(const struct stop *s)
{
	mlimg_cli_warn(MLIMG_VM_PROG,
		"tenant '%s' cannot power off: its disk cannot be written; without room on the "
		"host's "
		"disk within %llu s it is ended, and loses what it had to write",
		s->tenant->row.name, (unsigned long long)s->timeout_ms / 1000);
}

/* Pressed again and again: a guest that was not listening yet missed it. */
static int by_button(struct stop *s, struct mlimg_err *err)
{
	uint64_t deadline = s->begun_ms + s->timeout_ms;
	int ret = 0;

	while (ret == 0 && !s->is_off && mlimg_now_ms() < deadline) {
		if (s->is_stuck)
			let_go_on(s);
		/* One that could not be pressed: perhaps it is off meanwhile. */
		if (s->backend->press(s->tenant, NULL) < 0)
			ret = 0;
		ret = s->backend->wait_off(
			s->tenant, least(deadline, mlimg_now_ms() + PRESS_MS), &s->is_off, err);
	}
	return ret;
}

static int by_force(struct stop *s, struct mlimg_err *err)
{
	int ret = s->backend->end(s->tenant, err);

	return ret < 0
		? ret
		: mlimg_err_set(err, 0, "tenant '%s' did not power off within %llu s, ended%s",
			  s->tenant->row.name, (unsigned long long)s->timeout_ms / 1000,
			  s->is_stuck ? ": what its disk had no room for is lost" : "");
}

/* Also what its supervisor could not write down is written down now. */
static int say_off(struct mlimg_vm_found *found, const char *how, struct mlimg_err *err)
{
	enum mlimg_guest_state state = MLIMG_GUEST_OFF;
	char why[MLIMG_GUEST_WHY_SIZE];
	int ret = mlimg_backend_look(found->store, &found->tenant, &state, why, err);

	if (ret < 0)
		return ret;
	printf("%s: ", found->tenant.row.name);
	if (state == MLIMG_GUEST_DIED) {
		printf("is off, it died: ");
		mlimg_cli_put_safe(stdout, why);
		putchar('\n');
	} else if (*how && strcmp(why, MLIMG_GUEST_ENDED) == 0) {
		printf("ended, its root was not there yet\n");
	} else if (*how) {
		printf("powered off %s\n", how);
	} else {
		printf("is off\n");
	}
	return 0;
}

static int stop_it(struct mlimg_vm_found *found, struct stop *s, enum mlimg_guest_state state,
	struct mlimg_err *err)
{
	const char *how = "by its agent";
	/* While it boots, its supervisor has the agent's port. */
	int ret = state == MLIMG_GUEST_STARTING || s->is_stuck ? 0 : by_agent(s, err);

	if (ret == 0 && !s->is_off) {
		how = "by its power button";
		ret = by_button(s, err);
	}
	if (ret == 0 && !s->is_off)
		return by_force(s, err);
	return ret < 0 ? ret : say_off(found, how, err);
}

int mlimg_vm_life_stop(struct mlimg_vm_found *found, uint64_t timeout_ms, struct mlimg_err *err)
{
	struct stop s = {.tenant = &found->tenant,
		.backend = mlimg_backend_of(&found->tenant),
		.begun_ms = mlimg_now_ms(),
		.timeout_ms = timeout_ms};
	enum mlimg_guest_state state = MLIMG_GUEST_OFF;
	char why[MLIMG_GUEST_WHY_SIZE];
	int ret = mlimg_backend_look(found->store, &found->tenant, &state, why, err);

	if (ret < 0)
		return ret;
	if (state == MLIMG_GUEST_UNREACHABLE)
		return mlimg_err_set(err, 0, "tenant '%s': %s", found->tenant.row.name, why);
	if (state == MLIMG_GUEST_PAUSED)
		let_go_on(&s);
	if (s.is_stuck)
		warn_stuck(&s);
	if (mlimg_backend_is_half_started(&found->tenant, state))
		ret = s.backend->end(&found->tenant, err);
	else if (mlimg_guest_is_on(state))
		return stop_it(found, &s, state, err);
	return ret < 0 ? ret : say_off(found, "", err);
}

/* QEMU's end closes the monitor's socket. */
static bool has_ended_within(struct mlimg_chan *chan, uint64_t limit_ms)
{
	uint64_t deadline = mlimg_now_ms() + limit_ms;
	json_t *event;
	int ret;

	do {
		event = NULL;
		ret = mlimg_chan_wait(chan, deadline, &event);
		json_decref(event);
	} while (ret == 0);
	return ret == -EPIPE;
}

static int press_until_off(
	struct mlimg_chan *chan, uint64_t timeout_ms, bool *ret_off, struct mlimg_err *err)
{
	uint64_t deadline = mlimg_now_ms() + timeout_ms, now;
	int ret;

	*ret_off = false;
	while (!*ret_off && (now = mlimg_now_ms()) < deadline) {
		ret = mlimg_chan_call(chan, "system_powerdown", now + QMP_MS, NULL, err);
		if (ret < 0 && ret != -EPIPE)
			return ret;
		*ret_off = has_ended_within(chan, least(deadline - now, PRESS_MS));
	}
	return 0;
}

static int power_off(
	const char *name, struct mlimg_chan *chan, uint64_t timeout_ms, struct mlimg_err *err)
{
	bool is_off = false;
	int ret = mlimg_qmp_greet(chan, mlimg_now_ms() + QMP_MS, err);

	if (ret == 0)
		ret = press_until_off(chan, timeout_ms, &is_off, err);
	if (ret < 0)
		return mlimg_err_wrap(err, ret, "guest '%s'", name);
	if (is_off) {
		printf("%s: powered off\n", name);
		return 0;
	}
	if (mlimg_chan_request(chan, "quit", NULL, NULL) < 0 || !has_ended_within(chan, QUIT_MS))
		return mlimg_err_set(
			err, 0, "guest '%s' did not power off, and QEMU does not end", name);
	return mlimg_err_set(err, 0, "guest '%s' did not power off within %llu s, ended", name,
		(unsigned long long)timeout_ms / 1000);
}

static int stop_guest(const struct mlimg_vm_life *life, const char *dir, struct mlimg_err *err)
{
	const char *name = life->wanted.name;
	mlimg_autofree char *path = mlimg_runtime_file(dir, "monitor.sock");
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	int ret = path ? mlimg_unix_connect(path, &chan.fd, err)
		       : mlimg_err_set(err, ENOMEM, "socket");

	ret = ret < 0 ? mlimg_err_wrap(err, ret, "guest '%s'", name)
		      : power_off(name, &chan, life->timeout_ms, err);
	mlimg_chan_close(&chan);
	return ret;
}

static int stop(const struct mlimg_vm_life *life, struct mlimg_err *err)
{
	mlimg_autofound struct mlimg_vm_found found = {.store = NULL};
	mlimg_autoclose int lock = -1;
	int ret = mlimg_vm_find(&life->wanted, &found, err);

	if (ret < 0)
		return ret;
	if (!found.store)
		return stop_guest(life, found.dir, err);
	mlimg_vm_found_done(&found);
	ret = mlimg_vm_take(&life->wanted, "stop", &found, &lock, err);
	return ret < 0 ? ret : mlimg_vm_life_stop(&found, life->timeout_ms, err);
}

/* What is off is not spoken of. */
static bool is_on(const struct mlimg_tenant *tenant, enum mlimg_guest_state state)
{
	return mlimg_guest_is_on(state);
}

static int stop_all(const struct mlimg_vm_life *life)
{
	char seconds[24];
	const struct mlimg_vm_all all = {
		.command = "stop", .options = {"--timeout", seconds}, .is_meant = is_on};

	snprintf(seconds, sizeof(seconds), "%llu", (unsigned long long)life->timeout_ms / 1000);
	return mlimg_vm_all(life->wanted.store, &all);
}

int mlimg_vm_cmd_stop(int argc, char **argv)
{
	struct mlimg_vm_life life = {.timeout_ms = MLIMG_POWERDOWN_MS};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int code = mlimg_vm_life_parse(argc, argv, help, "h", options, &life);

	if (code >= 0)
		return code;
	if (life.is_all)
		return stop_all(&life);
	if (stop(&life, &err) < 0) {
		fflush(stdout);
		return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	}
	return mlimg_cli_close_stdout(MLIMG_VM_PROG);
}
