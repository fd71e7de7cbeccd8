/* SPDX-License-Identifier: MIT */
/*
 * usage: full-at CALLS PROGRAM [ARGUMENT...] Runs the program on disks that are full as soon as it
 * has made so many calls that take room: all further ones fail with ENOSPC. "-": they never are.
 * Writes how many it made to file descriptor 3. Exits as the program did.
 *
 * A real disk that is full is seldom full at the wanted place: what a program removes makes room
 * for what it writes next. Here a supervisor answers the calls (seccomp_unotify(2)), also those of
 * a program that is linked statically. What goes to standard output and error takes no room, nor does
 * what goes to pipes, sockets and eventfds, without which threads would not wake each other.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ITS_OWN_FAULT 125 /* as env(1) and timeout(1) */

static const uint32_t room_calls[] = {
#ifdef SYS_mkdir
	SYS_mkdir, SYS_symlink, SYS_link, SYS_mknod,
#endif
	SYS_mkdirat, SYS_symlinkat, SYS_linkat, SYS_mknodat, SYS_setxattr, SYS_lsetxattr,
	SYS_fsetxattr, SYS_pwrite64, SYS_copy_file_range, SYS_fallocate};

#define ROOM_CALLS (sizeof(room_calls) / sizeof(*room_calls))
#define LOW_HALF (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0)
#define ARGUMENT(i) ((uint32_t)offsetof(struct seccomp_data, args[i]) + LOW_HALF)

static void __attribute__((noreturn)) fail(const char *what)
{
	fprintf(stderr, "full-at: %s: %s\n", what, strerror(errno));
	_exit(ITS_OWN_FAULT);
}

/* @return the supervisor's end */
static int make_filter(void)
{
	struct sock_filter code[ROOM_CALLS * 2 + 12];
	struct sock_fprog program = {.filter = code};
	const struct sock_filter ask = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	unsigned short n = 0;
	int fd;

	code[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ROOM_CALLS; i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, room_calls[i], 0, 1);
		code[n++] = ask;
	}
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 2);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(0));
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, STDERR_FILENO, 3, 4);
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(2));
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_CREAT, 0, 1);
	code[n++] = ask;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = n;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		fail("seccomp");
	fd = (int)syscall(
		SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	if (fd < 0)
		fail("seccomp");
	return fd;
}

/* --- the descriptor, from the program's process to the supervisor --- */

union control {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static void send_fd(int sock, int fd)
{
	union control control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)),
					 .cmsg_level = SOL_SOCKET,
					 .cmsg_type = SCM_RIGHTS}};
	char c = 0;
	struct iovec byte = {&c, 1};
	struct msghdr msg = {.msg_iov = &byte,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	if (sendmsg(sock, &msg, 0) != 1)
		fail("sendmsg");
}

static int receive_fd(int sock)
{
	union control control;
	char c;
	struct iovec byte = {&c, 1};
	struct msghdr msg = {.msg_iov = &byte,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	int fd;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&msg))
		fail("recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* --- the supervisor --- */

/* Who waits for an answer cannot close what he writes to, unless another thread does. */
static bool is_written_elsewhere(const struct seccomp_notif *asked)
{
	struct stat st;
	char path[64];

	if (asked->data.nr != SYS_write)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)asked->pid, (int)asked->data.args[0]);
	return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

/* @return how many calls it was asked about, until nobody was left to ask */
static uint64_t supervise(int fd, uint64_t at)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t n = 0;

	while (poll(&p, 1, -1) == 1 && p.revents & POLLIN) {
		struct seccomp_notif asked = {.id = 0};
		struct seccomp_notif_resp answer = {.error = -ENOSPC};

		/* ENOENT: whoever asked was killed meanwhile. */
		if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0) {
			if (errno == ENOENT)
				continue;
			fail("seccomp");
		}
		answer.id = asked.id;
		if (is_written_elsewhere(&asked) || n++ < at) {
			answer.error = 0;
			answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		}
		if (ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer) < 0 && errno != ENOENT)
			fail("seccomp");
	}
	return n;
}

int main(int argc, char **argv)
{
	uint64_t at = UINT64_MAX, n;
	int ends[2], status;
	pid_t pid = -1;

	if (argc < 3) {
		fputs("usage: full-at CALLS PROGRAM [ARGUMENT...]\n", stderr);
		return 2;
	}
	if (strcmp(argv[1], "-") != 0)
		at = strtoull(argv[1], NULL, 10);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0)
		pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		send_fd(ends[1], make_filter());
		execvp(argv[2], argv + 2);
		fail(argv[2]);
	}
	n = supervise(receive_fd(ends[0]), at);
	if (waitpid(pid, &status, 0) != pid)
		fail("waitpid");
	dprintf(3, "%llu\n", (unsigned long long)n);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
