/* SPDX-License-Identifier: MIT */
#include "guest-agent/line.h"
#include "guest-agent/protocol.h"
#include "tests/lib/test.h"

/* Lines as they end, joined with '|'; "(too long)" for one that was. */
struct collected {
	char text[1024];
	int stop_after; /* lines; -1: never */
	size_t last_size;
};

static bool collect(const char *text, size_t size, void *ctx)
{
	struct collected *c = ctx;

	c->last_size = size;
	if (!text)
		strcat(c->text, "(too long)");
	else
		strncat(c->text, text, size < 20 ? size : 20);
	strcat(c->text, "|");
	return c->stop_after < 0 || c->stop_after-- > 1;
}

static void check_lines(const char *data, size_t size, size_t piece, const char *expected)
{
	static struct mlimg_line line;
	struct collected c = {.stop_after = -1};

	mlimg_line_reset(&line);
	for (size_t at = 0; at < size; at += piece)
		mlimg_line_feed(
			&line, data + at, size - at < piece ? size - at : piece, collect, &c);
	ASSERT_STR(c.text, expected);
}

TEST(lines_come_in_pieces_of_any_size)
{
	static const char data[] = "one\n\ntwo\xffthree\nfour\n\xff\xff"
				   "five\nsix";

	for (size_t piece = 1; piece <= sizeof(data); piece++)
		check_lines(data, sizeof(data) - 1, piece, "one||three|four|five|");
}

TEST(a_line_of_65536_bytes_is_taken_one_byte_more_is_not)
{
	static char data[2 * MLIMG_LINE_MAX];
	static struct mlimg_line line;
	struct collected c = {.stop_after = -1};

	memset(data, 'x', sizeof(data));
	data[MLIMG_LINE_MAX - 1] = '\n';
	mlimg_line_feed(&line, data, MLIMG_LINE_MAX, collect, &c);
	ASSERT_EQ(c.last_size, MLIMG_LINE_MAX - 1);
	ASSERT_STR(c.text, "xxxxxxxxxxxxxxxxxxxx|");
	data[MLIMG_LINE_MAX - 1] = 'x';
	data[MLIMG_LINE_MAX] = '\n';
	c.text[0] = '\0';
	mlimg_line_feed(&line, data, MLIMG_LINE_MAX + 1, collect, &c);
	mlimg_line_feed(&line, "next\n", 5, collect, &c);
	ASSERT_STR(c.text, "(too long)|next|");
}

TEST(a_line_without_end_is_forgotten_at_0xff)
{
	static struct mlimg_line line;
	struct collected c = {.stop_after = -1};

	for (int i = 0; i < 100000; i++)
		mlimg_line_feed(&line, "0123456789", 10, collect, &c);
	ASSERT_STR(c.text, "");
	mlimg_line_feed(&line,
		"\xff"
		"a\n",
		3, collect, &c);
	ASSERT_STR(c.text, "a|");
}

TEST(a_receiver_that_stops_gets_no_more)
{
	static struct mlimg_line line;
	struct collected c = {.stop_after = 2};

	mlimg_line_feed(&line, "1\n2\n3\n4\nx", 9, collect, &c);
	ASSERT_STR(c.text, "1|2|");
	ASSERT_EQ(line.size, 0);
}

static char *answer_to(
	enum mlimg_who who, const char *request, size_t request_size, size_t *ret_size)
{
	static struct mlimg_agent agent = {.run_dir = "/nonexistent", .freeze_fd = -1};
	struct mlimg_call call = {.agent = &agent, .who = who};
	char *line = NULL;

	if (mlimg_call_read(&call, request, request_size))
		line = mlimg_call_answer(&call, ret_size);
	mlimg_call_done(&call);
	return line;
}

static void check_answer_to(enum mlimg_who who, const char *request, const char *expected)
{
	size_t size = 0;
	char *line = answer_to(who, request, strlen(request), &size), *text;

	if (!expected) {
		ASSERT(!line);
		return;
	}
	ASSERT(line && line[size - 1] == '\n');
	text = strndup(line, size - 1);
	ASSERT_STR(text, expected);
	free(text);
	free(line);
}

static void check_answer(const char *request, const char *expected)
{
	check_answer_to(MLIMG_WHO_HOST, request, expected);
}

TEST(id_of_every_type_is_echoed)
{
	static const char *const ids[] = {"7", "-1", "9223372036854775807", "1.5",
		"\"x\\n\xc3\xa4\"", "true", "false", "null", "[]", "[1,[2,{\"a\":null}]]", "{}",
		"{\"execute\":\"guest-info\"}"};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		char request[200], expected[200];

		sprintf(request, "{\"id\":%s,\"execute\":\"guest-ping\"}", ids[i]);
		sprintf(expected, "{\"return\":{},\"id\":%s}", ids[i]);
		check_answer(request, expected);
		sprintf(request, "{\"execute\":\"x\",\"id\":%s}", ids[i]);
		sprintf(expected,
			"{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"no command "
			"'x'\"},\"id\":%s}",
			ids[i]);
		check_answer(request, expected);
	}
}

