/* SPDX-License-Identifier: MIT */
/**
 * @file vm-terminal.h
 * A guest's serial console for several at a time. QEMU lets one client have it, who keeps the log (vm-log.h); here that
 * one passes it on, on a socket of its own: what the guest prints goes to all who are there, what any of them types goes
 * to the guest. Nobody is waited for: who does not read loses what the guest prints meanwhile, and who types faster than
 * the guest reads waits himself.
 */
#ifndef MLIMG_VM_TERMINAL_H
#define MLIMG_VM_TERMINAL_H

#include <poll.h>
#include <stddef.h>

#include "libmlimg/err.h"

#define MLIMG_TERMINAL_CLIENTS 8                        /**< at a time; one more is hung up on */
#define MLIMG_TERMINAL_FDS (MLIMG_TERMINAL_CLIENTS + 2) /**< of mlimg_terminal_poll() */

/** A console that is passed on. Initialise with mlimg_terminal_init(). */
struct mlimg_terminal {
	int listener;
	int clients[MLIMG_TERMINAL_CLIENTS]; /* -1: nobody */
	char typed[256];                     /* what the guest has not taken yet */
	size_t n_typed;
};

/** Nobody is there, and nobody can come. */
void mlimg_terminal_init(struct mlimg_terminal *terminal);

/**
 * Let clients come.
 *
 * @param terminal  initialised
 * @param path      the socket, which is made (0600), in place of one that is there
 * @param err       names it
 * @return          0 or -errno
 */
int mlimg_terminal_listen(
	struct mlimg_terminal *terminal, const char *path, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Hand what the guest has printed to all. */
void mlimg_terminal_put(struct mlimg_terminal *terminal, const char *text, size_t size);

/**
 * What to wait for.
 *
 * @param terminal  the terminal
 * @param console   the guest's console, or -1 while there is none
 * @param ret_fds   MLIMG_TERMINAL_FDS of them; those of nobody are -1, which poll(2) passes over
 */
void mlimg_terminal_poll(const struct mlimg_terminal *terminal, int console,
	struct pollfd ret_fds[MLIMG_TERMINAL_FDS]);

/** Do what poll(2) found to be done; parameters as of mlimg_terminal_poll(). */
void mlimg_terminal_handle(
	struct mlimg_terminal *terminal, int console, const struct pollfd fds[MLIMG_TERMINAL_FDS]);

/** Hang up on everybody; the socket's file stays. */
void mlimg_terminal_close(struct mlimg_terminal *terminal);

#endif
