/* SPDX-License-Identifier: MIT */
#include "guest-agent/daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "guest-agent/client.h"
#include "libmlimg/io.h"
#include "tests/lib/test.h"

#define PATIENT 60000 /* ms; a case that waits so long has failed */
#define BUSY "{\"error\":{\"class\":\"Busy\",\"desc\":\"too many clients\"}}\n"

static char host[108], users[108];

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, path);
	for (int i = 0; i < 1000; i++) {
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
			return fd;
		usleep(10000);
	}
	FAIL("no daemon at %s", path);
}

/* A daemon of its own for the case, which ends with it. */
static void start_daemon(void)
{
	const char *dir = test_tmpdir();

	signal(SIGPIPE, SIG_IGN);
	snprintf(host, sizeof(host), "%.90s/host", dir);
	snprintf(users, sizeof(users), "%.90s/users", dir);
	if (fork() == 0) {
		struct mlimg_agent agent = {.run_dir = dir, .health_dir = dir, .freeze_fd = -1};
		const struct mlimg_daemon_options options = {.host = host, .socket = users};

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(mlimg_daemon_run(&options, &agent, NULL) < 0);
	}
	for (int i = 0; i < PATIENT / 10 && access(users, F_OK) < 0; i++)
		usleep(10000); /* it is made after the other one */
}

static void put_file(const char *name, mode_t mode, const char *fmt, ...)
{
	char path[400], text[1000];
	va_list ap;
	int fd;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "%s/%s", test_tmpdir(), name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	ASSERT(fd >= 0 && mlimg_write_all(fd, text, strlen(text)) == 0);
	close(fd);
}

/* As in a guest with systemd, whose systemctl is this script. */
static void fake_systemctl(const char *script)
{
	char path[1000];

	snprintf(path, sizeof(path), "%s/systemd", test_tmpdir());
	ASSERT_EQ(mkdir(path, 0755), 0);
	strcat(path, "/system");
	ASSERT_EQ(mkdir(path, 0755), 0);
	put_file("systemctl", 0755, "#!/bin/sh\ncd %s\n%s\n", test_tmpdir(), script);
	snprintf(path, sizeof(path), "%s:%s", test_tmpdir(), getenv("PATH"));
	setenv("PATH", path, 1);
}

static void say(int fd, const char *text)
{
	ASSERT_EQ(mlimg_write_all(fd, text, strlen(text)), 0);
}

/* Bytes that come within so many milliseconds of each other, until there are @p size. */
static size_t receive(int fd, char *buffer, size_t size, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t used = 0;

	while (used < size && poll(&p, 1, timeout_ms) == 1) {
		ssize_t n = read(fd, buffer + used, size - used);

		if (n <= 0)
			break;
		used += (size_t)n;
	}
	return used;
}

static void hear(int fd, const char *wanted)
{
	char heard[1000] = "";

	heard[receive(fd, heard, strlen(wanted), PATIENT)] = '\0';
	ASSERT_STR(heard, wanted);
}

static void hear_end(int fd)
{
	char byte;

	ASSERT_EQ(receive(fd, &byte, 1, PATIENT), 0);
}

static void check_ping(int fd)
{
	say(fd, "{\"execute\":\"guest-ping\",\"id\":\"p\"}\n");
	hear(fd, "{\"return\":{},\"id\":\"p\"}\n");
}

/* Until the daemon takes no more because its responses are not read. */
static void flood(int fd, const char *request)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (poll(&p, 1, 2000) == 1)
		if (write(fd, request, strlen(request)) < 0 && errno != EAGAIN)
			FAIL("write: %s", strerror(errno));
}

TEST(a_client_that_does_not_read_loses_its_responses)
{
	static char buffer[4 << 20];
	static const char request[] = "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":77}}\n";
	static const char wanted[] = "\xff{\"return\":77}\n";
	struct pollfd p = {.events = POLLOUT};
	int other;

	start_daemon();
	fake_systemctl("exit 1"); /* nothing is announced */
	p.fd = connect_to(users);
	flood(p.fd, "{\"execute\":\"guest-info\"}\n");
	other = connect_to(users);
	check_ping(other);
	/* What was asked is thrown away, so that there is room again though nothing was read. */
	ASSERT_EQ(poll(&p, 1, 6 * MLIMG_SEND_TIMEOUT_MS), 1);
	check_ping(other);
	for (int i = 0; i < 60; i++) {
		/* The first may be thrown away with the flood; the first answered has 0xFF. */
		ASSERT_EQ(write(p.fd, request, sizeof(request) - 1), sizeof(request) - 1);
		if (memmem(buffer, receive(p.fd, buffer, sizeof(buffer), 1000), wanted,
			    sizeof(wanted) - 1))
			return;
	}
	FAIL("no response after the daemon dropped what was not read");
}

