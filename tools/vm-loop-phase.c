/* SPDX-License-Identifier: MIT */
/* How a run goes on: its phases, the user's signals, deadlines, and what QEMU's end means. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/cli.h"
#include "tools/vm-loop-impl.h"

#define POWERDOWN_AGAIN_MS \
	5000 /* the button is pressed again: a guest that was not listening yet missed it */
#define SILENT_MS 500 /* a console that is silent for so long has said what it had to say */
#define QUIT_MS 10000 /* how long QEMU itself may take to end */

void mlimg_run_enter(struct mlimg_run *run, enum mlimg_run_phase phase, uint64_t limit_ms)
{
	run->phase = phase;
	run->deadline_ms = limit_ms ? mlimg_now_ms() + limit_ms : UINT64_MAX;
}

void mlimg_run_boots(struct mlimg_run *run)
{
	run->started_ms = mlimg_now_ms();
	mlimg_run_enter(run, MLIMG_RUN_BOOTING, 1000ull * run->options->boot_timeout_s);
}

void mlimg_run_command(struct mlimg_run *run, const char *command)
{
	/*
	 * An answer is not waited for; where the command could not be sent, the phase's deadline
	 * decides.
	 */
	if (run->is_negotiated && mlimg_chan_request(&run->qmp, command, NULL, NULL) < 0)
		run->is_negotiated = false;
}

void mlimg_run_quit(struct mlimg_run *run)
{
	mlimg_run_enter(run, MLIMG_RUN_QUIT, QUIT_MS);
	mlimg_run_command(run, "quit");
	if (!run->is_negotiated)
		kill(run->qemu.pid, SIGTERM);
}

void mlimg_run_console_hint(const struct mlimg_run *run, char *ret_text, size_t size)
{
	ret_text[0] = '\0';
	if (run->console.path)
		snprintf(ret_text, size, "; console log: %s", run->console.path);
}

void mlimg_run_fail_boot(struct mlimg_run *run, const char *what)
{
	char how_far[1024], hint[1024];
	int64_t printed = run->console.path ? (int64_t)run->console.bytes : -1;

	mlimg_watch_describe(&run->watch, printed, how_far, sizeof(how_far));
	mlimg_run_console_hint(run, hint, sizeof(hint));
	mlimg_run_say(run, stderr, "%s: %s%s", what, how_far, hint);
	run->has_failed = true;
}

static void press_power_button(struct mlimg_run *run)
{
	run->press_ms = mlimg_now_ms() + POWERDOWN_AGAIN_MS;
	mlimg_run_command(run, "system_powerdown");
}

static bool hears(const struct mlimg_run *run)
{
	return run->phase == MLIMG_RUN_UP || run->watch.has_agent ||
		strcmp(run->watch.stage, "switch-root") == 0;
}

/*
 * Before its root is there nobody in the guest hears a power button, and nothing is lost by ending
 * it at once. SIGUSR1 ends it at once whatever it does.
 */
