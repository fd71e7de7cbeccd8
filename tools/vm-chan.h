/* SPDX-License-Identifier: MIT */
/**
 * @file vm-chan.h
 * A client's end of a unix socket on which JSON objects go, one per line: QEMU's monitor (QMP) and
 * the guest's agent (guest-agent/PROTOCOL.md) both speak so. The other end may be a hostile guest:
 * lines are bounded in length and nesting, what is no JSON object is dropped and counted, and
 * nothing here waits without a limit.
 */
#ifndef MLIMG_VM_CHAN_H
#define MLIMG_VM_CHAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "libmlimg/err.h"

#define MLIMG_CHAN_LINE_MAX (4u << 20) /**< bytes of a line, as guest-agent/PROTOCOL.md says */
#define MLIMG_CHAN_DEPTH_MAX 64        /**< nesting; jansson recurses */

/** A connection. Initialise with MLIMG_CHAN_INIT; not to be copied. */
struct mlimg_chan {
	int fd;
	char *buf;
	size_t start, scanned, end,
		size;       /* unread bytes are start..end, without a newline up to scanned */
	bool skipping;      /* in a line that was too long */
	uint64_t n_dropped; /**< lines that were no JSON object, or too long */
	json_int_t next_id; /**< of requests */
};

#define MLIMG_CHAN_INIT  \
	{                \
		.fd = -1 \
	}

/** Milliseconds of a clock that only goes forward. */
uint64_t mlimg_now_ms(void);

/**
 * Make a unix stream socket, neither bound nor connected yet, and the address of its path.
 *
 * @param path      at most 107 bytes, as unix(7) has it
 * @param ret_addr  the address
 * @param ret_fd    non-blocking
 * @param err       names the socket
 * @return          0, -ENAMETOOLONG, other -errno
 */
int mlimg_unix_socket(const char *path, struct sockaddr_un *ret_addr, int *ret_fd,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Connect to a unix socket.
 *
 * @param path    the socket, at most 107 bytes as unix(7) has it
 * @param ret_fd  non-blocking; also right as the `fd` of a struct mlimg_chan
 * @param err     names the socket
 * @return        0; -ENOENT or -ECONNREFUSED when nobody listens, -errno
 */
int mlimg_unix_connect(const char *path, int *ret_fd, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Close and free; may be called on a closed one. */
void mlimg_chan_close(struct mlimg_chan *chan);

/**
 * Read once what has arrived, without waiting.
 *
 * @return  bytes read; 0 when there is nothing yet; -EPIPE when the other end has closed, -errno
 */
int mlimg_chan_fill(struct mlimg_chan *chan) MLIMG_MUST_CHECK;

/** Take the next object out of what has been read. @return NULL when there is no whole line;
 * json_decref() it */
json_t *mlimg_chan_next(struct mlimg_chan *chan);

/**
 * The next object, waiting for it.
 *
 * @param deadline_ms  until when, by mlimg_now_ms()
 * @param ret          json_decref() it
 * @return             0, -ETIMEDOUT, -EPIPE, -errno
 */
int mlimg_chan_wait(struct mlimg_chan *chan, uint64_t deadline_ms, json_t **ret) MLIMG_MUST_CHECK;

/**
 * Send a request: {"execute": command, "arguments": arguments, "id": N}.
 *
 * @param command    its name
 * @param arguments  taken over; NULL for none
 * @param ret_id     the id that the answer will bear; may be NULL
 * @return           0; -EAGAIN when the other end does not read, then nothing has been sent; -errno
 */
int mlimg_chan_request(struct mlimg_chan *chan, const char *command, json_t *arguments,
	json_int_t *ret_id) MLIMG_MUST_CHECK;

#endif