TEST(requests_of_two_clients_in_pieces)
{
	int a, b;

	start_daemon();
	a = connect_to(users);
	b = connect_to(users);
	say(a, "{\"execute\":\"guest-sync\",\"argu");
	say(b, "{\"execute\":\"guest-sy");
	usleep(50000);
	say(a, "ments\":{\"id\":1}}\n{\"exe");
	hear(a, "{\"return\":1}\n");
	say(b, "nc\",\"arguments\":{\"id\":2}}\n");
	hear(b, "{\"return\":2}\n");
	say(a, "cute\":\"guest-sync\",\"arguments\":{\"id\":3}}\n");
	hear(a, "{\"return\":3}\n");
}

TEST(the_host_is_told_of_the_target_and_users_are_not)
{
	int fd;

	start_daemon();
	fd = connect_to(host);
	hear(fd, "{\"event\":\"default-target\",\"data\":{}}\n");
	check_ping(fd);
	check_ping(connect_to(users));
}

TEST(all_that_a_client_sends_at_once_is_answered_in_its_order)
{
	int fd;

	fake_systemctl("sleep 0.2; exit 1");
	start_daemon();
	fd = connect_to(users);
	say(fd,
		"{\"execute\":\"guest-ping\",\"id\":1}\n{\"execute\":\"guest-status\","
		"\"arguments\":"
		"{},\"id\":2}\n{\"execute\":\"guest-ping\",\"id\":3}\n");
	shutdown(fd, SHUT_WR); /* it has no more to say, but listens */
	{
		static char heard[100000];
		size_t size = receive(fd, heard, sizeof(heard) - 1, PATIENT);
		const char *two = memmem(heard, size, "\"id\":2}\n", 8),
			   *three = memmem(heard, size, "{\"return\":{},\"id\":3}\n", 21);

		ASSERT(strncmp(heard, "{\"return\":{},\"id\":1}\n", 21) == 0);
		ASSERT(two && three && three == two + 8 && three + 21 == heard + size);
	}
}

/* @return the process of a check, once it runs */
static pid_t wait_for_pid(void)
{
	char path[300], text[32];

	snprintf(path, sizeof(path), "%s/pid", test_tmpdir());
	for (int i = 0; i < PATIENT / 10; i++) {
		FILE *f = fopen(path, "re");
		bool is_there = f && fgets(text, sizeof(text), f) && strchr(text, '\n');

		if (f)
			fclose(f);
		if (is_there)
			return atoi(text);
		usleep(10000);
	}
	FAIL("the check was not run");
}

static void check_is_gone(pid_t pid)
{
	/* By itself it would be ended after 10 s. */
	for (int i = 0; i < 700; i++) {
		if (kill(pid, 0) < 0)
			return;
		usleep(10000);
	}
	FAIL("the check runs on");
}

TEST(a_slow_command_stops_nobody_and_ends_with_its_client)
{
	int slow, quick;
	pid_t pid;

	put_file("check", 0755,
		"#!/bin/sh\ncd %s\ntrap '' TERM; echo $$ >pid.new; mv pid.new pid; sleep 1000\n",
		test_tmpdir());
	start_daemon();
	slow = connect_to(host);
	quick = connect_to(users);
	say(slow, "{\"execute\":\"mlimg-health\"}\n");
	pid = wait_for_pid();
	check_ping(quick);
	ASSERT_EQ(kill(pid, 0), 0);
	close(slow);
	check_is_gone(pid);
	check_ping(quick);
}

