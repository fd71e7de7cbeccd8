/* SPDX-License-Identifier: MIT */
#include "guest-agent/port.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "guest-agent/clock.h"
#include "libmlimg/cleanup.h"

static bool is_ours(int sysfs_fd, const char *port)
{
	char path[MLIMG_PORT_PATH_SIZE], name[sizeof(MLIMG_PORT_NAME) + 1];
	mlimg_autoclose int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/name", port);
	fd = openat(sysfs_fd, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, name, sizeof(name));
	return n == sizeof(MLIMG_PORT_NAME) && memcmp(name, MLIMG_PORT_NAME "\n", (size_t)n) == 0;
}

int mlimg_port_find(const char *sysfs, char ret_path[MLIMG_PORT_PATH_SIZE], struct mlimg_err *err)
{
	mlimg_autoclosedir DIR *dir = opendir(sysfs);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && is_ours(dirfd(dir), entry->d_name)) {
			snprintf(ret_path, MLIMG_PORT_PATH_SIZE, "/dev/%s", entry->d_name);
			return 0;
		}
	return mlimg_err_set(err, ENOENT, "virtio-serial port '" MLIMG_PORT_NAME "'");
}

/*
 * Edge-triggered, since poll(2) does not wait at all while nobody is at the other end.
 *
 * @return 0 to try again, -EPIPE, -ETIMEDOUT, -errno
 */
static int wait_writable(int fd, int64_t deadline_ms, int64_t absent_deadline_ms)
{
	struct epoll_event event = {.events = EPOLLOUT | EPOLLET};
	mlimg_autoclose int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	int64_t now_ms = mlimg_clock_ms();
	bool is_absent = false;
	int n;

	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	if (absent_deadline_ms > deadline_ms)
		absent_deadline_ms = deadline_ms;
	for (;;) {
		int64_t left_ms = (is_absent ? absent_deadline_ms : deadline_ms) - now_ms;

		n = left_ms > 0 ? epoll_wait(epoll_fd, &event, 1, (int)left_ms) : 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return is_absent ? -EPIPE : -ETIMEDOUT;
		if (n > 0 && event.events & EPOLLOUT)
			return 0;
		is_absent = is_absent || n > 0;
		now_ms = mlimg_clock_ms();
	}
}

int mlimg_port_write(int fd, const char *data, size_t size, int timeout_ms, int absent_ms)
{
	int64_t now_ms = mlimg_clock_ms();

	while (size > 0) {
		ssize_t n = write(fd, data, size);
		int r = 0;

		if (n >= 0) {
			data += n;
			size -= (size_t)n;
		} else if (errno == EAGAIN) {
			r = wait_writable(fd, now_ms + timeout_ms, now_ms + absent_ms);
		} else if (errno != EINTR) {
			r = -errno;
		}
		if (r < 0)
			return r;
	}
	return 0;
}
