/* SPDX-License-Identifier: MIT */
/*
 * What a host sends: however it is cut into pieces there are as many responses; each is one line, a
 * JSON object that holds either "return" or "error". The first byte of the input says how long the
 * pieces are.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/line.h"
#include "guest-agent/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_response(char *text, size_t size)
{
	size_t skip = text[0] == '\xff';
	json_t *json;

	if (size < 2 || text[size - 1] != '\n' || memchr(text, '\n', size - 1))
		abort();
	json = json_loadb(text + skip, size - skip, JSON_REJECT_DUPLICATES, NULL);
	if (!json || !json_object_get(json, "return") == !json_object_get(json, "error"))
		abort();
	json_decref(json);
}

/* The others shut down, or set clocks: that they may be run is all there is to see here. */
static bool is_harmless(const struct mlimg_command *command)
{
	return strncmp(command->name, "guest-sync", 10) == 0 ||
		strcmp(command->name, "guest-ping") == 0 ||
		strcmp(command->name, "guest-info") == 0;
}

static void answer_to(enum mlimg_who who, const char *text, size_t size, size_t *n_responses)
{
	static struct mlimg_agent agent = {.run_dir = "/nonexistent", .freeze_fd = -1};
	struct mlimg_call call = {.agent = &agent, .who = who};
	size_t response_size;
	char *response = NULL;

	if (!mlimg_call_read(&call, text, size))
		return;
	if (call.command && !(call.command->may & who))
		abort();
	response = call.command && !is_harmless(call.command)
		? mlimg_call_or_else(&call, &response_size)
		: mlimg_call_answer(&call, &response_size);
	if (!response || (call.id && response_size > MLIMG_ID_MAX + 65536))
		abort();
	check_response(response, response_size);
	++*n_responses;
	free(response);
	mlimg_call_done(&call);
}

static bool answer(const char *text, size_t size, void *ctx)
{
	answer_to(MLIMG_WHO_HOST, text, size, ctx);
	answer_to(MLIMG_WHO_ROOT, text, size, ctx);
	answer_to(MLIMG_WHO_USER, text, size, ctx);
	return true;
}

static size_t feed(const char *data, size_t size, size_t piece)
{
	static struct mlimg_line line;
	size_t n_responses = 0;

	mlimg_line_reset(&line);
	for (size_t at = 0; at < size; at += piece)
		mlimg_line_feed(&line, data + at, size - at < piece ? size - at : piece, answer,
			&n_responses);
	return n_responses;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	if (feed((const char *)data + 1, size - 1, data[0] + 1u) !=
		feed((const char *)data + 1, size - 1, size))
		abort();
	return 0;
}
