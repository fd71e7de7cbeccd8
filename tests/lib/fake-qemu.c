/* SPDX-License-Identifier: MIT */
/*
 * Plays QEMU with a guest in it, for tests of mlimg-vm: listens on the sockets that its command
 * line names, takes the clients of console, qmp and agent in this order, then does what the file
 * $FAKE_QEMU says, a step a line:
 *
 *     print TEXT        on the console          warn TEXT      on stderr
 *     agent TEXT        a line on the agent's port; \xHH for a byte
 *     flood WHERE N     N bytes without a newline on "agent" or "console"
 *     stage NAME TEXT   a boot stage's event
 *     answer TEXT       announce the default target, wait for a request (pings are answered by the way) and answer it
 *     again SOCKET      wait for the next client of "agent", or of "monitor"
 *     qmp TEXT          a line on the monitor
 *     press             wait for system_powerdown
 *     serve             answer the monitors until one says quit
 *     slowly N          the same, and meanwhile print the numbers 1 to N on the console, 10 ms after one another
 *     live HOW [STATUS] take new clients of all but "qmp" and answer them, until QEMU is told to quit. HOW has letters:
 *                       a  the agent answers: STATUS to guest-status, and powers off when it is told to; else it is silent
 *                       b  the power button powers off        e  what is typed on the console comes back
 *                       p  the monitor is silent
 *     says COMMAND JSON before "live": what is answered to COMMAND then, {"return": …} or {"error": …}; the first of several once, and the last one from
 *                       then on
 *     off               power off as a guest does       exit N        end
 *     until FILE        wait until FILE is there
 *     early STEP        a step before anything else, for a QEMU that does not come so far as its sockets
 */
#include <err.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "tests/lib/fake-says.h"

struct end {
	const char *id;
	int listener, fd;
	FILE *in;
};

static struct end ends[] = {{"console", -1, -1, NULL}, {"qmp", -1, -1, NULL},
	{"agent", -1, -1, NULL}, {"monitor", -1, -1, NULL}};
enum { CONSOLE, QMP, AGENT, MONITOR };

static int listen_on(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 1) < 0)
		err(99, "%s", path);
	return fd;
}

static void read_arguments(char **argv)
{
	char id[32], path[108];

	for (; *argv; argv++)
		if (sscanf(*argv, "socket,id=%31[^,],path=%107[^,],", id, path) == 2)
			for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
				if (strcmp(ends[i].id, id) == 0)
					ends[i].listener = listen_on(path);
}

static void say(int i, const char *text)
{
	if (ends[i].fd >= 0)
		dprintf(ends[i].fd, "%s\n", text);
}

static void take_client(int i)
{
	if (ends[i].listener < 0)
		return;
	if (ends[i].in)
		fclose(ends[i].in);
	ends[i].fd = accept(ends[i].listener, NULL, NULL);
	ends[i].in = fdopen(ends[i].fd, "r");
	if (!ends[i].in)
		err(99, "accept");
	/* serve_monitors() polls: nothing may hide in a buffer. */
	setvbuf(ends[i].in, NULL, _IONBF, 0);
	if (i == QMP || i == MONITOR)
		say(i, "{\"QMP\": {\"version\": {}, \"capabilities\": []}}");
}

static void shutdown_event(const char *reason)
{
	char text[256];

	snprintf(text, sizeof(text),
		"{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"%s\"}}",
		reason);
	say(QMP, text);
	say(MONITOR, text);
}

static void reply(int i, const char *request, const char *answer)
{
	json_t *json = json_loads(request + strspn(request, "\xff"), 0, NULL);
	char *id = json_dumps(json_object_get(json, "id"), JSON_ENCODE_ANY);

	if (ends[i].fd >= 0)
		dprintf(ends[i].fd, "{\"return\": %s, \"id\": %s}\n", answer, id ? id : "null");
	free(id);
	json_decref(json);
}

/* The next request that is none of protocol's course; false when the client is gone. */
static bool next_request(int i, char *line, size_t size)
{
	while (ends[i].in && fgets(line, (int)size, ends[i].in)) {
		char sync[64];
		long long id;

		if (strstr(line, "guest-ping") || strstr(line, "qmp_capabilities")) {
			reply(i, line, "{}");
		} else if (sscanf(strstr(line, "\"arguments\"") ? strstr(line, "\"arguments\"")
								: "",
				   "\"arguments\":{\"id\":%lld", &id) == 1) {
			snprintf(sync, sizeof(sync), "%lld", id);
			dprintf(ends[i].fd, "\xff");
			reply(i, line, sync);
		} else {
			return true;
		}
	}
	return false;
}

