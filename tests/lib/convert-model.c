/* SPDX-License-Identifier: MIT */
/*
 * usage: convert-model DIR TO STEPS Converts the user layer mounted on DIR as `mlimg-agent convert`
 * does, but ends the process, as a kill would, before step STEPS, counted from
 * 0. Prints "done" when there were not as many.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest-agent/convert.h"

static int step(void *ctx)
{
	long *left = ctx;

	if ((*left)-- == 0)
		_exit(0);
	return 0;
}

int main(int argc, char **argv)
{
	struct mlimg_mounted user = {.where = ".", .manifest = ""};
	static struct mlimg_boot boot;
	struct mlimg_err err = MLIMG_ERR_INIT;
	long left;
	uint64_t n;

	if (argc != 4)
		return 2;
	left = atol(argv[3]);
	user.fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mlimg_convert(&user, argv[2], step, &left, &boot, &n, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	puts("done");
	return 0;
}
