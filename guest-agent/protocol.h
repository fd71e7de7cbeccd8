/* SPDX-License-Identifier: MIT */
/**
 * @file protocol.h
 * One request line in, one response line out: the envelope of PROTOCOL.md, and the form of the
 * table of commands. The table itself is in commands.c; where lines come from and go to is in
 * client.h.
 */
#ifndef MLIMG_PROTOCOL_H
#define MLIMG_PROTOCOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libmlimg/err.h"

#define MLIMG_RESPONSE_MAX (4u * 1024 * 1024) /**< bytes of a response, newline included */
#define MLIMG_ID_MAX \
	4096 /**< bytes of an id as it is echoed: what the daemon keeps while it answers */
#define MLIMG_ARGUMENTS_MAX 3 /**< of one command */

/** The error classes, a closed list. */
enum mlimg_class {
	MLIMG_CLASS_GENERIC = 0,
	MLIMG_CLASS_NOT_FOUND,
	MLIMG_CLASS_PARAMETER,
	MLIMG_CLASS_MALFORMED,
	MLIMG_CLASS_TOO_LONG,
	MLIMG_CLASS_BUSY,
	MLIMG_CLASS_PERMISSION,
	MLIMG_CLASS_UNSUPPORTED,
	MLIMG_CLASS_TIMEOUT,
};

/** Who asks, one of these, and who may, several. */
enum mlimg_who {
	MLIMG_WHO_HOST = 1, /**< through the virtio-serial port */
	MLIMG_WHO_ROOT = 2, /**< in the guest */
	MLIMG_WHO_USER = 4, /**< anybody else in the guest */
};

/** Why a request failed. */
struct mlimg_failure {
	enum mlimg_class class;
	char desc[MLIMG_ERR_TEXT_SIZE]; /**< one line for a person */
};

struct mlimg_freeze_shared;

/** What a command may look at, and what lasts from one request to the next. */
struct mlimg_agent {
	const char *run_dir;     /**< "/run", or what stands in for it */
	const char *health_dir;  /**< where the executables of mlimg-health are */
	pid_t init_pid;          /**< who is told to shut down: 1; 0: nobody */
	int freeze_fd;           /**< the process that keeps the freeze (freeze.h); -1: none */
	int epoll_fd;            /**< where its end is waited for */
	bool is_thawing;         /**< it was told to thaw, and has not ended yet */
	unsigned freeze_owner;   /**< number of the client that asked for it */
	int64_t freeze_since_ms; /**< when it was asked for, by clock.h */
	bool is_overdue;         /**< its process was killed, since it did not thaw in time */
	struct mlimg_freeze_shared *freeze; /**< with that process: how far it is; NULL: none */
};

struct mlimg_command;

/** A request in hand. */
struct mlimg_call {
	struct mlimg_agent *agent;
	enum mlimg_who who;
	unsigned client;                     /**< its number in the daemon */
	const struct mlimg_command *command; /**< NULL when the request was no good */
	json_t *request;                     /**< owned */
	json_t *arguments, *id;              /**< parts of it, or NULL */
	struct mlimg_failure failure;
	int answer_fd; /**< set by a command: the response line is read from here; owned */
	json_t *or_else; /**< set with it: what is returned when nothing comes; owned. NULL: a failure */
	int *fds;        /**< set by a command: go with the response; owned, and so are these */
	size_t n_fds;
	unsigned *
		n_views; /**< answers with descriptors that the client got so far; NULL: not counted */
	int signal; /**< set by a command: once the response is sent, init gets this; 0: nothing */
	const char *program; /**< or this is run */
};

/**
 * A command.
 *
 * @param call  its arguments have all the members that the command demands, each as the table says,
 *              and no other; or are NULL
 * @return      what it returns, a new reference; NULL when @p call has the failure, or answer_fd
 */
typedef json_t *mlimg_command_fn(struct mlimg_call *call);

/** An argument: an integer, or one of some words. */
struct mlimg_argument {
	const char *name;
	const char *words;   /**< separated by spaces; NULL: an integer */
	json_int_t min, max; /**< of the integer */
	bool is_needed;
};

/** Flags of a command. */
enum mlimg_command_flags {
	MLIMG_COMMAND_DELIMITED = 1, /**< 0xFF goes before the response */
	MLIMG_COMMAND_SLOW = 2,      /**< runs in a process of its own (worker.h) */
};

/** Entry of the table of commands. */
struct mlimg_command {
	const char *name;
	mlimg_command_fn *fn;
	unsigned may;                                         /**< of enum mlimg_who */
	unsigned flags;                                       /**< of enum mlimg_command_flags */
	struct mlimg_argument arguments[MLIMG_ARGUMENTS_MAX]; /**< those with a name */
};

/** The table; ends with an entry without a name. */
extern const struct mlimg_command mlimg_commands[];

/**
 * Say why a request failed.
 * @return NULL, so that a function that returns a pointer can return it
 */
void *mlimg_fail(struct mlimg_failure *failure, enum mlimg_class class, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), cold));

/**
 * Read a request.
 *
 * @param call  agent, who and client are set; all else is set here. mlimg_call_done() it
 * @param text  the line without its newline; need not be NUL-terminated; NULL stands for one that
 *              was too long
 * @param size  bytes of @p text
 * @return      false when there is nothing to answer (an empty line). With true, either the command
 *              is set or the failure
 */
bool mlimg_call_read(struct mlimg_call *call, const char *text, size_t size);

/**
 * Run the command, unless reading has failed already, and write the response.
 *
 * @param call      as mlimg_call_read() left it
 * @param ret_size  bytes of the response
 * @return          the response line with its newline, and 0xFF before it where the command asks
 *                  for that; free() it. NULL when it comes through answer_fd, or without memory
 */
char *mlimg_call_answer(struct mlimg_call *call, size_t *ret_size);

/**
 * Write the response of a command that has gone well; otherwise as mlimg_call_answer().
 *
 * @param call    the request
 * @param result  what is returned; taken over
 */
char *mlimg_call_result(struct mlimg_call *call, json_t *result, size_t *ret_size);

/**
 * What is answered when nothing comes through answer_fd, or from the process of a slow command;
 * otherwise as mlimg_call_answer().
 */
char *mlimg_call_or_else(struct mlimg_call *call, size_t *ret_size);

/** Free what it owns. */
void mlimg_call_done(struct mlimg_call *call);

#endif
