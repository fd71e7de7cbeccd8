/* SPDX-License-Identifier: MIT */
/*
 * usage: stop-at CALLS PROGRAM [ARGUMENT...] Runs the program and kills it when it has made so many
 * calls that change a file system (stop-at.h); "-": it is left to its end. Writes how many it made
 * to file descriptor 3. Exits as the program did; 137 when it was killed.
 */
#include "tests/lib/stop-at.h"

static int run(void *ctx)
{
	char **argv = ctx;

	execvp(argv[0], argv);
	fprintf(stderr, "stop-at: %s: %s\n", argv[0], strerror(errno));
	return 126;
}

int main(int argc, char **argv)
{
	uint64_t at = STOP_NEVER, n;
	int status;

	if (argc < 3) {
		fputs("usage: stop-at CALLS PROGRAM [ARGUMENT...]\n", stderr);
		return 2;
	}
	if (strcmp(argv[1], "-") != 0)
		at = strtoull(argv[1], NULL, 10);
	n = stop_at(at, run, argv + 2, &status);
	dprintf(3, "%llu\n", (unsigned long long)n);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
