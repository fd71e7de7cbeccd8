/* SPDX-License-Identifier: MIT */
#include "guest-agent/port.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
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

/* POLLHUP alone: nobody is there. Waiting for somebody to come would be waiting for a reader of what nobody asked for. */
static int wait_writable(int fd, int64_t deadline_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int64_t left = deadline_ms - mlimg_clock_ms();
	int n = left > 0 ? poll(&p, 1, (int)left) : 0;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ETIMEDOUT;
	return p.revents & POLLOUT ? 0 : -EPIPE;
}

int mlimg_port_write(int fd, const char *data, size_t size, int timeout_ms)
{
	int64_t deadline_ms = mlimg_clock_ms() + timeout_ms;

	while (size > 0) {
		ssize_t n = write(fd, data, size);
		int r = 0;

		if (n >= 0) {
			data += n;
			size -= (size_t)n;
		} else if (errno == EAGAIN) {
			r = wait_writable(fd, deadline_ms);
		} else if (errno != EINTR) {
			r = -errno;
		}
		if (r < 0)
			return r;
	}
	return 0;
}
