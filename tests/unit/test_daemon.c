/* SPDX-License-Identifier: MIT */
#include "guest-agent/client.h"
#include "guest-agent/daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/lib/test.h"

/* A daemon of its own for the case, which ends with it; a connection to it. */
static int connect_to_daemon(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	const char *dir = test_tmpdir();

	snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/port", dir);
	if (fork() == 0) {
		struct mlimg_agent agent = {.run_dir = dir, .init_pid = getpid(), .freeze_fd = -1};
		const struct mlimg_daemon_options options = {.host = address.sun_path};

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(mlimg_daemon_run(&options, &agent, NULL) < 0);
	}
	for (int i = 0; i < 1000; i++) {
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
			return fd;
		usleep(10000);
	}
	FAIL("no daemon at %s", address.sun_path);
}

/* Until the daemon takes no more because its responses are not read. */
static void flood(int fd)
{
	static const char request[] = "{\"execute\":\"guest-info\"}\n";
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (poll(&p, 1, 2000) == 1)
		if (write(fd, request, sizeof(request) - 1) < 0 && errno != EAGAIN)
			FAIL("write: %s", strerror(errno));
}

/* What has come so far, and what comes within a second. */
static size_t receive(int fd, char *buffer, size_t size)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t used = 0;

	while (used < size && poll(&p, 1, 1000) == 1) {
		ssize_t n = read(fd, buffer + used, size - used);

		if (n <= 0)
			break;
		used += (size_t)n;
	}
	return used;
}

TEST(a_client_that_does_not_read_loses_its_responses)
{
	static char buffer[4 << 20];
	static const char request[] = "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":77}}\n";
	static const char wanted[] = "\xff{\"return\":77}\n";
	int fd = connect_to_daemon();
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	flood(fd);
	/* What was asked is thrown away, so that there is room again though nothing was read. */
	ASSERT_EQ(poll(&p, 1, 6 * MLIMG_SEND_TIMEOUT_MS), 1);
	for (int i = 0; i < 60; i++) {
		/*
		 * The first may be thrown away with the flood; the first response begins with 0xFF.
		 */
		ASSERT_EQ(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
		if (memmem(buffer, receive(fd, buffer, sizeof(buffer)), wanted, sizeof(wanted) - 1))
			return;
	}
	FAIL("no response after the daemon dropped what was not read");
}
