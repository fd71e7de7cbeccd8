/* SPDX-License-Identifier: MIT */
/**
 * @file vm-loop.h
 * Running QEMU until it ends: the boot is watched, console and messages are logged, signals are passed on.
 */
#ifndef MLIMG_VM_LOOP_H
#define MLIMG_VM_LOOP_H

#include <sys/types.h>

#include "tools/guest-state.h"
#include "tools/vm-prepare.h"

#define MLIMG_POWERDOWN_MS \
	90000 /**< how long a guest may take to power off: systemd's default for stopping a unit */

/** Who wants to know what becomes of a guest, in place of who reads stdout and stderr. */
struct mlimg_vm_follower {
	void *ctx; /**< handed to the functions */

	/**
	 * QEMU has the machine and takes commands. Told once, before the first state.
	 *
	 * @param ctx   as above
	 * @param qemu  its process
	 * @param err   why it must not run
	 * @return      0; negative: QEMU is ended, with this error as the reason
	 */
	int (*runs)(void *ctx, pid_t qemu, struct mlimg_err *err);

	/**
	 * The guest's state is another, or its reason is. The last one is OFF or DIED.
	 *
	 * @param ctx    as above
	 * @param state  the state
	 * @param hears  whether it would hear a power button: its root is there
	 * @param text   how far it came, or why it ended; the guest may have made it
	 */
	void (*state)(void *ctx, enum mlimg_guest_state state, bool hears, const char *text);

	/** path of a socket on which others can have the console meanwhile (vm-terminal.h), or NULL */
	const char *terminal;
	bool is_paused; /**< QEMU was told to wait before the first instruction */
	bool is_loaded; /**< and somebody loads a guest then that is up already */
};

/**
 * Run QEMU until it ends.
 *
 * @param prepared  command, machine and layers; what QEMU has been given open is closed here
 * @param options   console, time-outs
 * @param follower  who is told; NULL: it is printed
 * @param ret_code  the exit code: whether the guest was up and powered off
 * @param err       why QEMU could not be started
 * @return          0 when it has been; -errno
 */
int mlimg_vm_loop(struct mlimg_vm_prepared *prepared, const struct mlimg_vm_options *options,
	const struct mlimg_vm_follower *follower, int *ret_code,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