#define MALFORMED(desc) "{\"error\":{\"class\":\"MalformedRequest\",\"desc\":\"" desc "\"}}"
#define PARAMETER(desc) "{\"error\":{\"class\":\"InvalidParameter\",\"desc\":\"" desc "\"}}"

TEST(malformed_requests)
{
	check_answer("x", MALFORMED("request: line 1: '[' or '{' expected near 'x'"));
	check_answer("{}", MALFORMED("the member 'execute' is missing or no string"));
	check_answer("{\"execute\":1}", MALFORMED("the member 'execute' is missing or no string"));
	check_answer("[]", MALFORMED("request: no object"));
	check_answer("3", MALFORMED("request: line 1: '[' or '{' expected near '3'"));
	check_answer("{\"execute\":\"guest-ping\"} {}",
		MALFORMED("request: line 1: end of file expected near '{'"));
	check_answer("{\"execute\":\"guest-ping\",\"execute\":\"guest-ping\"}",
		MALFORMED("request: line 1: duplicate object key near '\\\"execute\\\"'"));
	check_answer("{\"execute\":\"guest-ping\",\"exec\":1}", MALFORMED("unknown member 'exec'"));
	check_answer("{\"execute\":\"\xc3\x28\"}",
		MALFORMED("request: line 1: unable to decode byte 0xc3 near '\\\"'"));
	check_answer("{\"execute\":\"a\\u0000b\"}",
		MALFORMED("request: line 1: \\\\u0000 is not allowed without JSON_ALLOW_NUL "
			  "near "
			  "'\\\"a\\\\u0000b\\\"'"));
	check_answer("{\"execute\":\"guest-ping\",\"id\":9223372036854775808}",
		MALFORMED("request: line 1: too big integer near '9223372036854775808'"));
}

TEST(empty_lines_have_no_answer)
{
	check_answer("", NULL);
	check_answer(" \t\r", NULL);
}

TEST(arguments)
{
	check_answer("{\"execute\":\"guest-ping\",\"arguments\":{}}", "{\"return\":{}}");
	check_answer("{\"execute\":\"guest-ping\",\"arguments\":[]}",
		PARAMETER("'arguments' is not an object"));
	check_answer("{\"execute\":\"guest-ping\",\"arguments\":null}",
		PARAMETER("'arguments' is not an object"));
	check_answer("{\"execute\":\"guest-ping\",\"arguments\":{\"x\":1}}",
		PARAMETER("guest-ping takes no argument 'x'"));
	check_answer("{\"execute\":\"guest-sync\",\"arguments\":{\"id\":-5}}", "{\"return\":-5}");
	check_answer("{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":5}}",
		"\xff{\"return\":5}");
	check_answer("{\"execute\":\"guest-sync\"}",
		PARAMETER("guest-sync needs the argument 'id', an integer"));
	check_answer("{\"execute\":\"guest-sync\",\"arguments\":{\"id\":\"5\"}}",
		PARAMETER("guest-sync needs the argument 'id', an integer"));
	check_answer("{\"execute\":\"guest-sync\",\"arguments\":{\"id\":5,\"to\":6}}",
		PARAMETER("guest-sync takes no argument 'to'"));
}

TEST(arguments_are_as_the_table_says)
{
	check_answer("{\"execute\":\"guest-shutdown\",\"arguments\":{\"mode\":\"dance\"}}",
		PARAMETER("guest-shutdown: the argument 'mode' is one of: powerdown reboot halt"));
	check_answer("{\"execute\":\"guest-shutdown\",\"arguments\":{\"mode\":\"boot\"}}",
		PARAMETER("guest-shutdown: the argument 'mode' is one of: powerdown reboot halt"));
	check_answer("{\"execute\":\"guest-shutdown\",\"arguments\":{\"mode\":\"reboot halt\"}}",
		PARAMETER("guest-shutdown: the argument 'mode' is one of: powerdown reboot halt"));
	check_answer("{\"execute\":\"guest-shutdown\",\"arguments\":{\"mode\":1}}",
		PARAMETER("guest-shutdown: the argument 'mode' is one of: powerdown reboot halt"));
	check_answer("{\"execute\":\"guest-fsfreeze-freeze\",\"arguments\":{\"timeout-ms\":60001}}",
		PARAMETER("guest-fsfreeze-freeze: 'timeout-ms' is 60001, not within 1 and 60000"));
	check_answer("{\"execute\":\"guest-fsfreeze-freeze\",\"arguments\":{\"timeout-ms\":0}}",
		PARAMETER("guest-fsfreeze-freeze: 'timeout-ms' is 0, not within 1 and 60000"));
	check_answer("{\"execute\":\"guest-fsfreeze-freeze\",\"arguments\":{\"timeout-ms\":\"1\"}}",
		PARAMETER("guest-fsfreeze-freeze takes the argument 'timeout-ms', an integer"));
	check_answer("{\"execute\":\"guest-set-time\",\"arguments\":{\"time\":-1}}",
		PARAMETER("guest-set-time: 'time' is -1, not within 0 and 9223372036854775807"));
}

