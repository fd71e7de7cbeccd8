/* SPDX-License-Identifier: MIT */
/**
 * @file stop-at.h
 * A process that is killed at one of the system calls by which it changes a file system or has it
 * written out. The same process makes the same calls, so a number says where. What the calls before
 * have done stays, for the kernel's memory does; what a power cut takes away is powercut.c's.
 *
 * A seccomp filter stops the process at these calls alone (seccomp(2), SECCOMP_RET_TRACE;
 * ptrace(2), PTRACE_O_TRACESECCOMP), so that one that is not killed takes little longer than usual.
 */
#ifndef MLIMG_TEST_STOP_AT_H
#define MLIMG_TEST_STOP_AT_H

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
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

/* @return the signal that a stopped process is to go on with */
static inline int stop_signal(int status)
{
	int signal = WSTOPSIG(status);

	return status >> 16 || signal == SIGTRAP ? 0 : signal;
}

/* @return how many calls came before the end */
static inline uint64_t stop_trace(pid_t pid, uint64_t at, int *ret_status)
{
	uint64_t n = 0;
	int status, signal = 0;

	for (;;) {
		if (ptrace(PTRACE_CONT, pid, NULL, signal) < 0 || waitpid(pid, &status, 0) != pid)
			stop_fail("ptrace");
		*ret_status = status;
		if (!WIFSTOPPED(status))
			return n;
		signal = stop_signal(status);
		if (status >> 16 != PTRACE_EVENT_SECCOMP || n++ != at)
			continue;
		kill(pid, SIGKILL);
		if (waitpid(pid, ret_status, 0) != pid)
			stop_fail("waitpid");
		return at;
	}
}

/**
 * Run a function in a process of its own, and kill that before one of its calls.
 *
 * @param at          how many calls it may make; STOP_NEVER: all
 * @param fn          returns the exit code
 * @param ctx         handed to @p fn
 * @param ret_status  as waitpid(2) tells it
 * @return            how many calls it made
 */
static inline uint64_t stop_at(uint64_t at, int (*fn)(void *ctx), void *ctx, int *ret_status)
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
			PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC) < 0)
		stop_fail("ptrace");
	return stop_trace(pid, at, ret_status);
}

#endif