static void answer(const char *text)
{
	char line[4096];

	say(AGENT, "{\"event\": \"default-target\", \"data\": {}}");
	if (next_request(AGENT, line, sizeof(line)))
		reply(AGENT, line, text);
}

/* Until `stop` is asked for on one of the monitors. Meanwhile @lines are printed on the console. */
static void serve_monitors(const char *stop, long lines)
{
	struct pollfd fds[] = {
		{.fd = ends[QMP].fd, .events = POLLIN}, {.fd = ends[MONITOR].fd, .events = POLLIN}};
	char line[4096] = "", number[32];

	for (long printed = 0; !strstr(line, stop);) {
		int n = poll(fds, 2, printed < lines ? 10 : -1);

		if (n < 0)
			err(99, "poll");
		if (n == 0) {
			snprintf(number, sizeof(number), "%ld", ++printed);
			say(CONSOLE, number);
		}
		for (int i = 0; i < 2; i++) {
			if (!fds[i].revents)
				continue;
			/* As QEMU does, it stays when a client goes. */
			if (!fgets(line, sizeof(line), ends[QMP + 2 * i].in)) {
				fds[i].fd = -1;
				break;
			}
			reply(QMP + 2 * i, line, "{}");
			break;
		}
	}
}

/* Words in a request, and what they make of it in a life. */
static void live_request(int i, const char *how, const char *status, const char *line)
{
	bool is_mark = strstr(line, "guest-sync-delimited");
	long long mark = 0;
	char text[64];

	if (i == AGENT && !strchr(how, 'a'))
		return;
	if (i == MONITOR && strchr(how, 'p'))
		return;
	if (say_answer(ends[i].fd, line))
		return;
	if (is_mark && strstr(line, "\"arguments\""))
		sscanf(strstr(line, "\"arguments\""), "\"arguments\":{\"id\":%lld", &mark);
	snprintf(text, sizeof(text), "%lld", mark);
	if (is_mark)
		dprintf(ends[i].fd, "\xff");
	reply(i, line, is_mark ? text : strstr(line, "guest-status") ? status : "{}");
	if (strstr(line, "\"stop\"") || strstr(line, "\"cont\"")) {
		say(QMP,
			strstr(line, "stop") ? "{\"event\": \"STOP\", \"data\": {}}"
					     : "{\"event\": \"RESUME\", \"data\": {}}");
	} else if (strstr(line, "\"quit\"")) {
		shutdown_event("host-qmp-quit");
		exit(0);
	} else if (strstr(line, "system_powerdown")) {
		say(QMP, "{\"event\": \"POWERDOWN\", \"data\": {}}");
	}
	if (strstr(line, "guest-shutdown") ||
		(strstr(line, "system_powerdown") && strchr(how, 'b'))) {
		shutdown_event("guest-shutdown");
		exit(0);
	}
}

/* What a client says; one that has gone makes room for the next. */
static void live_read(int i, const char *how, const char *status)
{
	char line[4096];

	if (i == CONSOLE) {
		ssize_t n = read(ends[i].fd, line, sizeof(line));

		if (n <= 0)
			err(99, "console");
		if (strchr(how, 'e') && write(ends[i].fd, line, (size_t)n) != n)
			err(99, "console");
	} else if (fgets(line, sizeof(line), ends[i].in)) {
		live_request(i, how, status, line);
	} else {
		fclose(ends[i].in);
		ends[i].in = NULL;
		ends[i].fd = -1;
	}
}

static void live(const char *how, const char *status)
{
	/* As QEMU, it stays when a client has gone that it answers. */
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		struct pollfd fds[4];

		for (int i = CONSOLE; i <= MONITOR; i++)
			fds[i] = (struct pollfd){
				.fd = ends[i].fd >= 0 ? ends[i].fd : ends[i].listener,
				.events = POLLIN};
		if (poll(fds, 4, -1) < 0)
			err(99, "poll");
		for (int i = CONSOLE; i <= MONITOR; i++) {
			if (!fds[i].revents)
				continue;
			if (ends[i].fd < 0)
				take_client(i);
			else
				live_read(i, how, status);
		}
	}
}

