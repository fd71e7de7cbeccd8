/* SPDX-License-Identifier: MIT */
/**
 * @file nbd-server.h
 * A qemu-nbd process and the connection to it: see nbd-source.h, which is the only one that uses
 * this.
 */
#ifndef MLIMG_TOOLS_NBD_SERVER_H
#define MLIMG_TOOLS_NBD_SERVER_H

#include <sys/types.h>

#include "libmlimg/err.h"

#define MLIMG_NBD_SAID_MAX 4096 /**< bytes that are read of what it prints */

/** A server. Initialise with MLIMG_NBD_SERVER_INIT. */
struct mlimg_nbd_server {
	pid_t pid;
	int stderr_fd; /**< what it prints, non-blocking */
};

#define MLIMG_NBD_SERVER_INIT              \
	{                                  \
		.pid = -1, .stderr_fd = -1 \
	}

/**
 * Start one.
 *
 * @param argv        its arguments, "qemu-nbd" first, NULL-terminated; nothing about sockets
 * @param server      the server; mlimg_nbd_server_end() it
 * @param ret_socket  connected to it; close() it
 * @param err         -ENOENT: there is no such program
 * @return            0 or -errno
 */
int mlimg_nbd_server_start(char *const *argv, struct mlimg_nbd_server *server, int *ret_socket,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * End it, and learn what it has said.
 *
 * @param server    as it was initialised: nothing is done
 * @param ret_said  its last message without its name, "" for none; or NULL
 */
void mlimg_nbd_server_end(struct mlimg_nbd_server *server, char ret_said[MLIMG_NBD_SAID_MAX]);

#endif
