/* SPDX-License-Identifier: MIT */
/**
 * @file fake-says.h
 * Answers that the program in QEMU's place is told to give (fake-qemu.c, "says").
 */
#ifndef MLIMG_TEST_FAKE_SAYS_H
#define MLIMG_TEST_FAKE_SAYS_H

#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

/* What "says" has said. */
static struct saying {
	char command[64];
	json_t *answer;
} sayings[32];
static size_t n_sayings;

__attribute__((unused)) static void add_saying(const char *command, const char *json)
{
	struct saying *s = &sayings[n_sayings++];

	if (n_sayings > sizeof(sayings) / sizeof(sayings[0]))
		errx(99, "too much is said");
	snprintf(s->command, sizeof(s->command), "%s", command);
	s->answer = json_loads(json, 0, NULL);
	if (!s->answer)
		errx(99, "says %s: '%s'?", command, json);
}

/* Answers as it was told to, with the request's id; false where nothing was said of its command. */
__attribute__((unused)) static bool say_answer(int fd, const char *line)
{
	json_t *request = json_loads(line + strspn(line, "\xff"), 0, NULL);
	const char *command = json_string_value(json_object_get(request, "execute"));
	struct saying *now = NULL;
	bool is_last = true;
	char *text;

	for (size_t k = n_sayings; command && k-- > 0;) {
		if (strcmp(sayings[k].command, command) != 0)
			continue;
		is_last = !now;
		now = &sayings[k];
	}
	if (now) {
		json_object_set(now->answer, "id", json_object_get(request, "id"));
		text = json_dumps(now->answer, 0);
		dprintf(fd, "%s\n", text);
		free(text);
		if (!is_last)
			now->command[0] = '\0';
	}
	json_decref(request);
	return now;
}

#endif
