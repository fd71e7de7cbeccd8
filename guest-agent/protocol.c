/* SPDX-License-Identifier: MIT */
#include "guest-agent/protocol.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/line.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/json.h"

void *mlimg_fail(struct mlimg_failure *failure, enum mlimg_class class, const char *fmt, ...)
{
	va_list ap;

	failure->class = class;
	va_start(ap, fmt);
	vsnprintf(failure->desc, sizeof(failure->desc), fmt, ap);
	va_end(ap);
	return NULL;
}

static const char *class_name(enum mlimg_class class)
{
	static const char *const names[] = {
		[MLIMG_CLASS_GENERIC] = "GenericError",
		[MLIMG_CLASS_NOT_FOUND] = "CommandNotFound",
		[MLIMG_CLASS_PARAMETER] = "InvalidParameter",
		[MLIMG_CLASS_MALFORMED] = "MalformedRequest",
		[MLIMG_CLASS_TOO_LONG] = "RequestTooLong",
		[MLIMG_CLASS_BUSY] = "Busy",
		[MLIMG_CLASS_PERMISSION] = "PermissionDenied",
		[MLIMG_CLASS_UNSUPPORTED] = "Unsupported",
		[MLIMG_CLASS_TIMEOUT] = "Timeout",
	};

	return names[class];
}

static json_t *parse(const char *text, size_t size, struct mlimg_failure *failure)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	json_t *request;

	if (!text)
		return mlimg_fail(failure, MLIMG_CLASS_TOO_LONG,
			"the request is longer than %d bytes", MLIMG_LINE_MAX);
	if (mlimg_json_load("request", text, size, &request, &err) < 0)
		return mlimg_fail(failure,
			err.code == -ENOMEM ? MLIMG_CLASS_GENERIC : MLIMG_CLASS_MALFORMED, "%s",
			err.text);
	return request;
}

static const struct mlimg_command *find_command(const char *name)
{
	for (const struct mlimg_command *c = mlimg_commands; c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

static const struct mlimg_command *check_arguments(
	const struct mlimg_command *command, json_t *arguments, struct mlimg_failure *failure)
{
	const char *wanted = command->integer_argument, *key;
	json_t *value;

	if (arguments && !json_is_object(arguments))
		return mlimg_fail(failure, MLIMG_CLASS_PARAMETER, "'arguments' is not an object");
	json_object_foreach(arguments, key,
		value) if (!wanted || strcmp(key, wanted) != 0) return mlimg_fail(failure,
		MLIMG_CLASS_PARAMETER, "%s takes no argument '%.64s'", command->name, key);
	if (wanted && !json_is_integer(json_object_get(arguments, wanted)))
		return mlimg_fail(failure, MLIMG_CLASS_PARAMETER,
			"%s needs the argument '%s', an integer", command->name, wanted);
	return command;
}

/* Names come from the host: 64 bytes of one are enough to recognise it. */
static const struct mlimg_command *check_request(json_t *request, struct mlimg_failure *failure)
{
	const char *name = json_string_value(json_object_get(request, "execute")), *key;
	const struct mlimg_command *command;
	json_t *value;

	json_object_foreach(request, key, value) if (strcmp(key, "execute") != 0 &&
		strcmp(key, "arguments") != 0 && strcmp(key, "id") != 0) return mlimg_fail(failure,
		MLIMG_CLASS_MALFORMED, "unknown member '%.64s'", key);
	if (!name)
		return mlimg_fail(failure, MLIMG_CLASS_MALFORMED,
			"the member 'execute' is missing or no string");
	command = find_command(name);
	if (!command)
		return mlimg_fail(failure, MLIMG_CLASS_NOT_FOUND, "no command '%.64s'", name);
	return check_arguments(command, json_object_get(request, "arguments"), failure);
}

/* One line: prefix (0xFF or nothing), the object, a newline. */
static char *dump_line(json_t *response, bool is_delimited, size_t *ret_size)
{
	size_t prefix = is_delimited ? 1 : 0, size = json_dumpb(response, NULL, 0, JSON_COMPACT);
	char *line;

	if (size == 0 || prefix + size + 1 > MLIMG_RESPONSE_MAX)
		return NULL;
	line = malloc(prefix + size + 1);
	if (!line)
		return NULL;
	if (is_delimited)
		line[0] = '\xff';
	json_dumpb(response, line + prefix, size, JSON_COMPACT);
	line[prefix + size] = '\n';
	*ret_size = prefix + size + 1;
	return line;
}

/* A name that was cut in the middle of a character is no UTF-8 any more, which jansson refuses. */
static json_t *describe(const struct mlimg_failure *failure)
{
	char ascii[sizeof(failure->desc)];
	json_t *desc = json_string(failure->desc);

	if (desc)
		return desc;
	strcpy(ascii, failure->desc);
	for (char *c = ascii; *c; c++)
		if (*c & 0x80)
			*c = '?';
	return json_string(ascii);
}

static char *answer_failure(const struct mlimg_failure *failure, json_t *id, size_t *ret_size)
{
	mlimg_autojson json_t *response = json_pack("{s:{s:s,s:o}}", "error", "class",
		class_name(failure->class), "desc", describe(failure));

	if (!response || (id && json_object_set(response, "id", id) < 0))
		return NULL;
	return dump_line(response, false, ret_size);
}

static char *answer_request(const struct mlimg_agent *agent, json_t *request, json_t *id,
	struct mlimg_failure *failure, size_t *ret_size)
{
	const struct mlimg_command *command = check_request(request, failure);
	mlimg_autojson json_t *response = NULL;
	json_t *result;
	char *line;

	if (!command)
		return NULL;
	result = command->fn(agent, json_object_get(request, "arguments"), failure);
	if (!result)
		return NULL;
	response = json_pack("{s:o}", "return", result);
	if (!response || (id && json_object_set(response, "id", id) < 0))
		return mlimg_fail(failure, MLIMG_CLASS_GENERIC, "out of memory");
	line = dump_line(response, command->is_delimited, ret_size);
	if (!line)
		mlimg_fail(failure, MLIMG_CLASS_GENERIC, "the response is longer than %u bytes",
			MLIMG_RESPONSE_MAX);
	return line;
}

static bool is_empty(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!memchr(" \t\r", text[i], 3))
			return false;
	return true;
}

char *mlimg_protocol_answer(
	const struct mlimg_agent *agent, const char *text, size_t size, size_t *ret_size)
{
	struct mlimg_failure failure = {.class = MLIMG_CLASS_GENERIC, .desc = ""};
	mlimg_autojson json_t *request = NULL;
	json_t *id = NULL;
	char *line = NULL;

	if (text && is_empty(text, size))
		return NULL;
	request = parse(text, size, &failure);
	if (request) {
		id = json_object_get(request, "id");
		line = answer_request(agent, request, id, &failure, ret_size);
	}
	return line ? line : answer_failure(&failure, id, ret_size);
}