TEST(the_seventeenth_client_is_told)
{
	int fds[MLIMG_CLIENTS_MAX], fd;

	start_daemon();
	for (int i = 0; i < MLIMG_CLIENTS_MAX; i++)
		fds[i] = connect_to(host);
	for (int i = 0; i < MLIMG_CLIENTS_MAX; i++)
		hear(fds[i], "{\"event\":\"default-target\",\"data\":{}}\n");
	for (int i = 0; i < MLIMG_CLIENTS_MAX; i++)
		check_ping(fds[i]);
	fd = connect_to(host);
	hear(fd, BUSY);
	hear_end(fd);
	close(fds[7]);
	/* The next one may come before the daemon knows. */
	for (int i = 0; i < 100; i++) {
		char heard[100] = "";

		fd = connect_to(host);
		heard[receive(fd, heard, 8, PATIENT)] = '\0';
		if (strncmp(heard, "{\"event\"", 8) == 0)
			return;
		close(fd);
	}
	FAIL("no room after a client has gone");
}

/* In a process that is not root. */
static void take_all_that_users_may(void)
{
	int fd;

	if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
		FAIL("setresuid: %s", strerror(errno));
	for (int i = 0; i < MLIMG_CLIENTS_MAX - MLIMG_CLIENTS_OF_ROOT; i++)
		check_ping(connect_to(users));
	fd = connect_to(users);
	hear(fd, BUSY);
	hear_end(fd);
}

TEST(users_cannot_take_all)
{
	int stay[2], told[2], status;
	char byte;
	pid_t pid;

	start_daemon();
	ASSERT_EQ(chmod(test_tmpdir(), 0755), 0);
	ASSERT(pipe(stay) == 0 && pipe(told) == 0);
	pid = fork();
	if (pid == 0) {
		close(stay[1]);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		take_all_that_users_may();
		close(told[1]);
		_exit(read(stay[0], &byte, 1) != 0);
	}
	close(stay[0]);
	close(told[1]);
	ASSERT_EQ(read(told[0], &byte, 1), 0);
	/* The host is never told Busy for them. */
	for (int i = 0; i < MLIMG_CLIENTS_OF_ROOT; i++)
		hear(connect_to(host), "{\"event\":\"default-target\",\"data\":{}}\n");
	close(stay[1]);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
}

TEST(a_flood_that_is_read_starves_nobody)
{
	int fd, other;
	pid_t pid;

	start_daemon();
	fd = connect_to(users);
	other = connect_to(users);
	pid = fork();
	if (pid == 0) {
		static char buffer[65536], request[] = "{\"execute\":\"guest-ping\"}\n";

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			while (read(fd, buffer, sizeof(buffer)) > 0)
				;
			_exit(0);
		}
		while (write(fd, request, sizeof(request) - 1) > 0)
			;
		_exit(0);
	}
	for (int i = 0; i < 20; i++)
		check_ping(other);
	kill(pid, SIGKILL);
}

TEST(garbage_without_newlines_is_forgotten)
{
	static char garbage[1 << 20];
	int fd;

	start_daemon();
	fd = connect_to(users);
	test_seed();
	for (size_t i = 0; i < sizeof(garbage); i++) {
		garbage[i] = (char)test_random(256);
		garbage[i] = garbage[i] == '\n' ? 'n' : garbage[i];
	}
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(mlimg_write_all(fd, garbage, sizeof(garbage)), 0);
	say(fd, "\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":5}}\n");
	hear(fd, "\xff{\"return\":5}\n");
}

/* Longer than what goes through a socket at once, and than a piece. */
TEST(a_long_response_of_a_process_comes_whole)
{
	static char heard[600000];
	char path[300];
	size_t size;
	FILE *f;
	int fd;

	snprintf(path, sizeof(path), "%s/mlimg", test_tmpdir());
	ASSERT_EQ(mkdir(path, 0700), 0);
	strcat(path, "/boot.json");
	f = fopen(path, "we");
	fprintf(f, "{\"x\":\"%0500000d\"}", 0);
	fclose(f);
	start_daemon();
	fd = connect_to(users);
	say(fd, "{\"execute\":\"guest-status\",\"id\":\"long\"}\n");
	usleep(300000); /* so that it does not go through at once */
	size = receive(fd, heard, 500000, PATIENT);
	while (size == 500000 || heard[size - 1] != '\n') {
		ASSERT(size < sizeof(heard) && receive(fd, heard + size, 1, PATIENT) == 1);
		size++;
	}
	ASSERT(size > 500000 && memcmp(heard, "{\"return\":", 10) == 0);
	ASSERT(memcmp(heard + size - 14, ",\"id\":\"long\"}\n", 14) == 0);
	check_ping(fd);
}
