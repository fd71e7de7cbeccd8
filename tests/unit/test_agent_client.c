/* SPDX-License-Identifier: MIT */
#include "tests/lib/test.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "tools/vm-agent.h"
#include "tools/vm-chan.h"
#include "tools/vm-watch.h"

static int peer = -1; /* the agent's end */

/* A channel whose other end is `peer`. */
static struct mlimg_chan pair(void)
{
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	int fds[2];

	ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	chan.fd = fds[0];
	peer = fds[1];
	return chan;
}

static void send_bytes(const void *data, size_t size)
{
	ASSERT_EQ(write(peer, data, size), size);
}

static void send_text(const char *text)
{
	send_bytes(text, strlen(text));
}

/* Read what there is, in one call of fill. */
static void fill(struct mlimg_chan *chan)
{
	ASSERT(mlimg_chan_fill(chan) > 0);
}

/* The next object's member "n" is @n. */
static void expect(struct mlimg_chan *chan, int n)
{
	json_t *json = mlimg_chan_next(chan);

	ASSERT(json);
	ASSERT_EQ(json_integer_value(json_object_get(json, "n")), n);
	json_decref(json);
}

static void expect_none(struct mlimg_chan *chan, uint64_t dropped)
{
	json_t *json = mlimg_chan_next(chan);

	ASSERT(!json);
	ASSERT_EQ(chan->n_dropped, dropped);
}

TEST(lines_whole_half_and_several)
{
	struct mlimg_chan chan = pair();

	ASSERT_EQ(mlimg_chan_fill(&chan), 0);
	send_text("{\"n\": 1}\n{\"n\": 2}\n{\"n\"");
	fill(&chan);
	expect(&chan, 1);
	expect(&chan, 2);
	expect_none(&chan, 0);
	send_text(": 3}\n");
	fill(&chan);
	expect(&chan, 3);
	expect_none(&chan, 0);
	mlimg_chan_close(&chan);
}

TEST(garbage_is_dropped_line_by_line)
{
	static const char *const bad[] = {"", "\r", "hello", "[1]", "7", "\"x\"", "null",
		"{\"n\": 1", "{\"n\": 1}}", "{\"n\": 1, \"n\": 2}", "{\"n\": \"\xc3\x28\"}",
		"{\"n\": \"\\u0000\"}", "{'n': 1}", "{\"n\": 1} {\"n\": 2}", "{\"n\": 1e999}"};
	struct mlimg_chan chan = pair();
	const size_t n = sizeof(bad) / sizeof(bad[0]);

	for (size_t i = 0; i < n; i++) {
		send_text(bad[i]);
		send_text("\n{\"n\": 5}\n");
		fill(&chan);
		expect(&chan, 5);
		expect_none(&chan, i + 1);
	}
	send_bytes("\0\0\n{\"n\": 6}\n", 12);
	fill(&chan);
	expect(&chan, 6);
	expect_none(&chan, n + 1);
	mlimg_chan_close(&chan);
}

TEST(resynchronisation)
{
	struct mlimg_chan chan = pair();

	send_text("{\"half\": \xff\xff{\"n\": 1}\n\xff{\"n\": 2}\n");
	fill(&chan);
	expect(&chan, 1);
	expect(&chan, 2);
	expect_none(&chan, 0);
	mlimg_chan_close(&chan);
}

/* {"a": [[[…]]], "n": 1} with brackets @depth deep in all. */
static void send_nested(int depth, const char *open, const char *close)
{
	char text[4096] = "{\"a\": ";

	for (int i = 1; i < depth; i++)
		strcat(text, open);
	strcat(text, "0");
	for (int i = 1; i < depth; i++)
		strcat(text, close);
	strcat(text, ", \"n\": 1}\n");
	send_text(text);
}

TEST(nesting_is_bounded)
{
	struct mlimg_chan chan = pair();

	send_nested(MLIMG_CHAN_DEPTH_MAX, "[", "]");
	fill(&chan);
	expect(&chan, 1);
	send_nested(MLIMG_CHAN_DEPTH_MAX + 1, "[", "]");
	send_nested(MLIMG_CHAN_DEPTH_MAX + 1, "{\"b\":", "}");
	fill(&chan);
	expect_none(&chan, 2);
	/* Brackets in strings are none. */
	send_text(
		"{\"a\": "
		"\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\", "
		"\"n\": 2}\n");
	fill(&chan);
	expect(&chan, 2);
	mlimg_chan_close(&chan);
}

