/* SPDX-License-Identifier: MIT */
/*
 * usage: reconnect SOCKET N Connects to an agent N times, each time as soon as the last connection
 * is closed, and each time asks two things: in one piece, in two, with much between them, or
 * leaving half a request behind. Prints how many were answered; the exit code is 0 when all were.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

#define TIMEOUT_MS 20000

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mlimg_autoclose int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return mlimg_steal_fd(&fd);
}

/* A long request between the two, for what does not fit into the port at once. */
static int send_long(int fd)
{
	static char line[20000];
	int size = snprintf(
		line, sizeof(line), "{\"execute\":\"guest-ping\",\"id\":\"%015000d\"}\n", 0);

	return mlimg_write_all(fd, line, (size_t)size);
}

static int send_requests(int fd, unsigned long i)
{
	char text[200];
	size_t size = (size_t)snprintf(text, sizeof(text),
		"\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%lu}}\n", i);
	size_t first = i % 4 == 1 ? 1 + i % (size - 1) : size;
	int r = mlimg_write_all(fd, text, first);

	if (first < size)
		usleep(20000);
	if (r == 0)
		r = mlimg_write_all(fd, text + first, size - first);
	if (r == 0 && i % 4 == 2)
		r = send_long(fd);
	size = (size_t)snprintf(text, sizeof(text), "{\"execute\":\"guest-ping\",\"id\":%lu}\n", i);
	return r < 0 ? r : mlimg_write_all(fd, text, size);
}

static bool is_answered(int fd, unsigned long i)
{
	static char buffer[1 << 20];
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char sync[64], ping[64];
	size_t used = 0;

	snprintf(sync, sizeof(sync), "\xff{\"return\":%lu}\n", i);
	snprintf(ping, sizeof(ping), "\n{\"return\":{},\"id\":%lu}\n", i);
	while (used < sizeof(buffer) && poll(&p, 1, TIMEOUT_MS) == 1) {
		ssize_t n = read(fd, buffer + used, sizeof(buffer) - used);

		if (n <= 0)
			return false;
		used += (size_t)n;
		if (memmem(buffer, used, sync, strlen(sync)) &&
			memmem(buffer, used, ping, strlen(ping)))
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	unsigned long n = argc == 3 ? strtoul(argv[2], NULL, 10) : 0, answered = 0;

	if (n == 0) {
		fputs("usage: reconnect SOCKET N\n", stderr);
		return 2;
	}
	for (unsigned long i = 1; i <= n; i++) {
		mlimg_autoclose int fd = connect_to(argv[1]);

		if (fd >= 0 && send_requests(fd, i) == 0 && is_answered(fd, i))
			answered++;
		if (fd >= 0 && i % 4 == 3 && mlimg_write_all(fd, "{\"exec", 6) < 0)
			break;
	}
	printf("%lu of %lu answered\n", answered, n);
	return answered == n ? 0 : 1;
}
