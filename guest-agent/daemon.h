/* SPDX-License-Identifier: MIT */
/**
 * @file daemon.h
 * The daemon: reads requests from the port, one client after the other, and writes the responses.
 * It waits without polling, also while nobody is at the other end, and keeps nothing from one
 * request to the next.
 */
#ifndef MLIMG_DAEMON_H
#define MLIMG_DAEMON_H

#include "guest-agent/protocol.h"
#include "libmlimg/err.h"

#define MLIMG_ABSENT_MS \
	1000 /**< how much later than a request the news may come that its sender is there (port.h) */
#define MLIMG_SEND_TIMEOUT_MS \
	10000 /**< for one response; a host that does not read for so long has lost interest */

/**
 * Serve a virtio-serial port for as long as it is there.
 *
 * @param path   its device
 * @param agent  what commands may look at
 * @return       -errno; -EBUSY when another process has the port
 */
int mlimg_daemon_serve_port(
	const char *path, const struct mlimg_agent *agent, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Listen on a Unix socket instead, one client at a time: how the tests reach the daemon without a
 * guest.
 *
 * @param path   the socket, made with mode 0600; an old socket of the name is replaced
 * @param agent  what commands may look at
 * @return       -errno
 */
int mlimg_daemon_serve_unix(
	const char *path, const struct mlimg_agent *agent, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