/*
 * A line of @size bytes, newline not counted, that would be a good one; read while it is written.
 */
static void send_long(struct mlimg_chan *chan, size_t size)
{
	char *text = malloc(size + 1);
	size_t done = 0;

	memset(text, ' ', size);
	memcpy(text, "{\"n\": 1", 7);
	text[size - 1] = '}';
	text[size] = '\n';
	while (done < size + 1) {
		ssize_t n = send(peer, text + done, size + 1 - done, MSG_DONTWAIT);

		if (n > 0)
			done += (size_t)n;
		ASSERT(mlimg_chan_fill(chan) >= 0);
		if (done < size + 1)
			ASSERT(!mlimg_chan_next(chan));
	}
	while (mlimg_chan_fill(chan) > 0)
		;
	free(text);
}

TEST(longest_line_and_one_byte_more)
{
	struct mlimg_chan chan = pair();

	send_long(&chan, MLIMG_CHAN_LINE_MAX - 1);
	expect(&chan, 1);
	expect_none(&chan, 0);
	send_long(&chan, MLIMG_CHAN_LINE_MAX);
	expect_none(&chan, 1);
	send_text("{\"n\": 2}\n");
	fill(&chan);
	expect(&chan, 2);
	mlimg_chan_close(&chan);
}

TEST(a_flood_without_newline_needs_bounded_memory)
{
	struct mlimg_chan chan = pair();
	char *block = malloc(65536);

	memset(block, '{', 65536);
	for (int i = 0; i < 16 * 1024 * 1024 / 65536; i++) {
		send_bytes(block, 65536);
		while (mlimg_chan_fill(&chan) > 0)
			ASSERT(!mlimg_chan_next(&chan));
		ASSERT(chan.size <= 2 * MLIMG_CHAN_LINE_MAX);
	}
	/* The end of a line that was too long is no line. */
	send_text("{\"n\": 9}\n{\"n\": 1}\n");
	fill(&chan);
	expect(&chan, 1);
	ASSERT_EQ(chan.n_dropped, 1);
	free(block);
	mlimg_chan_close(&chan);
}

TEST(random_bytes)
{
	struct mlimg_chan chan = pair();

	test_seed();
	for (int round = 0; round < 2000; round++) {
		static const char alphabet[] = "{}[]\",:\\n01e.-\xff\n\n \xc3\xa9tf";
		char bytes[64];
		json_t *json;

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = alphabet[test_random(sizeof(alphabet))];
		send_bytes(bytes, 1 + test_random(sizeof(bytes)));
		fill(&chan);
		while ((json = mlimg_chan_next(&chan)))
			json_decref(json);
	}
	send_text("\n{\"n\": 1}\n");
	fill(&chan);
	expect(&chan, 1);
	mlimg_chan_close(&chan);
}

TEST(the_other_end_closes)
{
	struct mlimg_chan chan = pair();
	json_t *json;

	send_text("{\"n\": 1}\n{\"n\"");
	close(peer);
	fill(&chan);
	expect(&chan, 1);
	ASSERT_EQ(mlimg_chan_fill(&chan), -EPIPE);
	ASSERT_EQ(mlimg_chan_wait(&chan, mlimg_now_ms() + 60000, &json), -EPIPE);
	ASSERT_EQ(mlimg_chan_request(&chan, "guest-ping", NULL, NULL), -EPIPE);
	mlimg_chan_close(&chan);
}

TEST(who_does_not_read_is_not_waited_for)
{
	struct mlimg_chan chan = pair();
	int ret = 0;

	for (int i = 0; i < 1000000 && ret == 0; i++)
		ret = mlimg_chan_request(&chan, "guest-ping", NULL, NULL);
	ASSERT_EQ(ret, -EAGAIN);
	mlimg_chan_close(&chan);
}

/* A request as the other end sees it. */
static json_t *read_request(void)
{
	char line[512];
	size_t n = 0;
	json_t *json;

	while (n < sizeof(line) && read(peer, line + n, 1) == 1 && line[n] != '\n')
		n++;
	json = json_loadb(line, n, 0, NULL);
	ASSERT(json);
	return json;
}

