/* SPDX-License-Identifier: MIT */
/* The numbers of guest-agent/PROTOCOL.md, which is normative, are those of the code. */
#include <fcntl.h>
#include <stdarg.h>

#include "guest-agent/client.h"
#include "guest-agent/daemon.h"
#include "guest-agent/freeze.h"
#include "guest-agent/health.h"
#include "guest-agent/last-report.h"
#include "guest-agent/status.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/json.h"

#include "tests/lib/test.h"

#define PAGE_MAX (1024 * 1024)

static char *read_page(void)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	const char *top = getenv("MLIMG_TOP");
	char path[4096], *text;
	size_t size;

	ASSERT(top != NULL);
	snprintf(path, sizeof(path), "%s/guest-agent/PROTOCOL.md", top);
	if (mlimg_read_file(AT_FDCWD, path, PAGE_MAX, &text, &size, &err) < 0)
		FAIL("%s", err.text);
	return text;
}

/* As people read it: 65,536. Up to eight results are there at the same time. */
static const char *digits(int64_t n)
{
	static char texts[8][32];
	static unsigned next;
	char plain[32], *to = texts[next++ % 8];
	int length = snprintf(plain, sizeof(plain), "%" PRId64, n), k = 0;

	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			to[k++] = ',';
		to[k++] = plain[i];
	}
	to[k] = '\0';
	return to;
}

/* One line of it, however it is broken; what is set off for the eye counts as one space. */
static void join(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		bool is_blank = *from == '\n' || *from == ' ';

		if (is_blank && to > text && to[-1] == ' ')
			continue;
		*to++ = is_blank ? ' ' : *from;
	}
	*to = '\0';
}

static void __attribute__((format(printf, 2, 3))) says(const char *text, const char *fmt, ...)
{
	char wanted[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(wanted, sizeof(wanted), fmt, ap);
	va_end(ap);
	if (!strstr(text, wanted))
		FAIL("the page does not say '%s'", wanted);
}

TEST(limits_of_lines_and_clients)
{
	mlimg_autofree char *page = read_page();

	join(page);
	says(page, "any JSON value of at most %s bytes", digits(MLIMG_ID_MAX));
	says(page, "A request is at most %s bytes, newline included, and nests at most %d deep",
		digits(MLIMG_LINE_MAX), MLIMG_JSON_DEPTH_MAX);
	says(page, "a response at most %u MiB.", MLIMG_RESPONSE_MAX >> 20);
	ASSERT_EQ(MLIMG_RESPONSE_MAX % (1 << 20), 0);
	says(page, "or a piece of %s bytes of a long one, within %d s", digits(MLIMG_PIECE_MAX),
		MLIMG_SEND_TIMEOUT_MS / 1000);
	says(page, "has not found out within %d s is a `Timeout`", MLIMG_JOB_TIMEOUT_MS / 1000);
	says(page, "At most %d clients have the socket at the same time, %d when they are not root",
		MLIMG_CLIENTS_MAX, MLIMG_CLIENTS_MAX - MLIMG_CLIENTS_OF_ROOT);
	says(page, "Who comes less than %d s after another", MLIMG_ABSENT_MS / 1000);
	says(page, "of the port %d s after nobody is at its other end", MLIMG_ABSENT_MS / 1000);
}

TEST(limits_of_commands)
{
	mlimg_autofree char *page = read_page();

	join(page);
	says(page, "integer, 1 to %s; %s without", digits(MLIMG_FREEZE_MAX_MS),
		digits(MLIMG_FREEZE_MS));
	says(page, "at most %d s later where the process", MLIMG_FREEZE_LATE_MS / 1000);
	says(page, "then that is %d s after it was asked for",
		(MLIMG_FREEZE_MAX_MS + MLIMG_FREEZE_LATE_MS) / 1000);
	says(page, "0 to %s, %d without", digits(MLIMG_LAST_REPORT_ENTRIES_MAX),
		MLIMG_LAST_REPORT_ENTRIES);
	says(page, "the first %d, paths escaped", MLIMG_STATUS_PENDING_MAX);
	says(page, "does not answer within %d s", MLIMG_SYSTEMCTL_TIMEOUT_MS / 1000);
	says(page, "at most %d names", MLIMG_FAILED_UNITS_MAX);
	says(page, "each for at most %d s, all of them for at most %d s",
		MLIMG_HEALTH_CHECK_MS / 1000, MLIMG_HEALTH_ALL_MS / 1000);
	says(page, "Of more than %d such names the %dst is told as failed", MLIMG_HEALTH_CHECKS_MAX,
		MLIMG_HEALTH_CHECKS_MAX + 1);
	says(page, "at most %s bytes of its standard output", digits(MLIMG_HEALTH_OUTPUT_SIZE - 1));
}

/* The line of a command in the table. */
static char *row_of(const char *page, const char *name)
{
	char begin[80];
	const char *row;

	snprintf(begin, sizeof(begin), "\n| `%s` |", name);
	row = strstr(page, begin);
	if (!row)
		FAIL("the page has no command '%s'", name);
	return strndup(row + 1, strcspn(row + 1, "\n"));
}

static void check_argument(const char *row, const struct mlimg_argument *a)
{
	mlimg_autofree char *words = strdup(a->words ? a->words : "");

	for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
		says(row, "`\"%s\"`", word);
	if (a->words)
		says(row, "`%s`: `\"", a->name);
	else if (a->max == INT64_MAX)
		says(row, "`%s`: integer%s", a->name, a->min == 0 ? ", nanoseconds" : " |");
	else
		says(row, "`%s`: integer, %s to %s", a->name, digits(a->min), digits(a->max));
	/* What need not be given has a meaning when it is not. */
	if (!a->is_needed && !strstr(row, "without") && !strstr(row, "in place of"))
		FAIL("nothing is said of what is without '%s'", a->name);
}

TEST(arguments_and_flags_of_commands)
{
	mlimg_autofree char *page = read_page();

	for (const struct mlimg_command *c = mlimg_commands; c->name; c++) {
		mlimg_autofree char *row = row_of(page, c->name);

		ASSERT_EQ(strstr(row, "0xFF before the line") != NULL,
			(c->flags & MLIMG_COMMAND_DELIMITED) != 0);
		for (size_t i = 0; i < MLIMG_ARGUMENTS_MAX && c->arguments[i].name; i++)
			check_argument(row, &c->arguments[i]);
		if (!c->arguments[0].name)
			says(row, "| none |");
	}
}
