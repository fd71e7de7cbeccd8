/* SPDX-License-Identifier: MIT */
/*
 * usage: killed-thawing PID COMMAND [ARGUMENT...] Waits until the process calls FITHAW
 * (ioctl(2)), and stops it when that was done and before it can do anything else. Runs the command
 * meanwhile, then kills the process. Prints "ready" as soon as it watches; exits as the command did.
 */
#include <errno.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ITS_OWN_FAULT 125 /* as env(1) and timeout(1) */

static void __attribute__((noreturn)) fail(const char *what)
{
	fprintf(stderr, "killed-thawing: %s: %s\n", what, strerror(errno));
	exit(ITS_OWN_FAULT);
}

/* @return whether it stands before FITHAW */
static int is_thaw(pid_t pid)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) < 0)
		fail("ptrace");
	return info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_ioctl &&
		(unsigned)info.entry.args[1] == (unsigned)FITHAW;
}

static void go_on(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) < 0 || waitpid(pid, &status, 0) != pid)
		fail("ptrace");
	if (!WIFSTOPPED(status)) {
		fputs("killed-thawing: the process ended without a thaw\n", stderr);
		exit(ITS_OWN_FAULT);
	}
}

int main(int argc, char **argv)
{
	int status;
	pid_t pid, command;

	if (argc < 3) {
		fputs("usage: killed-thawing PID COMMAND [ARGUMENT...]\n", stderr);
		return 2;
	}
	pid = (pid_t)strtol(argv[1], NULL, 10);
	if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACESYSGOOD) < 0 ||
		ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0 || waitpid(pid, &status, 0) != pid)
		fail("ptrace");
	puts("ready");
	fflush(stdout);
	do
		go_on(pid);
	while (!is_thaw(pid));
	go_on(pid);
	command = fork();
	if (command == 0) {
		execvp(argv[2], argv + 2);
		fail(argv[2]);
	}
	if (command < 0 || waitpid(command, &status, 0) != command)
		fail("fork");
	kill(pid, SIGKILL);
	return WIFEXITED(status) ? WEXITSTATUS(status) : ITS_OWN_FAULT;
}
