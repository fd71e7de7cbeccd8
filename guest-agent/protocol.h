/* SPDX-License-Identifier: MIT */
/**
 * @file protocol.h
 * One request line in, one response line out: the envelope of PROTOCOL.md. What the commands do is
 * in commands.h; where lines come from and go to is in daemon.h.
 */
#ifndef MLIMG_PROTOCOL_H
#define MLIMG_PROTOCOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "libmlimg/err.h"

#define MLIMG_RESPONSE_MAX (4u * 1024 * 1024) /**< bytes of a response, newline included */

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

/** Why a request failed. */
struct mlimg_failure {
	enum mlimg_class class;
	char desc[MLIMG_ERR_TEXT_SIZE]; /**< one line for a person */
};

/** What a command may look at. */
struct mlimg_agent {
	const char *run_dir; /**< "/run", or what stands in for it */
};

/**
 * A command.
 *
 * @param agent      see there
 * @param arguments  an object that has all the members the command demands, each of the right type,
 *                   and no other; or NULL
 * @param failure    filled on failure
 * @return           what it returns, a new reference; NULL on failure
 */
typedef json_t *mlimg_command_fn(
	const struct mlimg_agent *agent, json_t *arguments, struct mlimg_failure *failure);

/** Entry of the table of commands. */
struct mlimg_command {
	const char *name;
	mlimg_command_fn *fn;
	const char *
		integer_argument; /**< the one argument it takes, an integer; NULL when it takes none */
	bool is_delimited;        /**< 0xFF goes before the response */
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
 * Answer a request.
 *
 * @param agent     handed to the command
 * @param text      the request line without its newline; need not be NUL-terminated; NULL stands
 *                  for one that was too long
 * @param size      bytes of @p text
 * @param ret_size  bytes of the response
 * @return          the response line with its newline, and 0xFF before it where the command asks
 *                  for that; free() it. NULL when there is nothing to answer (an empty line) or no
 *                  memory
 */
char *mlimg_protocol_answer(
	const struct mlimg_agent *agent, const char *text, size_t size, size_t *ret_size);

#endif
