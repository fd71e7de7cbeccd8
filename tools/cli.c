/* SPDX-License-Identifier: MIT */
#include "tools/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libmlimg/io.h"
#include "libmlimg/printable.h"

void mlimg_cli_put_safe(FILE *f, const char *text)
{
	while (*text) {
		size_t size = mlimg_printable_size(text);

		if (size)
			fwrite(text, 1, size, f);
		else
			fprintf(f, "\\%03o", (unsigned char)*text);
		text += size ? size : 1;
	}
}

static void put_message(const char *prog, const char *text)
{
	fflush(stdout);
	fprintf(stderr, "%s: ", prog);
	mlimg_cli_put_safe(stderr, text);
	fputc('\n', stderr);
}

static void put_hint(const char *prog)
{
	fprintf(stderr, "Try '%s --help' for more information.\n", prog);
}

int mlimg_cli_usage(const char *prog, const char *fmt, ...)
{
	char text[MLIMG_ERR_TEXT_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	put_message(prog, text);
	put_hint(prog);
	return MLIMG_EXIT_USAGE;
}

int mlimg_cli_fail(const char *prog, const struct mlimg_err *err)
{
	put_message(prog, err->text);
	switch (err->kind) {
	case MLIMG_ERR_USAGE: put_hint(prog); return MLIMG_EXIT_USAGE;
	case MLIMG_ERR_REFUSED: return MLIMG_EXIT_REFUSED;
	case MLIMG_ERR_FAILED: break;
	}
	return MLIMG_EXIT_FAILED;
}

void mlimg_cli_warn(const char *prog, const char *fmt, ...)
{
	char text[MLIMG_ERR_TEXT_SIZE] = "warning: ";
	size_t start = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + start, sizeof(text) - start, fmt, ap);
	va_end(ap);
	put_message(prog, text);
}

int mlimg_cli_close_stdout(const char *prog)
{
	bool failed = ferror(stdout);

	errno = 0;
	if (fclose(stdout) == 0 && !failed)
		return MLIMG_EXIT_DONE;
	fprintf(stderr, "%s: write to standard output: %s\n", prog, strerror(errno ? errno : EIO));
	return MLIMG_EXIT_FAILED;
}

int mlimg_cli_help(const char *prog, const char *text)
{
	fputs(text, stdout);
	return mlimg_cli_close_stdout(prog);
}

int mlimg_cli_version(const char *prog)
{
	printf("%s (mlimg) %s\n", prog, MLIMG_VERSION);
	return mlimg_cli_close_stdout(prog);
}

/* How many of the long options begin with the name; an exact match counts alone. */
static int count_matches(const struct option *longs, const char *name, size_t size)
{
	int n = 0;

	for (; longs->name; longs++) {
		if (strncmp(longs->name, name, size) != 0)
			continue;
		if (strlen(longs->name) == size)
			return 1;
		n++;
	}
	return n;
}

/* The word that getopt_long(3) has just stumbled over is argv[optind - 1] for long options only. */
static const char *long_word(char **argv, int argc)
{
	const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";

	return strncmp(word, "--", 2) == 0 ? word : NULL;
}

static void report_mistake(
	const char *prog, int argc, char **argv, const struct option *longs, bool missing)
{
	const char *word = long_word(argc ? argv : NULL, argc);
	int size = word ? (int)strcspn(word, "=") : 0;
	bool is_short = optopt > 0 && optopt < 256 &&
		!(word && count_matches(longs, word + 2, (size_t)size - 2) == 1);

	if (missing && is_short)
		mlimg_cli_usage(prog, "option '-%c' needs an argument", optopt);
	else if (missing)
		mlimg_cli_usage(prog, "option '%.*s' needs an argument", size, word ? word : "");
	else if (is_short)
		mlimg_cli_usage(prog, "unknown option '-%c'", optopt);
	else if (word && count_matches(longs, word + 2, (size_t)size - 2) > 1)
		mlimg_cli_usage(prog, "option '%.*s' is ambiguous", size, word);
	else if (word && word[size] == '=' && optopt)
		mlimg_cli_usage(prog, "option '%.*s' takes no argument", size, word);
	else
		mlimg_cli_usage(prog, "unknown option '%.*s'", size, word ? word : "");
}

int mlimg_cli_getopt(
	const char *prog, int argc, char **argv, const char *shorts, const struct option *longs)
{
	char spec[128];
	bool in_order = shorts[0] == '+';
	int opt;

	/* The ':' in front makes getopt silent and tells a missing argument from an unknown option.
	 */
	snprintf(spec, sizeof(spec), "%s:%s", in_order ? "+" : "", shorts + in_order);
	opt = getopt_long(argc, argv, spec, longs, NULL);
	if (opt != '?' && opt != ':')
		return opt;
	report_mistake(prog, argc, argv, longs, opt == ':');
	return '?';
}

/* Digits at the beginning of text. false: none, or they do not fit. */
static bool read_digits(
	const char *text, uint64_t *ret_number, const char **ret_end, bool *ret_fits)
{
	uint64_t n = 0;

	*ret_fits = true;
	for (*ret_end = text; **ret_end >= '0' && **ret_end <= '9'; ++*ret_end) {
		if (!mlimg_mul_fits(n, 10, &n) ||
			!mlimg_add_fits(n, (uint64_t)(**ret_end - '0'), &n))
			*ret_fits = false;
	}
	*ret_number = n;
	return *ret_end != text;
}

int mlimg_cli_size(const char *text, uint64_t *ret_bytes, struct mlimg_err *err)
{
	static const char units[] = "KkMmGgTt";
	const char *end, *unit = NULL;
	uint64_t n;
	bool fits, is_size = read_digits(text, &n, &end, &fits);

	if (is_size && *end)
		unit = strchr(units, *end);
	if (!is_size || (*end && (!unit || end[1])))
		return mlimg_err_usage(err,
			"'%s' is not a size (a whole number, then K, M, G or T if wanted)", text);
	if (!fits ||
		(unit && !mlimg_mul_fits(n, (uint64_t)1 << (10 * ((unit - units) / 2 + 1)), &n)))
		return mlimg_err_usage(err, "size '%s' is too large", text);
	*ret_bytes = n;
	return 0;
}

int mlimg_cli_number(
	const char *text, uint64_t min, uint64_t max, uint64_t *ret_number, struct mlimg_err *err)
{
	const char *end;
	uint64_t n;
	bool fits;

	if (!read_digits(text, &n, &end, &fits) || *end || !fits || n < min || n > max)
		return mlimg_err_usage(err, "'%s' is not a number from %llu to %llu", text,
			(unsigned long long)min, (unsigned long long)max);
	*ret_number = n;
	return 0;
}

const char *mlimg_cli_format_size(uint64_t bytes, char ret_text[MLIMG_CLI_SIZE_TEXT])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1023.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(ret_text, MLIMG_CLI_SIZE_TEXT, "%.*f %s", unit && value < 99.95 ? 1 : 0, value,
		units[unit]);
	return ret_text;
}

const char *mlimg_cli_format_time(int64_t time_s, char ret_text[MLIMG_CLI_TIME_TEXT])
{
	time_t t = (time_t)time_s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) ||
		!strftime(ret_text, MLIMG_CLI_TIME_TEXT, "%Y-%m-%d %H:%M:%S", &tm))
		strcpy(ret_text, "?");
	return ret_text;
}