#define DENIED(desc) "{\"error\":{\"class\":\"PermissionDenied\",\"desc\":\"" desc "\"}}"

TEST(who_may)
{
	check_answer_to(MLIMG_WHO_ROOT, "{\"execute\":\"guest-shutdown\"}",
		DENIED("guest-shutdown is not for the guest"));
	check_answer_to(MLIMG_WHO_USER, "{\"execute\":\"guest-set-time\"}",
		DENIED("guest-set-time is not for users other than root"));
	check_answer_to(MLIMG_WHO_USER, "{\"execute\":\"guest-fsfreeze-freeze\"}",
		DENIED("guest-fsfreeze-freeze is not for users other than root"));
	check_answer_to(MLIMG_WHO_USER, "{\"execute\":\"mlimg-health\"}",
		DENIED("mlimg-health is not for users other than root"));
	check_answer_to(MLIMG_WHO_USER, "{\"execute\":\"mlimg-report\"}",
		DENIED("mlimg-report is not for users other than root"));
	check_answer("{\"execute\":\"mlimg-view\"}", DENIED("mlimg-view is not for the host"));
	check_answer_to(MLIMG_WHO_USER, "{\"execute\":\"guest-ping\"}", "{\"return\":{}}");
}

TEST(an_id_that_is_too_long_is_not_echoed)
{
	static char request[MLIMG_ID_MAX + 100], expected[MLIMG_ID_MAX + 100], id[MLIMG_ID_MAX + 1];

	memset(id, 'x', MLIMG_ID_MAX);
	sprintf(request, "{\"execute\":\"guest-ping\",\"id\":\"%s\"}", id + 2);
	sprintf(expected, "{\"return\":{},\"id\":\"%s\"}", id + 2);
	check_answer(request, expected);
	sprintf(request, "{\"execute\":\"guest-ping\",\"id\":\"%s\"}", id + 1);
	check_answer(request, PARAMETER("the member 'id' is longer than 4096 bytes"));
}

/* The request itself is the first level; brackets within strings are none. */
static void check_depth(int depth, bool in_string, const char *expected_start)
{
	char request[400] = "{\"execute\":\"guest-ping\",\"id\":", *line;
	size_t size;

	strcat(request, in_string ? "\"\\\"" : "");
	for (int i = 1; i < depth; i++)
		strcat(request, "[");
	for (int i = 1; i < depth && !in_string; i++)
		strcat(request, "]");
	strcat(request, in_string ? "\"}" : "}");
	line = answer_to(MLIMG_WHO_HOST, request, strlen(request), &size);
	ASSERT(line);
	if (strncmp(line, expected_start, strlen(expected_start)) != 0)
		FAIL("depth %d: %.*s", depth, (int)size, line);
	free(line);
}

TEST(nesting_is_limited)
{
	check_depth(32, false, "{\"return\":");
	check_depth(33, false, MALFORMED("request: nested too deep"));
	check_depth(99, false, MALFORMED("request: nested too deep"));
	check_depth(99, true, "{\"return\":");
}

TEST(a_long_name_is_cut_and_stays_utf8)
{
	char request[200] = "{\"execute\":\"",
	     expected[300] = "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"no command '";

	for (int i = 0; i < 40; i++)
		strcat(request, i ? "\xc3\xa4" : "a");
	strcat(request, "\"}");
	strcat(expected, "a");
	for (int i = 0; i < 31; i++)
		strcat(expected, "\xc3\xa4");
	strcat(expected, "?'\"}}");
	check_answer(request, expected);
}

TEST(a_line_that_was_too_long)
{
	size_t size;
	char *line = answer_to(MLIMG_WHO_HOST, NULL, 0, &size);

	ASSERT(line);
	line[size - 1] = '\0';
	ASSERT_STR(line,
		"{\"error\":{\"class\":\"RequestTooLong\",\"desc\":"
		"\"the request is longer than 65536 bytes\"}}");
	free(line);
}
