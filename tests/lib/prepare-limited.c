/* SPDX-License-Identifier: MIT */
/*
 * usage: prepare-limited BYTES|none OPTION...
 * `mlimg-agent prepare` with these options, but the entries of an upper may take only so many bytes
 * of memory while they are compared with a new stack; with "none" there is no memory for a report.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/calls.h"
#include "guest-agent/prepare-options.h"

static bool has_none;

/* In the place of the C library's: reports are what is written through it. */
FILE *open_memstream(char **ret_text, size_t *ret_size)
{
	FILE *(*real)(char **, size_t *);

	*(void **)&real = dlsym(RTLD_NEXT, "open_memstream");
	if (!has_none)
		return real(ret_text, ret_size);
	errno = ENOMEM;
	return NULL;
}

int main(int argc, char **argv)
{
	struct mlimg_wanted wanted;
	int r;

	if (argc < 2) {
		fputs("usage: prepare-limited BYTES|none OPTION...\n", stderr);
		return 2;
	}
	r = mlimg_prepare_options(argc - 1, argv + 1, &wanted);
	if (r >= 0)
		return r;
	has_none = strcmp(argv[1], "none") == 0;
	wanted.upper_memory_max = strtoul(argv[1], NULL, 10);
	return mlimg_prepare_run(&wanted);
}
