/* SPDX-License-Identifier: MIT */
/**
 * @file daemon-open.h
 * What the daemon opens when it starts.
 */
#ifndef MLIMG_DAEMON_OPEN_H
#define MLIMG_DAEMON_OPEN_H

#include "guest-agent/daemon.h"

/** Descriptors; -1 where there is none. All are O_NONBLOCK. */
struct mlimg_daemon_fds {
	int port;    /**< the virtio-serial port */
	int host;    /**< socket that stands for it */
	int local;   /**< socket for whoever is in the guest */
	int signals; /**< signalfd(2) of SIGTERM and SIGINT, which are blocked */
	int marks; /**< inotify(7) of the directory where the mark of the default target appears */
	bool is_passed; /**< systemd has made `local` */
};

/** Open all; parameters as of mlimg_daemon_run(). On failure too, mlimg_daemon_close() them. */
int mlimg_daemon_open(const struct mlimg_daemon_options *options, const struct mlimg_agent *agent,
	struct mlimg_daemon_fds *ret_fds, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Close all. */
void mlimg_daemon_close(const struct mlimg_daemon_fds *fds);

#endif
