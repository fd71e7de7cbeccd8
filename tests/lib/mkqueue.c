/* SPDX-License-Identifier: MIT */
/*
 * usage: mkqueue VERB DIRECTORY Adds an operation for each path on standard input, which ends with
 * a NUL, to the queue (libmlimg/queue.h) in the directory.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/queue.h"

int main(int argc, char **argv)
{
	enum mlimg_queue_verb verb = MLIMG_QUEUE_RESET;
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_queue_op *ops = NULL;
	size_t n = 0, room = 0, size = 0;
	char *path = NULL;
	int fd = argc == 3 ? open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	while (fd >= 0 && strcmp(argv[1], mlimg_queue_verb_name(verb)) != 0)
		if (verb++ == MLIMG_QUEUE_TRANSPARENT)
			fd = -1;
	if (fd < 0) {
		fputs("usage: mkqueue VERB DIRECTORY\n", stderr);
		return 2;
	}
	while (getdelim(&path, &size, '\0', stdin) > 0) {
		if (mlimg_buffer_reserve(&ops, &room, (n + 1) * sizeof(*ops)) < 0)
			return 1;
		ops[n++] = (struct mlimg_queue_op){verb, strdup(path)};
	}
	if (mlimg_queue_add(fd, ops, n, &err) == 0)
		return 0;
	fprintf(stderr, "mkqueue: %s\n", err.text);
	return 1;
}
