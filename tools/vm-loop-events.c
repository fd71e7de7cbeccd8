/* SPDX-License-Identifier: MIT */
/* What QEMU and the guest say while it is run. */
#include <string.h>
#include <unistd.h>

#include "tools/vm-loop-impl.h"

#define LAST_WORDS_MS 5000  /* after so long nobody waits for a console any more */
#define STAGE_LINES_MAX 200 /* of --verbose; a guest could announce stages without end */

static void on_shutdown(struct mlimg_run *run, const json_t *data)
{
	snprintf(run->reason, sizeof(run->reason), "%s", mlimg_json_text(data, "reason", ""));
	run->has_powered_off = strcmp(run->reason, "guest-shutdown") == 0;
}

/* Watched again, so that it is known when it is up; but nobody ends a guest for a reboot that fails. */
static void watch_again(struct mlimg_run *run)
{
	mlimg_watch_done(&run->watch);
	run->is_rebooting = true;
}

static void on_reset(struct mlimg_run *run, const json_t *data)
{
	if (!json_is_true(json_object_get(data, "guest")))
		return;
	if (run->phase == MLIMG_RUN_BOOTING) {
		mlimg_run_fail_boot(
			run, "it reset itself before it was up, as a kernel that panics does");
		mlimg_run_quit(run);
	} else if (run->phase == MLIMG_RUN_UP) {
		mlimg_run_say(run, stdout, "reboots");
		if (run->follower)
			watch_again(run);
	} else if (run->phase == MLIMG_RUN_STOPPED) {
		mlimg_run_quit(run);
	}
}

/* Why is asked: somebody may have wanted it, or a disk cannot be written. */
static void on_stop(struct mlimg_run *run)
{
	run->is_stopped = true;
	mlimg_run_command(run, "query-status");
}

/* It comes before STOP. */
static void on_io_error(struct mlimg_run *run, const json_t *data)
{
	if (strcmp(mlimg_json_text(data, "action", ""), "stop") == 0)
		run->is_full = json_is_true(json_object_get(data, "nospace"));
}

/* QEMU keeps what could not be written, until it may go on. So long no boot is late. */
static void on_status(struct mlimg_run *run, const char *status)
{
	if (!run->is_stopped || strcmp(status, "io-error") != 0)
		return;
	run->is_stuck = true;
	if (run->phase == MLIMG_RUN_BOOTING)
		mlimg_run_enter(run, MLIMG_RUN_BOOTING, 0);
	if (!run->follower)
		mlimg_run_say(run, stderr,
			"stands still: its disk cannot be written%s; 'cont' on %s/monitor.sock "
			"lets it go on",
			run->is_full ? ", there is no room on the host's" : "", run->spec->dir);
}

/* Whoever had QEMU wait lets it go. */
static void on_resume(struct mlimg_run *run)
{
	bool was_stuck = run->is_stuck;

	run->is_stopped = run->is_stuck = run->is_full = false;
	if (was_stuck && run->phase == MLIMG_RUN_BOOTING)
		mlimg_run_enter(run, MLIMG_RUN_BOOTING, 1000ull * run->options->boot_timeout_s);
	if (run->phase != MLIMG_RUN_WAITING)
		return;
	if (!run->follower->is_loaded) {
		mlimg_run_boots(run);
		return;
	}
	snprintf(run->up, sizeof(run->up), "goes on from a checkpoint");
	mlimg_run_enter(run, MLIMG_RUN_UP, 0);
}

/*
 * The monitor greets from a thread of its own, but answers when the machine is made: QEMU has
 * kernel and initramfs in memory now, for resets too.
 */
static void on_machine(struct mlimg_run *run)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	run->has_machine = true;
	if (!run->options->kernel) {
		unlink(run->spec->kernel);
		unlink(run->spec->initrd);
	}
	if (run->follower && run->follower->runs(run->follower->ctx, run->qemu.pid, &err) < 0) {
		mlimg_run_say(run, stderr, "%s", err.text);
		run->has_failed = true;
		mlimg_run_quit(run);
	}
}

