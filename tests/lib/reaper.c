/* SPDX-License-Identifier: MIT */
/*
 * usage: reaper FILE PROGRAM [ARGUMENT...] Runs the program, writes its process into FILE, and waits for whatever it leaves behind,
 * as init does: whoever ends a process that has no parent any more may wait until nobody has it as a zombie, and init is not
 * everywhere as quick as systemd (prctl(2), PR_SET_CHILD_SUBREAPER). Ends when nothing is left, with 0; SIGTERM is for the
 * program.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t program;

static volatile sig_atomic_t has_ended;

static void hand_on(int number)
{
	if (!has_ended)
		kill(program, number);
}

static int fail(const char *what)
{
	fprintf(stderr, "reaper: %s: %s\n", what, strerror(errno));
	return 125;
}

/* There before anybody can read half of it. */
static int tell(const char *file)
{
	char part[4096];
	FILE *f;

	if (snprintf(part, sizeof(part), "%s.part", file) >= (int)sizeof(part))
		return -1;
	f = fopen(part, "w");
	if (!f || fprintf(f, "%d\n", (int)program) < 0 || fclose(f) != 0)
		return -1;
	return rename(part, file);
}

int main(int argc, char **argv)
{
	const struct sigaction action = {.sa_handler = hand_on, .sa_flags = SA_RESTART};
	pid_t ended;

	if (argc < 3) {
		fputs("usage: reaper FILE PROGRAM [ARGUMENT...]\n", stderr);
		return 2;
	}
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return fail("prctl");
	program = fork();
	if (program == 0) {
		execvp(argv[2], argv + 2);
		_exit(fail(argv[2]));
	}
	if (program < 0)
		return fail("fork");
	sigaction(SIGTERM, &action, NULL);
	if (tell(argv[1]) < 0)
		return fail(argv[1]);
	while ((ended = wait(NULL)) > 0 || errno == EINTR)
		if (ended == program)
			has_ended = 1;
	return 0;
}