TEST(requests_are_what_the_protocol_says)
{
	struct mlimg_chan chan = pair();
	char *text;
	json_t *request;

	ASSERT_EQ(mlimg_chan_request(&chan, "guest-sync", json_pack("{s:i}", "id", 5), NULL), 0);
	request = read_request();
	text = json_dumps(request, JSON_COMPACT);
	ASSERT_STR(text, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":5},\"id\":1}");
	json_decref(request);
	free(text);
	mlimg_chan_close(&chan);
}

TEST(a_call_takes_its_own_answer_only)
{
	struct mlimg_chan chan = pair();
	struct mlimg_err err = MLIMG_ERR_INIT;
	json_t *answer = NULL;

	/* The first request of a channel has id 1; what is not its answer comes before. */
	send_text(
		"{\"event\": \"boot-stage\", \"data\": {}}\nnoise\n{\"return\": 3, \"id\": \"1\"}\n"
		"{\"return\": 4, \"id\": 7}\n{\"return\": 5}\n{\"return\": 6, \"id\": 1}\n");
	ASSERT_OK(mlimg_chan_call(&chan, "x", mlimg_now_ms() + 60000, &answer, &err), err);
	ASSERT_EQ(json_integer_value(answer), 6);
	json_decref(answer);
	send_text("{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no command 'y'\"}, "
		  "\"id\": 2}\n");
	ASSERT_FAILS(mlimg_chan_call(&chan, "y", mlimg_now_ms() + 60000, &answer, &err), err, -EIO,
		"'y' fails: no command 'y'");
	send_text("{\"error\": 7, \"id\": 3}\n");
	ASSERT_FAILS(mlimg_chan_call(&chan, "z", mlimg_now_ms() + 60000, &answer, &err), err, -EIO,
		"'z' fails: no reason given");
	ASSERT_FAILS(mlimg_chan_call(&chan, "w", mlimg_now_ms() + 20, &answer, &err), err,
		-ETIMEDOUT, "'w' is not answered: Connection timed out");
	mlimg_chan_close(&chan);
}

/* A request with 0xFF before it. */
static json_t *read_resync(void)
{
	unsigned char byte = 0;

	ASSERT(read(peer, &byte, 1) == 1);
	ASSERT_EQ(byte, 0xff);
	return read_request();
}

/* Loses one guest-sync-delimited, then answers one after what a former client left; ends. */
static void answer_sync(void)
{
	json_t *lost = read_resync(), *request = read_resync();
	json_int_t mark =
		json_integer_value(json_object_get(json_object_get(request, "arguments"), "id"));
	json_int_t id = json_integer_value(json_object_get(request, "id"));
	char text[256];

	ASSERT_STR(json_string_value(json_object_get(request, "execute")), "guest-sync-delimited");
	snprintf(text, sizeof(text),
		"{\"return\": {}, \"id\": 1}\n{\"return\": 1, \"id\": %lld}\n{\"return\": "
		"{\"half\xff{\"return\": %lld, \"id\": %lld}\n",
		(long long)id, (long long)mark, (long long)id);
	send_text(text);
	json_decref(request);
	json_decref(lost);
}

TEST(sync_is_repeated_and_leaves_a_former_conversation_behind)
{
	struct mlimg_chan chan = pair();
	struct mlimg_err err = MLIMG_ERR_INIT;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		answer_sync();
		exit(0);
	}
	ASSERT_OK(mlimg_agent_sync(&chan, mlimg_now_ms() + 60000, &err), err);
	ASSERT(waitpid(pid, &status, 0) == pid && status == 0);
	ASSERT_FAILS(mlimg_agent_sync(&chan, mlimg_now_ms() + 20, &err), err, -ETIMEDOUT,
		"'guest-sync-delimited' is not answered: Connection timed out");
	mlimg_chan_close(&chan);
}

TEST(qmp_greeting)
{
	struct mlimg_chan chan = pair();
	struct mlimg_err err = MLIMG_ERR_INIT;

	send_text("{\"QMP\": {}}\n{\"return\": {}, \"id\": 1}\n");
	ASSERT_OK(mlimg_qmp_greet(&chan, mlimg_now_ms() + 60000, &err), err);
	send_text("{\"hello\": {}}\n");
	ASSERT_FAILS(mlimg_qmp_greet(&chan, mlimg_now_ms() + 60000, &err), err, -EIO,
		"QEMU's monitor greets strangely");
	mlimg_chan_close(&chan);
}

static bool tell(struct mlimg_watch *watch, const char *text)
{
	json_t *json = json_loads(text, 0, NULL);
	bool is_stage;

	ASSERT(json);
	is_stage = mlimg_watch_message(watch, json);
	json_decref(json);
	return is_stage;
}

