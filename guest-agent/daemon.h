/* SPDX-License-Identifier: MIT */
/**
 * @file daemon.h
 * The daemon: one process, one loop that waits for everything at once. It serves the host through
 * the virtio-serial port, and whoever is in the guest through a Unix socket, all of them at the
 * same time (client.h). It never polls: nothing wakes it while nobody asks.
 */
#ifndef MLIMG_DAEMON_H
#define MLIMG_DAEMON_H

#include "guest-agent/protocol.h"
#include "libmlimg/err.h"

#define MLIMG_CLIENTS_MAX 16 /**< connections at the same time, beside the port */
#define MLIMG_CLIENTS_OF_ROOT \
	4 /**< of these, kept for root and the host: other users cannot take all */
#define MLIMG_DAEMON_SOCKET "mlimg-agent.sock" /**< its name in run_dir */
#define MLIMG_DAEMON_JOB 0x10000u    /**< added to a client's number in what the loop waits for */
#define MLIMG_DAEMON_FREEZE 0x20000u /**< there: the process that keeps a freeze has ended */

/** Where clients come from. */
struct mlimg_daemon_options {
	const char *port; /**< the device; NULL: it is looked for */
	const char
		*host; /**< instead of it a socket that stands for the host, for tests; or NULL */
	const char *socket; /**< that of the guest; NULL: MLIMG_DAEMON_SOCKET in run_dir */
};

/**
 * Serve until SIGTERM or SIGINT comes; a freeze ends before this returns. Where systemd has made
 * the socket (sd_listen_fds(3)) and there is no port, it also returns when the last client has
 * gone: the next one, or the port, starts it again.
 *
 * @param options  see there
 * @param agent    what commands may look at
 * @param err      what could not be opened, or what happened to the port
 * @return         0, or -errno: -ENOENT without a port only where @p options names it; -EBUSY when
 *                 another process has it
 */
int mlimg_daemon_run(const struct mlimg_daemon_options *options, struct mlimg_agent *agent,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
