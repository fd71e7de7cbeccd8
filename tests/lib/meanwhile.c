/* SPDX-License-Identifier: MIT */
/*
 * usage: meanwhile CALLS COMMAND PROGRAM [ARGUMENT...] Runs the program, and the shell's COMMAND when
 * it has made so many calls that change a file system (stop-at.h); it goes on when that has ended.
 * Writes how many it made in all to file descriptor 3. Exits as the program did.
 */
#include "tests/lib/stop-at.h"

static int run(void *ctx)
{
	char **argv = ctx;

	execvp(argv[0], argv);
	fprintf(stderr, "meanwhile: %s: %s\n", argv[0], strerror(errno));
	return 126;
}

int main(int argc, char **argv)
{
	uint64_t n;
	int status;

	if (argc < 4) {
		fputs("usage: meanwhile CALLS COMMAND PROGRAM [ARGUMENT...]\n", stderr);
		return 2;
	}
	n = stop_meanwhile(strtoull(argv[1], NULL, 10), argv[2], run, argv + 3, &status);
	dprintf(3, "%llu\n", (unsigned long long)n);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