void mlimg_run_on_qmp(struct mlimg_run *run, const json_t *message)
{
	const char *event = mlimg_json_text(message, "event", "");
	const json_t *data = json_object_get(message, "data");

	if (json_object_get(message, "QMP")) {
		if (mlimg_chan_request(&run->qmp, "qmp_capabilities", NULL, NULL) == 0)
			run->is_negotiated = true;
	} else if (json_object_get(message, "return")) {
		if (!run->has_machine)
			on_machine(run);
		on_status(run, mlimg_json_text(json_object_get(message, "return"), "status", ""));
	} else if (strcmp(event, "SHUTDOWN") == 0) {
		on_shutdown(run, data);
	} else if (strcmp(event, "RESET") == 0) {
		on_reset(run, data);
	} else if (strcmp(event, "POWERDOWN") == 0) {
		run->is_asked = true;
	} else if (strcmp(event, "STOP") == 0) {
		on_stop(run);
	} else if (strcmp(event, "BLOCK_IO_ERROR") == 0) {
		on_io_error(run, data);
	} else if (strcmp(event, "RESUME") == 0) {
		on_resume(run);
	}
}

/*
 * The guest tells its own stack; that it is the one it was given is not taken on trust from the
 * disks alone.
 */
static bool is_same_stack(const struct mlimg_run *run, const json_t *boot)
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

static void say_up(struct mlimg_run *run)
{
	const json_t *boot = json_object_get(run->watch.status, "boot");
	bool is_normal = run->options->mode == MLIMG_BOOT_NORMAL;
	char layers[512], units[512], text[2048];

	mlimg_vm_images_describe(run->images, layers, sizeof(layers));
	mlimg_status_failed_units(run->watch.status, units, sizeof(units));
	snprintf(text, sizeof(text), "up after %.1f s: %s, %s%s%s%s, default target reached%s%s",
		(double)(mlimg_now_ms() - run->started_ms) / 1000, layers,
		mlimg_json_text(boot, "union", "no"), boot ? " union" : "",
		is_normal ? "" : ", mode ", is_normal ? "" : mlimg_json_text(boot, "mode", "?"),
		*units ? ", failed units: " : "", units);
	mlimg_run_say(run, stdout, "%s", text);
	snprintf(run->up, sizeof(run->up), "%.*s", (int)sizeof(run->up) - 1, text);
	if (!is_same_stack(run, boot))
		mlimg_run_say(
			run, stderr, "warning: the guest does not report the stack it was given");
}

static void on_boot_failed(struct mlimg_run *run)
{
	char hint[1024];

	mlimg_run_console_hint(run, hint, sizeof(hint));
	mlimg_run_say(run, stderr, "boot failed: %s%s", run->watch.detail, hint);
	run->has_failed = true;
	run->printed_ms = mlimg_now_ms();
	mlimg_run_enter(run, MLIMG_RUN_STOPPED, LAST_WORDS_MS);
}

void mlimg_run_on_agent(struct mlimg_run *run, const json_t *message)
{
	bool is_stage = mlimg_watch_message(&run->watch, message);

	if (is_stage && run->options->verbose && run->n_stage_lines++ < STAGE_LINES_MAX)
		mlimg_run_say(run, stdout, "%6.1f s  %s%s%s",
			(double)(mlimg_now_ms() - run->started_ms) / 1000, run->watch.stage,
			*run->watch.detail ? ": " : "", run->watch.detail);
	if (run->is_rebooting && run->watch.state != MLIMG_BOOT_WAITING) {
		/* One that failed is left as it is: its user may be at the console. */
		run->is_rebooting = run->watch.state != MLIMG_BOOT_UP;
		return;
	}
	if (run->phase != MLIMG_RUN_BOOTING)
		return;
	if (run->watch.state == MLIMG_BOOT_UP) {
		say_up(run);
		mlimg_run_enter(run, MLIMG_RUN_UP, 0);
	} else if (run->watch.state == MLIMG_BOOT_FAILED) {
		on_boot_failed(run);
	}
}
