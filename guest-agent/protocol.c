/* SPDX-License-Identifier: MIT */
#include "guest-agent/protocol.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/line.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/json.h"
#include "libmlimg/printable.h"

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

static bool is_word_of(const char *words, const char *word)
{
	size_t size = strlen(word);

	for (const char *w = words; size && (w = strstr(w, word)); w += size)
		if ((w == words || w[-1] == ' ') && (w[size] == ' ' || !w[size]))
			return !strchr(word, ' ');
	return false;
}

static bool check_argument(
	struct mlimg_call *call, const struct mlimg_argument *wanted, const json_t *value)
{
	const char *name = call->command->name;
	json_int_t n = json_integer_value(value);

	if (!value && !wanted->is_needed)
		return true;
	if (wanted->words) {
		if (json_is_string(value) && is_word_of(wanted->words, json_string_value(value)))
			return true;
		mlimg_fail(&call->failure, MLIMG_CLASS_PARAMETER,
			"%s: the argument '%s' is one of: %s", name, wanted->name, wanted->words);
		return false;
	}
	if (!json_is_integer(value)) {
		mlimg_fail(&call->failure, MLIMG_CLASS_PARAMETER,
			"%s %s the argument '%s', an integer", name,
			wanted->is_needed ? "needs" : "takes", wanted->name);
		return false;
	}
	if (n >= wanted->min && n <= wanted->max)
		return true;
	mlimg_fail(&call->failure, MLIMG_CLASS_PARAMETER,
		"%s: '%s' is %" JSON_INTEGER_FORMAT ", not within %" JSON_INTEGER_FORMAT
		" and %" JSON_INTEGER_FORMAT,
		name, wanted->name, n, wanted->min, wanted->max);
	return false;
}

static const struct mlimg_argument *find_argument(
	const struct mlimg_command *command, const char *name)
{
	for (size_t i = 0; i < MLIMG_ARGUMENTS_MAX && command->arguments[i].name; i++)
		if (strcmp(command->arguments[i].name, name) == 0)
			return &command->arguments[i];
	return NULL;
}

/* Names come from the client: 64 bytes of one are enough to recognise it. */
static bool check_arguments(struct mlimg_call *call)
{
	const struct mlimg_argument *wanted = call->command->arguments;
	const char *key;
	json_t *value;

	if (call->arguments && !json_is_object(call->arguments))
		return mlimg_fail(
			&call->failure, MLIMG_CLASS_PARAMETER, "'arguments' is not an object");
	json_object_foreach(call->arguments, key,
		value) if (!find_argument(call->command, key)) return mlimg_fail(&call->failure,
		MLIMG_CLASS_PARAMETER, "%s takes no argument '%.64s'", call->command->name, key);
	for (size_t i = 0; i < MLIMG_ARGUMENTS_MAX && wanted[i].name; i++)
		if (!check_argument(
			    call, &wanted[i], json_object_get(call->arguments, wanted[i].name)))
			return false;
	return true;
}

static bool check_members(struct mlimg_call *call)
{
	const char *key;
	json_t *value;

	json_object_foreach(call->request, key, value) if (strcmp(key, "execute") != 0 &&
		strcmp(key, "arguments") != 0 &&
		strcmp(key, "id") != 0) return mlimg_fail(&call->failure, MLIMG_CLASS_MALFORMED,
		"unknown member '%.64s'", key);
	if (!call->id ||
		json_dumpb(call->id, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) <= MLIMG_ID_MAX)
		return true;
	call->id = NULL;
	return mlimg_fail(&call->failure, MLIMG_CLASS_PARAMETER,
		"the member 'id' is longer than %d bytes", MLIMG_ID_MAX);
}

static const struct mlimg_command *check_request(struct mlimg_call *call)
{
	const char *name = json_string_value(json_object_get(call->request, "execute"));
	const struct mlimg_command *command;

	if (!check_members(call))
		return NULL;
	if (!name)
		return mlimg_fail(&call->failure, MLIMG_CLASS_MALFORMED,
			"the member 'execute' is missing or no string");
	command = find_command(name);
	if (!command)
		return mlimg_fail(
			&call->failure, MLIMG_CLASS_NOT_FOUND, "no command '%.64s'", name);
	if (command->may & call->who)
		return command;
	return mlimg_fail(&call->failure, MLIMG_CLASS_PERMISSION, "%s is not for %s", command->name,
		call->who == MLIMG_WHO_HOST           ? "the host"
			: call->who == MLIMG_WHO_ROOT ? "the guest"
						      : "users other than root");
}

static bool is_empty(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!memchr(" \t\r", text[i], 3))
			return false;
	return true;
}

bool mlimg_call_read(struct mlimg_call *call, const char *text, size_t size)
{
	*call = (struct mlimg_call){.agent = call->agent,
		.who = call->who,
		.client = call->client,
		.n_views = call->n_views,
		.answer_fd = -1};
	if (text && is_empty(text, size))
		return false;
	call->request = parse(text, size, &call->failure);
	if (!call->request)
		return true;
	call->arguments = json_object_get(call->request, "arguments");
	call->id = json_object_get(call->request, "id");
	call->command = check_request(call);
	if (call->command && !check_arguments(call))
		call->command = NULL;
	return true;
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

static json_t *describe(const struct mlimg_failure *failure)
{
	char desc[sizeof(failure->desc)];

	strcpy(desc, failure->desc);
	mlimg_make_printable(desc);
	return json_string(desc);
}

static char *answer_failure(const struct mlimg_call *call, size_t *ret_size)
{
	mlimg_autojson json_t *response = json_pack("{s:{s:s,s:o}}", "error", "class",
		class_name(call->failure.class), "desc", describe(&call->failure));

	if (!response || (call->id && json_object_set(response, "id", call->id) < 0))
		return NULL;
	return dump_line(response, false, ret_size);
}

char *mlimg_call_result(struct mlimg_call *call, json_t *result, size_t *ret_size)
{
	mlimg_autojson json_t *response = json_pack("{s:o}", "return", result);
	char *line;

	if (!response || (call->id && json_object_set(response, "id", call->id) < 0))
		return mlimg_fail(&call->failure, MLIMG_CLASS_GENERIC, "out of memory");
	line = dump_line(response, call->command->flags & MLIMG_COMMAND_DELIMITED, ret_size);
	if (!line)
		mlimg_fail(&call->failure, MLIMG_CLASS_GENERIC,
			"the response is longer than %u bytes", MLIMG_RESPONSE_MAX);
	return line;
}

char *mlimg_call_answer(struct mlimg_call *call, size_t *ret_size)
{
	json_t *result = call->command ? call->command->fn(call) : NULL;
	char *line = result ? mlimg_call_result(call, result, ret_size) : NULL;

	if (line || call->answer_fd >= 0)
		return line;
	return answer_failure(call, ret_size);
}

char *mlimg_call_or_else(struct mlimg_call *call, size_t *ret_size)
{
	if (call->or_else)
		return mlimg_call_result(call, json_incref(call->or_else), ret_size);
	mlimg_fail(&call->failure, MLIMG_CLASS_TIMEOUT, "%s: no answer from its process",
		call->command->name);
	return answer_failure(call, ret_size);
}

void mlimg_call_done(struct mlimg_call *call)
{
	json_decref(call->request);
	json_decref(call->or_else);
	if (call->answer_fd >= 0)
		close(call->answer_fd);
	for (size_t i = 0; i < call->n_fds; i++)
		close(call->fds[i]);
	free(call->fds);
	memset(call, 0, sizeof(*call));
	call->answer_fd = -1;
}
