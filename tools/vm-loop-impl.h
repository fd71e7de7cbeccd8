/* SPDX-License-Identifier: MIT */
/**
 * @file vm-loop-impl.h
 * What the parts of the loop (vm-loop.h) share; for nobody else.
 */
#ifndef MLIMG_VM_LOOP_IMPL_H
#define MLIMG_VM_LOOP_IMPL_H

#include <stdio.h>

#include "tools/vm-chan.h"
#include "tools/vm-log.h"
#include "tools/vm-loop.h"
#include "tools/vm-process.h"
#include "tools/vm-terminal.h"
#include "tools/vm-watch.h"

/** How far a run has come. Their order counts. */
enum mlimg_run_phase {
	MLIMG_RUN_WAITING =
		0, /**< not an instruction has run: somebody else lets the guest begin */
	MLIMG_RUN_BOOTING,
	MLIMG_RUN_UP,
	MLIMG_RUN_POWERDOWN, /**< the guest was asked to power off */
	MLIMG_RUN_STOPPED, /**< the guest says that its boot has failed; its console is slower than the port */
	MLIMG_RUN_QUIT, /**< QEMU was asked to end */
	MLIMG_RUN_KILLED,
};

/** A run. */
struct mlimg_run {
	const struct mlimg_vm_spec *spec;
	const struct mlimg_vm_options *options;
	const struct mlimg_vm_images *images;
	const struct mlimg_vm_follower *follower; /**< or NULL */
	struct mlimg_process qemu;
	struct mlimg_vm_log console, log;
	struct mlimg_terminal terminal;
	struct mlimg_chan qmp, agent;
	struct mlimg_watch watch;
	int signal_fd;
	enum mlimg_run_phase phase;
	uint64_t started_ms, deadline_ms, press_ms, printed_ms;
	unsigned n_stage_lines;
	bool is_negotiated;              /**< QMP takes commands */
	bool has_machine;                /**< and has answered one */
	bool is_stopped;                 /**< the processors stand still */
	bool is_stuck;                   /**< since a disk could not be written */
	bool is_full;                    /**< for want of room on the host's */
	bool is_rebooting;               /**< it was up, and is watched again */
	bool is_asked;                   /**< somebody has pressed the power button */
	bool is_wanted;                  /**< that it ends, although it failed to do so by itself */
	bool has_failed;                 /**< and has said so */
	bool has_powered_off;            /**< by the guest's own doing */
	char reason[32];                 /**< of QEMU's SHUTDOWN event */
	char up[MLIMG_GUEST_WHY_SIZE];   /**< what was said when it was up */
	char last[MLIMG_GUEST_WHY_SIZE]; /**< what was said last on stderr */
	enum mlimg_guest_state told;     /**< what the follower was told last */
	bool told_hears;
	char told_why[MLIMG_GUEST_WHY_SIZE];
};

/** One line about the guest on @p f, or for the follower; what is in it may be the guest's. */
void mlimg_run_say(struct mlimg_run *run, FILE *f, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Phases (vm-loop-phase.c). */

/** Enter a phase that lasts at most @p limit_ms; 0: without limit. */
void mlimg_run_enter(struct mlimg_run *run, enum mlimg_run_phase phase, uint64_t limit_ms);

/** Begin to wait for the boot. */
void mlimg_run_boots(struct mlimg_run *run);

/** Have QEMU do or answer something; what it answers comes to mlimg_run_on_qmp(). */
void mlimg_run_command(struct mlimg_run *run, const char *command);

/** End QEMU. */
void mlimg_run_quit(struct mlimg_run *run);

/** Say that the boot has failed, and how far it came. */
void mlimg_run_fail_boot(struct mlimg_run *run, const char *what);

/** "; console log: FILE", where there is one. */
void mlimg_run_console_hint(const struct mlimg_run *run, char *ret_text, size_t size);

/** A signal has come. */
void mlimg_run_on_signal(struct mlimg_run *run);

/** Look at the clock: questions to the agent, deadlines. */
void mlimg_run_on_time(struct mlimg_run *run);

/** Tell the follower the state, where it is another. */
void mlimg_run_tell(struct mlimg_run *run);

/** What QEMU's end means. @param status of waitpid(2) @return the exit code */
int mlimg_run_conclude(struct mlimg_run *run, int status);

/* Messages (vm-loop-events.c). */

/** Take what QEMU's monitor says. */
void mlimg_run_on_qmp(struct mlimg_run *run, const json_t *message);

/** Take what the guest's agent says. */
void mlimg_run_on_agent(struct mlimg_run *run, const json_t *message);

#endif