static void describes(const struct mlimg_watch *watch, int64_t console_bytes, const char *expected)
{
	char text[1024];

	mlimg_watch_describe(watch, console_bytes, text, sizeof(text));
	ASSERT_STR(text, expected);
}

#define STAGE(NAME, DETAIL)                                                                     \
	"{\"event\": \"boot-stage\", \"data\": {\"stage\": \"" NAME "\", \"detail\": \"" DETAIL \
	"\"}}"

TEST(watch_how_far_a_boot_came)
{
	struct mlimg_watch watch = {0};

	describes(&watch, 0, "the kernel printed nothing");
	describes(&watch, 100, "it did not reach mlimg's part of the initramfs");
	describes(&watch, -1, "it did not reach mlimg's part of the initramfs");
	ASSERT(tell(&watch, STAGE("initramfs", "")));
	describes(&watch, 100, "it came as far as stage 'initramfs'");
	ASSERT(tell(&watch, STAGE("disks", "waiting for 2 of 3 disks")));
	describes(&watch, 100, "it came as far as stage 'disks' (waiting for 2 of 3 disks)");
	ASSERT(tell(&watch, STAGE("switch-root", "")));
	describes(&watch, 100, "the root was switched to, but its agent does not answer");
	ASSERT(!tell(&watch, "{\"return\": {}, \"id\": 1}"));
	describes(&watch, 100, "the agent answers, but does not tell its status");
	ASSERT(!tell(&watch,
		"{\"return\": {\"default_target_reached\": false, \"system_state\": \"starting\", "
		"\"failed_units\": [\"a.service\", 7, \"b.service\"]}, \"id\": 2}"));
	describes(&watch, 100,
		"the default target is not reached (system state 'starting'; failed units: "
		"a.service, "
		"b.service)");
	ASSERT_EQ(watch.state, MLIMG_BOOT_WAITING);
	ASSERT(!tell(&watch, "{\"return\": {\"default_target_reached\": true}, \"id\": 3}"));
	ASSERT_EQ(watch.state, MLIMG_BOOT_UP);
	/* It stays so, whatever comes. */
	ASSERT(!tell(&watch, STAGE("failed", "late")));
	ASSERT_EQ(watch.state, MLIMG_BOOT_UP);
	mlimg_watch_done(&watch);
}

TEST(watch_failed_boot)
{
	struct mlimg_watch watch = {0};

	ASSERT(tell(&watch, STAGE("failed", "system layer aaaa: disk is missing")));
	ASSERT_EQ(watch.state, MLIMG_BOOT_FAILED);
	ASSERT_STR(watch.detail, "system layer aaaa: disk is missing");
	ASSERT(!mlimg_watch_ask(&watch, 1000000));
	mlimg_watch_done(&watch);
}

TEST(watch_ignores_what_makes_no_sense)
{
	struct mlimg_watch watch = {0};

	ASSERT(!tell(&watch, "{}"));
	ASSERT(!tell(&watch, "{\"event\": \"other\", \"data\": {\"stage\": \"disks\"}}"));
	ASSERT(!tell(&watch, "{\"event\": \"boot-stage\"}"));
	ASSERT(!tell(&watch, "{\"event\": \"boot-stage\", \"data\": []}"));
	ASSERT(!tell(&watch, "{\"event\": \"boot-stage\", \"data\": {\"stage\": 7}}"));
	ASSERT(!tell(&watch, "{\"event\": {\"x\": 1}, \"data\": {\"stage\": \"failed\"}}"));
	ASSERT(!tell(&watch, "{\"error\": {\"class\": \"Busy\"}, \"id\": 1}"));
	ASSERT(!tell(&watch, "{\"return\": 7, \"id\": 1}"));
	describes(&watch, 0, "the kernel printed nothing");
	ASSERT(!tell(&watch, "{\"return\": {\"default_target_reached\": \"true\"}, \"id\": 2}"));
	ASSERT_EQ(watch.state, MLIMG_BOOT_WAITING);
	mlimg_watch_done(&watch);
}

