/* SPDX-License-Identifier: MIT */
/**
 * @file child.h
 * Run a program, read what it prints, and never wait longer than one is willing to. No shell takes
 * part.
 */
#ifndef MLIMG_CHILD_H
#define MLIMG_CHILD_H

#include <stddef.h>

#include "libmlimg/err.h"

/**
 * Run a program to its end. Its standard input and error are /dev/null. It leads a process group of
 * its own, which is killed as a whole when the time is over.
 *
 * @param argv        the program, looked for on PATH, and its arguments; ends with NULL
 * @param timeout_ms  how long it may take
 * @param ret_out     what it printed, NUL-terminated; what goes beyond @p out_size is read and
 *                    dropped
 * @param out_size    bytes of @p ret_out
 * @param ret_status  its exit status; 128 and the signal's number when a signal ended it
 * @param err         names the program
 * @return            0, -ETIMEDOUT, -ECANCELED (below), or another -errno when it could not be
 *                    run
 */
int mlimg_child_run(const char *const argv[], int timeout_ms, char *ret_out, size_t out_size,
	int *ret_status, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * From now on, programs that this process runs are killed as soon as the other end of a socket is
 * closed.
 *
 * @param fd  this end; -1 for none
 */
void mlimg_child_cancel_with(int fd);

#endif
