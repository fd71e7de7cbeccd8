/* SPDX-License-Identifier: MIT */
/* `mlimg-vm start`, and `restart`. */
#include <stdio.h>
#include <unistd.h>

#include "tools/checkpoint.h"
#include "tools/cli.h"
#include "tools/reclaim.h"
#include "tools/vm-all.h"
#include "tools/vm-life.h"
#include "tools/vm-loop.h"

#define ENDS_MS 15000  /* how long a guest may still end that nobody has to stop */
#define GRACE_MS 30000 /* beyond its own time-out, for what a boot that failed leaves to be done */

static const char start_help[] =
	"Usage: mlimg-vm start [OPTION]... NAME\n"
	"\n"
	"       mlimg-vm start --autostart [OPTION]...\n"
	"\n"
	"Start a tenant, and wait until it is up. Changes that are pending take effect.\n"
	"One that stands still since the host's disk was full goes on where it was.\n"
	"\n"
	"  --autostart        all tenants with 'set --autostart yes' that QEMU runs on\n"
	"                     this machine and that are off, as many at a time as it has\n"
	"                     processors\n"
	"  --no-wait          return as soon as it boots\n" MLIMG_LIFE_STORE_HELP;

static const char restart_help[] =
	"Usage: mlimg-vm restart [OPTION]... NAME\n"
	"\n"
	"Stop a tenant, as 'mlimg-vm stop' does, and start it again. One that is off is\n"
	"only started.\n"
	"\n"
	"  --no-wait          return as soon as it boots\n"
	"  --timeout SECONDS  how long it may take to power off (default: "
	"90)\n" MLIMG_LIFE_STORE_HELP;

static const struct option start_options[] = {MLIMG_LIFE_AUTOSTART, MLIMG_LIFE_NO_WAIT,
	MLIMG_LIFE_STORE, MLIMG_LIFE_HELP, {NULL, 0, NULL, 0}};

static const struct option restart_options[] = {MLIMG_LIFE_NO_WAIT, MLIMG_LIFE_TIMEOUT,
	MLIMG_LIFE_STORE, MLIMG_LIFE_HELP, {NULL, 0, NULL, 0}};

/* One that stands still since its host's disk was full is not started: it goes on, and loses nothing. */
static int resume(
	struct mlimg_vm_found *found, const char *why, bool *ret_goes_on, struct mlimg_err *err)
{
	enum mlimg_backend_resumed how = MLIMG_RESUMED_NOT;
	int ret = mlimg_backend_resume(&found->tenant, &how, err);

	if (ret < 0)
		return ret;
	if (how == MLIMG_RESUMED_STUCK)
		return mlimg_err_set(
			err, 0, "tenant '%s' stands still: %s", found->tenant.row.name, why);
	*ret_goes_on = how == MLIMG_RESUMED;
	return 0;
}

/* That it is off, or goes on; a QEMU whose supervisor was killed may take a moment. */
static int check_off(struct mlimg_vm_found *found, bool *ret_goes_on, struct mlimg_err *err)
{
	const struct mlimg_backend *backend = mlimg_backend_of(&found->tenant);
	enum mlimg_guest_state state = MLIMG_GUEST_OFF;
	char why[MLIMG_GUEST_WHY_SIZE];
	bool is_off;
	int ret = mlimg_backend_look(found->store, &found->tenant, &state, why, err);

	if (ret == 0 && state == MLIMG_GUEST_STOPPING) {
		ret = backend->wait_off(&found->tenant, mlimg_now_ms() + ENDS_MS, &is_off, err);
		if (ret == 0)
			ret = mlimg_backend_look(found->store, &found->tenant, &state, why, err);
	}
	if (ret == 0 && state == MLIMG_GUEST_PAUSED)
		ret = resume(found, why, ret_goes_on, err);
	if (ret < 0 || *ret_goes_on)
		return ret;
	if (mlimg_backend_is_half_started(&found->tenant, state)) {
		mlimg_cli_warn(MLIMG_VM_PROG,
			"a start of tenant '%s' was interrupted; it is started anew",
			found->tenant.row.name);
		return backend->end(&found->tenant, err);
	}
	if (mlimg_guest_is_on(state))
		return mlimg_err_set(err, 0, "tenant '%s' is running already (%s)",
			found->tenant.row.name, mlimg_guest_state_name(state));
	return mlimg_reclaim(found->store, &found->tenant, state, why, err);
}

/* A guest that stands still since its restore was interrupted is ended, so that it can be started. */
static int settle(struct mlimg_vm_found *found, struct mlimg_err *err)
{
	const struct mlimg_checkpoints of = {
		found->store, &found->tenant, mlimg_backend_of(&found->tenant)};

	return of.backend->saved ? mlimg_checkpoint_settle(&of, err) : 0;
}

