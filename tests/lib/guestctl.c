// SPDX-License-Identifier: MIT
/*
 * The host's end of the tests' command channel: runs a command in a guest, through the unix socket
 * of its virtio-serial port org.mlimg.test.0, and ends with the command's exit code. The protocol
 * is in guest-shell.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <nettle/base64.h>

#define PING_EVERY_MS \
	500 /* what is sent before the guest has opened its port is thrown away by QEMU */
#define ANSWER_MAX \
	(64u << 20) /* bytes of one line; a guest of a test gone wrong must not fill memory */
#define EXIT_CHANNEL \
	125 /* the command was not run or its end is not known; as env(1) and timeout(1) */

struct channel {
	int fd;
	int64_t deadline_ms;
	char *line;
	size_t used, room;
	size_t taken; /* of the line that was handed out */
	char id[32];
};

static void usage(FILE *out)
{
	fputs("usage: guestctl [-t SECONDS] SOCKET COMMAND…\n"
	      "\n"
	      "Runs COMMAND (words joined by spaces, for sh) in the guest whose port\n"
	      "org.mlimg.test.0 is SOCKET, and waits for it as well as for the guest's boot.\n"
	      "Prints the command's output; ends with its exit code, or with 125 when the\n"
	      "guest did not answer.\n"
	      "\n"
	      "  -t SECONDS  how long to wait in all (default: 120)\n",
		out);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
	va_list args;

	fputs("guestctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(EXIT_CHANNEL);
}

static int try_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		die("socket path too long: %s", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		die("socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Wait for events; false when none came until @until_ms. */
static bool wait_for(struct channel *c, short events, int64_t until_ms)
{
	struct pollfd p = {.fd = c->fd, .events = events};
	int64_t left = until_ms - now_ms();

	return poll(&p, 1, left > 0 ? (int)left : 0) > 0;
}

static void send_all(struct channel *c, const char *text, size_t size)
{
	while (size > 0) {
		ssize_t n = send(c->fd, text, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN && wait_for(c, POLLOUT, c->deadline_ms))
			continue;
		if (n < 0 && errno == EAGAIN)
			die("the guest does not read");
		if (n < 0)
			die("the connection broke: %s", strerror(errno));
		text += n;
		size -= (size_t)n;
	}
}

/*
 * Next line without its newline, valid until the next call; NULL when there was none until
 * @until_ms.
 */
static char *read_line(struct channel *c, int64_t until_ms)
{
	char *end;

	c->used -= c->taken;
	memmove(c->line, c->line + c->taken, c->used);
	c->taken = 0;
	while (!(end = memchr(c->line, '\n', c->used))) {
		ssize_t n;

		if (c->used == c->room) {
			c->room *= 2;
			c->line = c->room <= ANSWER_MAX ? realloc(c->line, c->room) : NULL;
			if (!c->line)
				die("the answer is too long");
		}
		if (!wait_for(c, POLLIN, until_ms))
			return NULL;
		n = recv(c->fd, c->line + c->used, c->room - c->used, 0);
		if (n == 0)
			die("the guest's end is closed");
		if (n < 0 && errno != EAGAIN)
			die("the connection broke: %s", strerror(errno));
		c->used += n > 0 ? (size_t)n : 0;
	}
	*end = 0;
	c->taken = (size_t)(end + 1 - c->line);
	return c->line;
}

/* What follows our id and a space in the next line that begins so; NULL as read_line(). */
static char *read_answer(struct channel *c, int64_t until_ms)
{
	size_t n = strlen(c->id);
	char *line;

	while ((line = read_line(c, until_ms)))
		if (strncmp(line, c->id, n) == 0 && line[n] == ' ')
			return line + n + 1;
	return NULL;
}

static void await_guest(struct channel *c, const char *path)
{
	char ping[64];

	while ((c->fd = try_connect(path)) < 0) {
		if (now_ms() > c->deadline_ms)
			die("cannot connect to %s: %s", path, strerror(errno));
		usleep(100 * 1000);
	}
	/* The newline ends whatever a former client left unfinished. */
	snprintf(ping, sizeof(ping), "\n%s ping\n", c->id);
	do {
		if (now_ms() > c->deadline_ms)
			die("the guest does not answer");
		send_all(c, ping, strlen(ping));
	} while (!read_answer(c, now_ms() + PING_EVERY_MS));
}

static void send_command(struct channel *c, char **words, int n_words)
{
	char *command = NULL, *text;
	size_t size = 0, head;
	FILE *f = open_memstream(&command, &size);

	if (!f)
		die("%s", strerror(errno));
	for (int i = 0; i < n_words; i++)
		fprintf(f, "%s%s", i ? " " : "", words[i]);
	fclose(f);
	text = malloc(64 + BASE64_ENCODE_RAW_LENGTH(size));
	if (!text)
		die("%s", strerror(errno));
	head = (size_t)sprintf(text, "%s run ", c->id);
	base64_encode_raw(text + head, size, (const uint8_t *)command);
	head += BASE64_ENCODE_RAW_LENGTH(size);
	text[head++] = '\n';
	send_all(c, text, head);
	free(text);
	free(command);
}

/* The answer "STATUS BASE64", after any further answers to our pings. */
static int read_result(struct channel *c)
{
	struct base64_decode_ctx ctx;
	char *answer, *data;
	size_t size;
	int status;

	do {
		answer = read_answer(c, c->deadline_ms);
		if (!answer)
			die("the command did not end in time");
	} while (strcmp(answer, "pong") == 0);
	status = (int)strtol(answer, &data, 10);
	if (data == answer || *data != ' ')
		die("not an answer: %.80s", answer);
	size = strlen(++data);
	base64_decode_init(&ctx);
	/* The decoded text is shorter, so that it fits in its own place. */
	if (!base64_decode_update(&ctx, &size, (uint8_t *)data, size, data) ||
		!base64_decode_final(&ctx))
		die("the output is not base64");
	fwrite(data, 1, size, stdout);
	return status;
}

int main(int argc, char **argv)
{
	struct channel c = {.fd = -1, .room = 65536};
	long seconds = 120;
	int option, status;

	while ((option = getopt(argc, argv, "+t:h")) != -1) {
		if (option == 'h') {
			usage(stdout);
			return 0;
		}
		if (option != 't' || (seconds = strtol(optarg, NULL, 10)) <= 0) {
			usage(stderr);
			return EXIT_CHANNEL;
		}
	}
	if (argc - optind < 2) {
		usage(stderr);
		return EXIT_CHANNEL;
	}
	c.line = malloc(c.room);
	if (!c.line)
		die("%s", strerror(errno));
	c.deadline_ms = now_ms() + seconds * 1000;
	snprintf(c.id, sizeof(c.id), "%d-%lld", (int)getpid(), (long long)now_ms());
	await_guest(&c, argv[optind]);
	send_command(&c, argv + optind + 1, argc - optind - 1);
	status = read_result(&c);
	free(c.line);
	return status;
}
