/* SPDX-License-Identifier: MIT */
/*
 * usage: without-calls CALL[,CALL]... PROGRAM [ARGUMENT]...
 *
 * Becomes PROGRAM as it is on a kernel that has none of these system calls: they fail with ENOSYS,
 * by a seccomp filter (seccomp(2), SECCOMP_RET_ERRNO).
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ITS_OWN_FAULT 125 /* as env(1) and timeout(1) */

/* Newer than Linux 5.1, and used somewhere; or of which it is to be seen what depends on them. */
static const struct {
	const char *name;
	int nr;
} calls[] = {
	{"open_tree", SYS_open_tree},         /* 5.2 */
	{"pidfd_open", SYS_pidfd_open},       /* 5.3 */
	{"openat2", SYS_openat2},             /* 5.6 */
	{"close_range", SYS_close_range},     /* 5.9 */
	{"mount_setattr", SYS_mount_setattr}, /* 5.12 */
	{"syncfs", SYS_syncfs},
	{"fremovexattr", SYS_fremovexattr},
};

#define N_CALLS (sizeof(calls) / sizeof(*calls))

static struct sock_filter code[2 * N_CALLS + 2];
static unsigned short n;

/* @return whether the call is known */
static int refuse(const char *name)
{
	for (size_t i = 0; i < N_CALLS; i++) {
		if (strcmp(calls[i].name, name) != 0)
			continue;
		code[n++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].nr, 0, 1);
		code[n++] =
			(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
		return n < 2 * N_CALLS + 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sock_fprog program = {.filter = code};

	if (argc < 3) {
		fputs("usage: without-calls CALL[,CALL]... PROGRAM [ARGUMENT]...\n", stderr);
		return ITS_OWN_FAULT;
	}
	code[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (char *name = strtok(argv[1], ","); name; name = strtok(NULL, ","))
		if (!refuse(name)) {
			fprintf(stderr, "without-calls: what is '%s'?\n", name);
			return ITS_OWN_FAULT;
		}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = n;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0) {
		perror("without-calls: seccomp");
		return ITS_OWN_FAULT;
	}
	execvp(argv[2], argv + 2);
	perror("without-calls: run it");
	return ITS_OWN_FAULT;
}