static int wait_up(struct mlimg_vm_found *found, struct mlimg_err *err)
{
	const struct mlimg_tenant *tenant = &found->tenant;
	uint64_t deadline = mlimg_now_ms() + 1000ull * tenant->settings.boot_timeout_s + GRACE_MS;
	enum mlimg_guest_state state = MLIMG_GUEST_OFF;
	char why[MLIMG_GUEST_WHY_SIZE] = "";
	int ret = mlimg_backend_wait_up(tenant, deadline, &state, why, err);

	if (ret < 0)
		return ret;
	if (state == MLIMG_GUEST_UP) {
		mlimg_vm_life_say(tenant->row.name, why);
		return 0;
	}
	if (mlimg_guest_is_on(state) || state == MLIMG_GUEST_UNREACHABLE)
		return mlimg_err_set(err, 0, "tenant '%s' is not up yet, but %s%s%s",
			tenant->row.name, mlimg_guest_state_name(state), *why ? ": " : "", why);
	return mlimg_err_set(err, 0, "tenant '%s': %s", tenant->row.name, why);
}

int mlimg_vm_life_start(
	struct mlimg_vm_found *found, int *lock, bool no_wait, struct mlimg_err *err)
{
	const struct mlimg_backend_start how = {.is_paused = false};
	bool goes_on = false;
	int ret = mlimg_backend_check_disk(&found->tenant, err);

	if (ret == 0)
		ret = settle(found, err);
	if (ret == 0)
		ret = check_off(found, &goes_on, err);
	if (ret == 0 && goes_on) {
		mlimg_vm_life_say(found->tenant.row.name, "goes on, and has lost nothing");
		return 0;
	}

	/* One that was believed to run starts with what is pending now. */
	if (ret == 0)
		ret = mlimg_vm_find_again(found, err);
	if (ret == 0)
		ret = mlimg_backend_of(&found->tenant)
			      ->start(found->store, &found->tenant, &how, err);
	if (ret < 0)
		return ret;
	mlimg_cleanup_close(lock);
	*lock = -1;
	found->tenant.lock = 0;
	/* Others may make the store's schema newer while this one waits. */
	mlimg_store_close(found->store);
	found->store = NULL;
	if (!no_wait)
		return wait_up(found, err);
	mlimg_vm_life_say(found->tenant.row.name, "starting");
	return 0;
}

static bool is_to_start(const struct mlimg_tenant *tenant, enum mlimg_guest_state state)
{
	return tenant->settings.autostart && !mlimg_guest_is_on(state);
}

static int start_all(const struct mlimg_vm_life *life)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	const struct mlimg_vm_all all = {.command = "start",
		.options = {life->no_wait ? "--no-wait" : NULL},
		.at_once = processors > 0 ? (unsigned)processors : 1,
		.is_meant = is_to_start};

	return mlimg_vm_all(life->wanted.store, &all);
}

int mlimg_vm_cmd_start(int argc, char **argv)
{
	struct mlimg_vm_life life = {.timeout_ms = 0};
	mlimg_autofound struct mlimg_vm_found found = {.store = NULL};
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autoclose int lock = -1;
	int code = mlimg_vm_life_parse(argc, argv, start_help, "h", start_options, &life);

	if (code >= 0)
		return code;
	if (life.is_autostart)
		return start_all(&life);
	if (mlimg_vm_take(&life.wanted, "start", &found, &lock, &err) < 0 ||
		mlimg_vm_life_start(&found, &lock, life.no_wait, &err) < 0)
		return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	return mlimg_cli_close_stdout(MLIMG_VM_PROG);
}

int mlimg_vm_cmd_restart(int argc, char **argv)
{
	struct mlimg_vm_life life = {.timeout_ms = MLIMG_POWERDOWN_MS};
	mlimg_autofound struct mlimg_vm_found found = {.store = NULL};
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autoclose int lock = -1;
	int code = mlimg_vm_life_parse(argc, argv, restart_help, "h", restart_options, &life);

	if (code >= 0)
		return code;
	if (mlimg_vm_take(&life.wanted, "restart", &found, &lock, &err) < 0)
		return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	/* One that had to be ended is off too. */
	if (mlimg_vm_life_stop(&found, life.timeout_ms, &err) < 0)
		mlimg_cli_warn(MLIMG_VM_PROG, "%s", err.text);
	fflush(stdout);
	if (mlimg_vm_life_start(&found, &lock, life.no_wait, &err) < 0)
		return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	return mlimg_cli_close_stdout(MLIMG_VM_PROG);
}
