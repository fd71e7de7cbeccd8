/* SPDX-License-Identifier: MIT */
/*
 * usage: peak FILE PROGRAM [ARGUMENT...] Runs a program, and writes to FILE how long that took and
 * how much memory it had at most: "1.5 s, 20 MiB". The exit code is the program's, or 128 and the
 * number of the signal that ended it.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	double begin_s = now_s();
	struct rusage used;
	int status;
	FILE *f;
	pid_t pid;

	if (argc < 3) {
		fputs("usage: peak FILE PROGRAM [ARGUMENT...]\n", stderr);
		return 2;
	}
	pid = fork();
	if (pid == 0) {
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &used) != pid) {
		perror("peak");
		return 1;
	}
	f = fopen(argv[1], "we");
	if (!f || fprintf(f, "%.1f s, %ld MiB\n", now_s() - begin_s, used.ru_maxrss / 1024) < 0 ||
		fclose(f) != 0) {
		perror(argv[1]);
		return 1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
