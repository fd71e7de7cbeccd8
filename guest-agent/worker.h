/* SPDX-License-Identifier: MIT */
/**
 * @file worker.h
 * What takes long is done in a process of its own, so that the daemon answers others meanwhile and
 * what it needs of memory goes when it ends. It says what it has to say on a socket. When the
 * daemon closes its end of that, or is no more, what the process runs (child.h) is killed, and it
 * ends.
 */
#ifndef MLIMG_WORKER_H
#define MLIMG_WORKER_H

#include "libmlimg/err.h"

/**
 * What it does. SIGTERM and SIGINT are blocked in it: the daemon's end is its end.
 *
 * @param fd   its end of the socket; writing fails with EPIPE when nobody listens any more
 * @param ctx  as given
 */
typedef void mlimg_worker_fn(int fd, void *ctx);

/**
 * Start one. It has no other file of the daemon's than its standard input, output and error.
 *
 * @param fn   what it does; it ends when this returns
 * @param ctx  handed to @p fn
 * @param err  why it could not be started
 * @return     the daemon's end of the socket, O_NONBLOCK; close() it. Or -errno
 */
int mlimg_worker_start(mlimg_worker_fn *fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
