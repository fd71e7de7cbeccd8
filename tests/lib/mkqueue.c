/* SPDX-License-Identifier: MIT */
/*
 * usage: mkqueue VERB DIRECTORY Adds an operation for each path on standard input, which ends with
 * a NUL, to the queue (libmlimg/queue.h) in the directory.
 *
 * usage: mkqueue --live VERB DIRECTORY Does these at once in a user layer, the directory, that
 * unionfs-fuse uses.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/queue-run.h"

static struct mlimg_queue_op *ops;
static size_t n_ops, room;

static int read_paths(enum mlimg_queue_verb verb)
{
	size_t size = 0;
	char *path = NULL;

	while (getdelim(&path, &size, '\0', stdin) > 0) {
		if (mlimg_buffer_reserve(&ops, &room, (n_ops + 1) * sizeof(*ops)) < 0)
			return -1;
		ops[n_ops++] = (struct mlimg_queue_op){verb, strdup(path)};
	}
	free(path);
	return 0;
}

static enum mlimg_queue_verb verb_of(const char *name)
{
	enum mlimg_queue_verb verb = MLIMG_QUEUE_RESET_ALL;

	while (verb && strcmp(name, mlimg_queue_verb_name(verb)) != 0)
		verb--;
	return verb;
}

int main(int argc, char **argv)
{
	bool is_live = argc == 4 && strcmp(argv[1], "--live") == 0;
	struct mlimg_queue_run run = {.is_unionfs = true};
	struct mlimg_err err = MLIMG_ERR_INIT;
	enum mlimg_queue_verb verb = 0;
	int fd = -1, r;

	if (is_live || argc == 3) {
		verb = verb_of(argv[argc - 2]);
		fd = open(argv[argc - 1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (!verb || fd < 0 || read_paths(verb) < 0) {
		fputs("usage: mkqueue [--live] VERB DIRECTORY\n", stderr);
		return 2;
	}
	run.user_fd = fd;
	r = is_live ? mlimg_queue_run_live(&run, ops, n_ops, &err)
		    : mlimg_queue_add(fd, ops, n_ops, &err);
	if (r)
		fprintf(stderr, "mkqueue: %s\n", err.text);
	return r ? 1 : 0;
}