TEST(watch_long_texts_are_cut)
{
	struct mlimg_watch watch = {0};
	char text[8192], units[32];
	json_t *status;

	strcpy(text, "{\"event\": \"boot-stage\", \"data\": {\"stage\": \"disks\", \"detail\": \"");
	memset(text + strlen(text), 'x', 4000);
	strcpy(text + 4000, "\"}}");
	ASSERT(tell(&watch, text));
	ASSERT_EQ(strlen(watch.detail), MLIMG_WATCH_TEXT_SIZE - 1);
	status = json_loads(
		"{\"failed_units\": [\"0123456789\", \"0123456789\", \"0123456789\", \"x\"]}", 0,
		NULL);
	mlimg_status_failed_units(status, units, sizeof(units));
	ASSERT_STR(units, "0123456789, 0123456789, 0123456");
	json_decref(status);
	mlimg_watch_done(&watch);
}

#define DEFAULT_TARGET "{\"event\": \"default-target\", \"data\": {}}"

TEST(watch_asks_again_until_somebody_answers)
{
	struct mlimg_watch watch = {0};

	ASSERT_STR(mlimg_watch_ask(&watch, 5000), "guest-ping");
	ASSERT_STR(mlimg_watch_ask(&watch, 5000 + MLIMG_WATCH_PING_MS - 1), NULL);
	ASSERT_STR(mlimg_watch_ask(&watch, 5000 + MLIMG_WATCH_PING_MS), "guest-ping");
	tell(&watch, "{\"return\": {}, \"id\": 1}");
	/* The status costs processes: not while the default target is on its way. */
	ASSERT_STR(mlimg_watch_ask(&watch, 7000), NULL);
	ASSERT_STR(mlimg_watch_ask(&watch, 7000 + MLIMG_WATCH_STATUS_MS - 1), NULL);
	tell(&watch, DEFAULT_TARGET);
	ASSERT_STR(mlimg_watch_ask(&watch, 7001), "guest-status");
	tell(&watch, "{\"return\": {\"default_target_reached\": true}, \"id\": 2}");
	ASSERT_STR(mlimg_watch_ask(&watch, 9999999), NULL);
	ASSERT_EQ(watch.state, MLIMG_BOOT_UP);
	mlimg_watch_done(&watch);
}

TEST(watch_takes_an_announcement_for_an_answer)
{
	struct mlimg_watch watch = {0};

	ASSERT_STR(mlimg_watch_ask(&watch, 5000), "guest-ping");
	tell(&watch, DEFAULT_TARGET);
	ASSERT_STR(mlimg_watch_ask(&watch, 5001), "guest-status");
	/* The ping's answer comes after it, and delays nothing. */
	tell(&watch, "{\"return\": {}, \"id\": 1}");
	ASSERT_STR(mlimg_watch_ask(&watch, 5001 + MLIMG_WATCH_LOST_MS), "guest-status");
	mlimg_watch_done(&watch);
}

TEST(watch_asks_where_nothing_is_announced)
{
	struct mlimg_watch watch = {0};
	uint64_t now = 5000 + MLIMG_WATCH_STATUS_MS;

	ASSERT_STR(mlimg_watch_ask(&watch, 4000), "guest-ping");
	tell(&watch, "{\"return\": {}, \"id\": 1}");
	ASSERT_STR(mlimg_watch_ask(&watch, 5000), NULL);
	ASSERT_STR(mlimg_watch_ask(&watch, now), "guest-status");
	/* However long the answer takes, and a pause after it. */
	ASSERT_STR(mlimg_watch_ask(&watch, now + MLIMG_WATCH_LOST_MS - 1), NULL);
	tell(&watch, "{\"return\": {\"default_target_reached\": false}, \"id\": 2}");
	ASSERT_STR(mlimg_watch_ask(&watch, 40000), NULL);
	ASSERT_STR(mlimg_watch_ask(&watch, 40000 + MLIMG_WATCH_STATUS_MS), "guest-status");
	/* A question that got lost. */
	now = 40000 + MLIMG_WATCH_STATUS_MS + MLIMG_WATCH_LOST_MS;
	ASSERT_STR(mlimg_watch_ask(&watch, now - 1), NULL);
	ASSERT_STR(mlimg_watch_ask(&watch, now), "guest-status");
	/* The guest has been reset. */
	tell(&watch, STAGE("initramfs", ""));
	ASSERT_STR(mlimg_watch_ask(&watch, 9000), "guest-ping");
	tell(&watch, "{\"return\": {\"default_target_reached\": true}, \"id\": 3}");
	ASSERT_STR(mlimg_watch_ask(&watch, 90000), NULL);
	mlimg_watch_done(&watch);
}
