/* SPDX-License-Identifier: MIT */
/**
 * @file client.h
 * One client of the daemon: the virtio-serial port, or a connection to a socket. Its requests are
 * answered one after the other; nothing here ever waits. What a client can make the daemon keep is
 * bounded: one line, one response of at most a few KiB, or a piece of a longer one.
 */
#ifndef MLIMG_CLIENT_H
#define MLIMG_CLIENT_H

#include <stdint.h>

#include "guest-agent/line.h"
#include "guest-agent/protocol.h"

#define MLIMG_ABSENT_MS \
	1000 /**< how much later than a request the news may come that its sender is there (port.h) */
#define MLIMG_SEND_TIMEOUT_MS \
	10000 /**< for a response, or a piece of one; who does not read for so long has lost interest */
#define MLIMG_JOB_TIMEOUT_MS \
	60000 /**< for a command in a process of its own; each has lower bounds of its own */
#define MLIMG_PIECE_MAX 16384 /**< bytes of a response that are taken from such a process at once */

/** How the daemon waits for it. */
enum mlimg_client_kind {
	MLIMG_CLIENT_PORT = 0, /**< "its end" is none: another one will come through it */
	MLIMG_CLIENT_SOCKET,
};

/** What is to be sent. */
struct mlimg_output {
	char *data; /**< owned; NULL: nothing */
	size_t size, at;
	int *fds; /**< go with the first byte; owned, and so are these */
	size_t n_fds;
};

/** A client. */
struct mlimg_client {
	struct mlimg_line line; /**< first: 64 KiB, of which only what is used is ever touched */
	int fd;
	enum mlimg_client_kind kind;
	enum mlimg_who who;
	unsigned number;
	int epoll_fd; /**< where a process that answers is added, with the number */
	struct mlimg_agent *agent;
	char in[4096];        /**< what was read, */
	size_t in_at, in_end; /**< and of it what has not been looked at yet */
	struct mlimg_output out;
	int job_fd;          /**< the response comes from here; -1: from nowhere */
	char *or_else;       /**< or this is it, when nothing comes; owned */
	size_t or_else_size; /**< bytes of it */
	bool job_has_said;   /**< a part of the response */
	int64_t job_deadline_ms;
	int64_t send_since_ms;   /**< it has not taken what is to be sent since; 0: nothing waits */
	int send_limit_ms;       /**< how long that may last */
	int64_t absent_since_ms; /**< nobody is at a port's other end since; 0: somebody is */
	bool owes_resync; /**< a response broke off: the next line would begin in the middle of it */
	bool is_deaf;     /**< and what had been asked until then is not answered any more */
	unsigned n_views;    /**< answers with descriptors so far */
	bool has_announced;  /**< that the default target is reached */
	int signal;          /**< for init, when the response is sent */
	const char *program; /**< or to be run then */
};

/** What is to become of a client. */
enum mlimg_client_next {
	MLIMG_CLIENT_WAITS = 0, /**< until something happens, or its deadline is over */
	MLIMG_CLIENT_IS_READY,  /**< it has more to do, but others come first */
	MLIMG_CLIENT_IS_GONE,
};

/**
 * Do what can be done now, within limits.
 *
 * @param client  it
 * @param now_ms  by mlimg_clock_ms()
 * @return        what next
 */
enum mlimg_client_next mlimg_client_go(struct mlimg_client *client, int64_t now_ms);

/** @return by mlimg_clock_ms() when to call mlimg_client_go() though nothing happens; 0: never */
int64_t mlimg_client_deadline(const struct mlimg_client *client);

/**
 * Send an event, unless a response is being sent.
 * @return whether it was
 */
bool mlimg_client_announce(struct mlimg_client *client, const char *line);

/** Close it and all that is its own; a freeze that it has asked for ends. */
void mlimg_client_close(struct mlimg_client *client);

#endif