static void send_agent(const char *text)
{
	for (; *text; text++) {
		unsigned byte = (unsigned char)*text;

		if (sscanf(text, "\\x%2x", &byte) == 1)
			text += 3;
		dprintf(ends[AGENT].fd, "%c", byte);
	}
	dprintf(ends[AGENT].fd, "\n");
}

static void flood(int fd, size_t n)
{
	char *text = malloc(n);

	memset(text, 'x', n);
	for (size_t done = 0; done < n;) {
		ssize_t w = write(fd, text + done, n - done);

		if (w <= 0)
			err(99, "flood");
		done += (size_t)w;
	}
	free(text);
}

static void do_step(const char *step, char *text)
{
	char line[4096], *detail;

	if (strcmp(step, "print") == 0) {
		say(CONSOLE, text);
	} else if (strcmp(step, "warn") == 0) {
		fprintf(stderr, "%s\n", text);
	} else if (strcmp(step, "agent") == 0) {
		send_agent(text);
	} else if (strcmp(step, "flood") == 0) {
		detail = strchr(text, ' ');
		flood(ends[strncmp(text, "agent", 5) == 0 ? AGENT : CONSOLE].fd,
			strtoul(detail ? detail : "", NULL, 10));
	} else if (strcmp(step, "stage") == 0) {
		detail = strchr(text, ' ');
		if (detail)
			*detail++ = '\0';
		snprintf(line, sizeof(line),
			"{\"event\": \"boot-stage\", \"data\": {\"stage\": \"%s\", \"detail\": "
			"\"%s\"}}",
			text, detail ? detail : "");
		say(AGENT, line);
	} else if (strcmp(step, "answer") == 0) {
		answer(text);
	} else if (strcmp(step, "again") == 0) {
		take_client(strcmp(text, "agent") == 0 ? AGENT : MONITOR);
	} else if (strcmp(step, "qmp") == 0) {
		say(QMP, text);
	} else if (strcmp(step, "press") == 0) {
		serve_monitors("system_powerdown", 0);
	} else if (strcmp(step, "serve") == 0 || strcmp(step, "slowly") == 0) {
		serve_monitors("quit", step[1] == 'l' ? atol(text) : 0);
		shutdown_event("host-qmp-quit");
		exit(0);
	} else if (strcmp(step, "says") == 0) {
		detail = strchr(text, ' ');
		if (detail)
			*detail++ = '\0';
		add_saying(text, detail ? detail : "{}");
	} else if (strcmp(step, "live") == 0) {
		detail = strchr(text, ' ');
		if (detail)
			*detail++ = '\0';
		live(text, detail ? detail : "{}");
	} else if (strcmp(step, "off") == 0) {
		shutdown_event("guest-shutdown");
		exit(0);
	} else if (strcmp(step, "until") == 0) {
		while (access(text, F_OK) < 0)
			usleep(10000);
	} else if (strcmp(step, "exit") == 0) {
		exit(atoi(text));
	} else {
		errx(99, "step '%s'?", step);
	}
}

int main(int argc, char **argv)
{
	const char *path = getenv("FAKE_QEMU");
	FILE *steps = fopen(path ? path : "", "r");
	char *line = NULL;
	size_t size = 0;

	/* It has a sandbox, unless told otherwise. */
	if (argc > 1 && strcmp(argv[argc - 1], "-version") == 0)
		return getenv("FAKE_QEMU_NO_SANDBOX") != NULL;
	if (!steps)
		err(99, "FAKE_QEMU");
	while (getline(&line, &size, steps) > 0) {
		char *text = strchr(line, ' ');

		line[strcspn(line, "\n")] = '\0';
		if (text)
			*text++ = '\0';
		if (ends[QMP].listener < 0 && strcmp(line, "early") != 0) {
			read_arguments(argv);
			for (int i = CONSOLE; i <= AGENT; i++)
				take_client(i);
		}
		if (strcmp(line, "early") == 0) {
			char *rest = strchr(text, ' ');

			if (rest)
				*rest++ = '\0';
			do_step(text, rest ? rest : (char *)"");
		} else {
			do_step(line, text ? text : (char *)"");
		}
	}
	return 0;
}
