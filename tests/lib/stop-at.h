/* SPDX-License-Identifier: MIT */
/**
 * @file stop-at.h
 * A process that is killed at one of the system calls by which it changes a file system or has it
 * written out. The same process makes the same calls, so a number says where. What the calls before
 * have done stays, for the kernel's memory does; what a power cut takes away is powercut.c's.
 *
 * A seccomp filter stops the process at these calls alone (seccomp(2), SECCOMP_RET_TRACE;
 * ptrace(2), PTRACE_O_TRACESECCOMP), so that one that is not killed takes little longer than usual.
 * Calls of its threads, and of programs that it runs, count too.
 */
#ifndef MLIMG_TEST_STOP_AT_H
#define MLIMG_TEST_STOP_AT_H

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_NEVER UINT64_MAX

static const uint32_t stop_calls[] = {
#ifdef SYS_rename
	SYS_rename, SYS_mkdir, SYS_unlink, SYS_rmdir, SYS_symlink, SYS_link, SYS_mknod, SYS_chmod,
	SYS_chown, SYS_lchown,
#endif
#ifdef SYS_renameat
	SYS_renameat,
#endif
	SYS_renameat2, SYS_mkdirat, SYS_unlinkat, SYS_symlinkat, SYS_linkat, SYS_mknodat,
	SYS_fchmod, SYS_fchmodat, SYS_fchown, SYS_fchownat, SYS_utimensat, SYS_setxattr,
	SYS_lsetxattr, SYS_fsetxattr, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr,
	SYS_write, SYS_pwrite64, SYS_writev, SYS_copy_file_range, SYS_ftruncate, SYS_fallocate,
	SYS_fsync, SYS_fdatasync, SYS_syncfs, SYS_sync};

#define STOP_CALLS (sizeof(stop_calls) / sizeof(*stop_calls))

/* One that fails here must not look like the program itself. */
static inline void stop_fail(const char *what)
{
	fprintf(stderr, "stop-at: %s: %s\n", what, strerror(errno));
	_exit(125);
}

/* The words of a call are the number and then 64 bits each; flags are in the lower half. */
static inline void stop_filter(void)
{
	const uint32_t flags = offsetof(struct seccomp_data, args[2]) +
		(__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0);
	struct sock_filter code[STOP_CALLS * 2 + 8];
	struct sock_fprog program = {.filter = code};
	unsigned short n = 0;

	code[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < STOP_CALLS; i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, stop_calls[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	}
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, flags);
	code[n++] =
		(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_CREAT | O_TRUNC, 0, 1);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = n;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
		stop_fail("seccomp");
}

/* What is traced: a program, its threads and what it runs. */
struct stop_trace {
	pid_t pid;             /* the program */
	int n;                 /* alive, the program included */
	bool is_over;          /* the program has ended */
	int status;            /* of its end */
	uint64_t calls;        /* of all of them */
	const char *meanwhile; /* is run before that call, instead of a kill; NULL: none */
};

/* @return the signal that one that has stopped is to go on with */
static inline int stop_signal(const struct stop_trace *t, pid_t pid, int status)
{
	int signal = WSTOPSIG(status);

	/* One that is new stops before it does anything. */
	return status >> 16 || signal == SIGTRAP || (signal == SIGSTOP && pid != t->pid) ? 0
											 : signal;
}

static inline void stop_here(const struct stop_trace *t)
{
	if (!t->meanwhile)
		kill(t->pid, SIGKILL);
	else if (system(t->meanwhile) != 0)
		stop_fail(t->meanwhile);
}

static inline void stop_took(struct stop_trace *t, pid_t pid, int status, uint64_t at)
{
	switch (WIFSTOPPED(status) ? status >> 16 : 0) {
	case PTRACE_EVENT_CLONE:
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK: t->n++; break;
	case PTRACE_EVENT_SECCOMP:
		if (!t->is_over && t->calls++ == at)
			stop_here(t);
		break;
	default: break;
	}
	if (WIFSTOPPED(status)) {
		/* One that has been killed meanwhile is not there to be told. */
		if (ptrace(PTRACE_CONT, pid, NULL, stop_signal(t, pid, status)) < 0 &&
			errno != ESRCH)
			stop_fail("ptrace");
		return;
	}
	t->n--;
	if (pid == t->pid) {
		t->is_over = true;
		t->status = status;
	}
}

/*
 * To the end of all of them: what the program runs ends with it, or by itself. A call that a
 * program was killed before is not made, but for one of another process that it runs.
 *
 * @return how many calls came before the end
 */
static inline uint64_t stop_trace(pid_t first, uint64_t at, const char *meanwhile, int *ret_status)
{
	struct stop_trace t = {.pid = first, .n = 1, .meanwhile = meanwhile};
	int status;

	if (ptrace(PTRACE_CONT, first, NULL, 0) < 0)
		stop_fail("ptrace");
	while (!t.is_over || t.n > 0) {
		pid_t pid = waitpid(-1, &status, __WALL);

		if (pid < 0)
			stop_fail("waitpid");
		stop_took(&t, pid, status, at);
	}
	*ret_status = t.status;
	return WIFSIGNALED(t.status) && at < t.calls ? at : t.calls;
}

/**
 * Run a function in a process of its own, and a command of the shell before one of its calls.
 *
 * @param at          how many calls it makes before; STOP_NEVER: all
 * @param meanwhile   the command; NULL: it is killed instead
 * @param fn          returns the exit code
 * @param ctx         handed to @p fn
 * @param ret_status  as waitpid(2) tells it
 * @return            how many calls it made
 */
static inline uint64_t stop_meanwhile(
	uint64_t at, const char *meanwhile, int (*fn)(void *ctx), void *ctx, int *ret_status)
{
	pid_t pid = fork();

	if (pid < 0)
		stop_fail("fork");
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP) != 0)
			stop_fail("ptrace");
		stop_filter();
		_exit(fn(ctx));
	}
	if (waitpid(pid, ret_status, 0) != pid ||
		ptrace(PTRACE_SETOPTIONS, pid, NULL,
			PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC |
				PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK) < 0)
		stop_fail("ptrace");
	return stop_trace(pid, at, meanwhile, ret_status);
}

/** Run a function in a process of its own, and kill that before one of its calls. */
static inline uint64_t stop_at(uint64_t at, int (*fn)(void *ctx), void *ctx, int *ret_status)
{
	return stop_meanwhile(at, NULL, fn, ctx, ret_status);
}

#endif
