/* SPDX-License-Identifier: MIT */
/*
 * usage: prepare-limited BYTES OPTION...
 * `mlimg-agent prepare` with these options, but the entries of an upper may take only so many bytes
 * of memory while they are compared with a new stack.
 */
#include <stdio.h>
#include <stdlib.h>

#include "guest-agent/calls.h"
#include "guest-agent/prepare-options.h"

int main(int argc, char **argv)
{
	struct mlimg_wanted wanted;
	int r;

	if (argc < 2) {
		fputs("usage: prepare-limited BYTES OPTION...\n", stderr);
		return 2;
	}
	r = mlimg_prepare_options(argc - 1, argv + 1, &wanted);
	if (r >= 0)
		return r;
	wanted.upper_memory_max = strtoul(argv[1], NULL, 10);
	return mlimg_prepare_run(&wanted);
}