void mlimg_run_on_signal(struct mlimg_run *run)
{
	struct signalfd_siginfo info;

	if (read(run->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1) {
		run->is_wanted = true;
		if (run->phase < MLIMG_RUN_QUIT)
			mlimg_run_quit(run);
	} else if (run->phase <= MLIMG_RUN_UP && hears(run) && run->is_negotiated) {
		mlimg_run_say(run, stderr, "powering off (again to end it at once)");
		mlimg_run_enter(run, MLIMG_RUN_POWERDOWN, MLIMG_POWERDOWN_MS);
		press_power_button(run);
	} else if (run->phase == MLIMG_RUN_STOPPED) {
		mlimg_run_quit(run);
	} else if (run->phase <= MLIMG_RUN_POWERDOWN) {
		mlimg_run_say(run, stderr, "ended%s",
			run->phase <= MLIMG_RUN_BOOTING ? " before it was up" : "");
		run->has_failed = run->is_wanted = true;
		mlimg_run_quit(run);
	}
}

static void on_deadline(struct mlimg_run *run)
{
	char what[64];

	switch (run->phase) {
	case MLIMG_RUN_BOOTING:
		snprintf(what, sizeof(what), "not up after %u s", run->options->boot_timeout_s);
		mlimg_run_fail_boot(run, what);
		mlimg_run_quit(run);
		break;
	case MLIMG_RUN_POWERDOWN:
		mlimg_run_say(run, stderr, "did not power off within %d s, ended",
			MLIMG_POWERDOWN_MS / 1000);
		run->has_failed = run->is_wanted = true;
		mlimg_run_quit(run);
		break;
	case MLIMG_RUN_STOPPED: mlimg_run_quit(run); break;
	case MLIMG_RUN_QUIT:
		mlimg_run_enter(run, MLIMG_RUN_KILLED, 0);
		kill(run->qemu.pid, SIGKILL);
		break;
	default: break;
	}
}

void mlimg_run_on_time(struct mlimg_run *run)
{
	uint64_t now = mlimg_now_ms();
	bool is_watched = run->phase == MLIMG_RUN_BOOTING || run->is_rebooting;
	const char *question =
		is_watched && run->agent.fd >= 0 ? mlimg_watch_ask(&run->watch, now) : NULL;

	/* Lost when the guest does not read: it is asked again. */
	if (question && mlimg_chan_request(&run->agent, question, NULL, NULL) == -EPIPE)
		mlimg_chan_close(&run->agent);
	if (run->phase == MLIMG_RUN_POWERDOWN && now >= run->press_ms)
		press_power_button(run);
	if (run->phase == MLIMG_RUN_STOPPED && now >= run->printed_ms + SILENT_MS)
		run->deadline_ms = now;
	if (now >= run->deadline_ms)
		on_deadline(run);
	/* One client at a time: from now on it is `mlimg-vm status`. */
	is_watched = run->phase == MLIMG_RUN_BOOTING || run->is_rebooting;
	if (!is_watched && run->agent.fd >= 0)
		mlimg_chan_close(&run->agent);
}

/* The state as it is now; the reason, where there is one, points into the run or @p text. */
static enum mlimg_guest_state state_of(
	const struct mlimg_run *run, char text[MLIMG_GUEST_WHY_SIZE], const char **ret_why)
{
	*ret_why = "";
	if (run->phase >= MLIMG_RUN_POWERDOWN)
		return MLIMG_GUEST_STOPPING;
	if (run->phase == MLIMG_RUN_WAITING || run->is_stopped) {
		if (run->is_stuck) {
			mlimg_guest_stuck_why(run->spec->name, run->is_full, text);
			*ret_why = text;
		}
		return MLIMG_GUEST_PAUSED;
	}
	if (run->is_asked)
		return MLIMG_GUEST_STOPPING;
	if (run->phase == MLIMG_RUN_UP && !run->is_rebooting) {
		*ret_why = run->up;
		return MLIMG_GUEST_UP;
	}
	if (*run->watch.stage || run->watch.has_agent) {
		mlimg_watch_describe(&run->watch, -1, text, MLIMG_GUEST_WHY_SIZE);
		*ret_why = text;
	}
	return MLIMG_GUEST_STARTING;
}

static void tell(struct mlimg_run *run, enum mlimg_guest_state state, const char *why)
{
	bool can_hear = hears(run);

	if (state == run->told && can_hear == run->told_hears && strcmp(why, run->told_why) == 0)
		return;
	run->told = state;
	run->told_hears = can_hear;
	snprintf(run->told_why, sizeof(run->told_why), "%s", why);
	run->follower->state(run->follower->ctx, state, can_hear, run->told_why);
}

void mlimg_run_tell(struct mlimg_run *run)
{
	char text[MLIMG_GUEST_WHY_SIZE];
	const char *why;
	enum mlimg_guest_state state = state_of(run, text, &why);

	if (run->follower && run->has_machine)
		tell(run, state, why);
}

/* Whether it did what was wanted; what is to be said of it has been said. */
static bool is_end_good(struct mlimg_run *run, int status)
{
	bool is_clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	char line[512];

	if (run->has_failed)
		return false;
	if (run->has_powered_off && run->phase == MLIMG_RUN_BOOTING && !run->is_asked) {
		mlimg_run_fail_boot(run, "powered off before it was up");
		return false;
	}
	if (run->is_wanted) {
		mlimg_run_say(run, stderr, MLIMG_GUEST_ENDED);
		return false;
	}
	if (run->has_powered_off && is_clean) {
		mlimg_run_say(run, stdout, "powered off");
		return true;
	}
	if (*run->reason && is_clean) {
		run->is_wanted = strcmp(run->reason, "host-qmp-quit") == 0;
		mlimg_run_say(run, stderr, "QEMU was ended from outside (%s)", run->reason);
		return false;
	}
	mlimg_vm_log_last_line(&run->log, line, sizeof(line));
	if (WIFSIGNALED(status))
		mlimg_run_say(run, stderr, "QEMU was killed by signal %d%s%s", WTERMSIG(status),
			*line ? ": " : "", line);
	else
		mlimg_run_say(run, stderr, "QEMU ended with status %d%s%s", WEXITSTATUS(status),
			*line ? ": " : "", line);
	return false;
}

int mlimg_run_conclude(struct mlimg_run *run, int status)
{
	bool is_good = is_end_good(run, status);

	if (run->follower)
		tell(run, is_good || run->is_wanted ? MLIMG_GUEST_OFF : MLIMG_GUEST_DIED,
			is_good ? "powered off" : run->last);
	return is_good ? MLIMG_EXIT_DONE : MLIMG_EXIT_FAILED;
}
