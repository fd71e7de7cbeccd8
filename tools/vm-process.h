/* SPDX-License-Identifier: MIT */
/**
 * @file vm-process.h
 * A child process that ends with its parent, and the signals that ask the parent to end.
 */
#ifndef MLIMG_VM_PROCESS_H
#define MLIMG_VM_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "libmlimg/err.h"
#include "tools/vm-confine.h"

/** A child. Initialise with MLIMG_PROCESS_INIT. */
struct mlimg_process {
	pid_t pid;
	int pidfd; /**< readable when it has ended (pidfd_open(2)) */
	/**
	 * set before it is started: a descriptor of this process that it has too, or -1. It holds what
	 * that one holds (a lock) until both have ended
	 */
	int keeps_fd;
	const struct mlimg_confine
		*confine; /**< set before it is started: who it runs as; NULL: as we do */
};

#define MLIMG_PROCESS_INIT                             \
	{                                              \
		.pid = -1, .pidfd = -1, .keeps_fd = -1 \
	}

/**
 * Start a program found on PATH. It gets SIGTERM when this process dies. No signal is blocked in
 * it.
 *
 * @param argv          its arguments, NULL-terminated
 * @param has_terminal  it keeps stdin, stdout and the terminal's process group; else it has a
 *                      session of its own, so that a Ctrl-C reaches only this process, and neither
 * @param process       the child; mlimg_process_wait() for it
 * @param ret_stderr    what it prints on stderr (and stdout without a terminal), non-blocking;
 *                      close() it
 * @return              0 or -errno; -ENOENT when there is no such program
 */
int mlimg_process_start(char *const *argv, bool has_terminal, struct mlimg_process *process,
	int *ret_stderr, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Wait until it has ended. @return its wait status as waitpid(2) gives it */
int mlimg_process_wait(struct mlimg_process *process);

/**
 * From now on SIGUSR1, and SIGINT, SIGTERM and SIGHUP unless they are ignored, only come from a
 * descriptor, and SIGPIPE does not come at all.
 *
 * @return  a non-blocking signalfd(2), or -errno
 */
int mlimg_process_signals(struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
