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

static bool answer(const char *text, size_t size, void *ctx)
{
	static const struct mlimg_agent agent = {.run_dir = "/nonexistent"};
	size_t response_size, *n_responses = ctx;
	char *response = mlimg_protocol_answer(&agent, text, size, &response_size);

	if (response) {
		check_response(response, response_size);
		++*n_responses;
	}
	free(response);
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
