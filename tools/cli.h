/* SPDX-License-Identifier: MIT */
/**
 * @file cli.h
 * What the host's programs have in common on the command line: options, sizes, messages, exit
 * codes. Output files are outfile.h's, progress bars progress.h's.
 *
 * A program's main looks like this:
 *
 *     while ((opt = mlimg_cli_getopt(PROG, argc, argv, "h", options)) != -1)
 *             switch (opt) {
 *             case 'h': return mlimg_cli_help(PROG, help_text);
 *             case '?': return MLIMG_EXIT_USAGE;      the one line has been printed
 *     ...
 *     if (build(&options, &err) < 0)
 *             return mlimg_cli_fail(PROG, &err);
 *     return mlimg_cli_close_stdout(PROG);
 */
#ifndef MLIMG_TOOLS_CLI_H
#define MLIMG_TOOLS_CLI_H

#include <getopt.h>
#include <stdint.h>
#include <stdio.h>

#include "libmlimg/err.h"

/** Exit codes of all programs. */
enum mlimg_exit {
	MLIMG_EXIT_DONE = 0,
	MLIMG_EXIT_FAILED = 1,
	MLIMG_EXIT_USAGE = 2,
	MLIMG_EXIT_REFUSED = 3, /**< an image is damaged, foreign or incompatible */
};

#define MLIMG_CLI_TIME_TEXT 24 /**< bytes that mlimg_cli_format_time() needs at most */
#define MLIMG_CLI_SIZE_TEXT 16 /**< bytes that mlimg_cli_format_size() needs at most */

/**
 * getopt_long(3) that reports each mistake itself, with exactly one specific line and the pointer
 * to --help: an unknown option, an ambiguous abbreviation, a missing argument, an argument where
 * none is taken.
 *
 * @param prog    name of the program, for the message
 * @param argc    as in main()
 * @param argv    as in main(); permuted as getopt_long(3) does unless @p shorts begins with '+'
 * @param shorts  as for getopt_long(3), without the ':' in front
 * @param longs   as for getopt_long(3); `flag` must be NULL
 * @return        the option's value, -1 at the end, '?' when a mistake has been reported
 */
int mlimg_cli_getopt(
	const char *prog, int argc, char **argv, const char *shorts, const struct option *longs);

/**
 * Report wrong usage on stderr: "PROG: message", then "Try 'PROG --help' for more information."
 *
 * @param prog  name of the program
 * @param fmt   printf format: one specific line, without newline
 * @return      MLIMG_EXIT_USAGE
 */
int mlimg_cli_usage(const char *prog, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * Print an error as "PROG: message" on stderr. What could steer a terminal (control characters,
 * bytes that are no UTF-8) is printed as a backslash and three octal digits, since names in
 * messages may come from a stranger.
 *
 * @param prog  name of the program
 * @param err   a set error
 * @return      the exit code for it; MLIMG_ERR_USAGE prints the pointer to --help too
 */
int mlimg_cli_fail(const char *prog, const struct mlimg_err *err);

/** Print "PROG: warning: message" on stderr, made safe for a terminal as mlimg_cli_fail() does. */
void mlimg_cli_warn(const char *prog, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Print @p text on stdout. @return the exit code: a failure to write is one */
int mlimg_cli_help(const char *prog, const char *text);

/** Print "PROG (mlimg) VERSION" on stdout. @return the exit code */
int mlimg_cli_version(const char *prog);

/**
 * Flush stdout and report what could not be written (a full disk shows itself only here). To be
 * called last.
 *
 * @param prog  name of the program
 * @return      MLIMG_EXIT_DONE, or MLIMG_EXIT_FAILED with a message printed
 */
int mlimg_cli_close_stdout(const char *prog);

/**
 * Read a size: decimal digits and at most one of K M G T (either case), which are powers of 1024.
 *
 * @param text       what the user gave
 * @param ret_bytes  the size
 * @param err        of kind MLIMG_ERR_USAGE: "'5X' is not a size (...)" or that it is too large
 * @return           0, -EINVAL
 */
int mlimg_cli_size(const char *text, uint64_t *ret_bytes, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return @p one where there is one of them, else @p many */
static inline const char *mlimg_cli_noun(uint64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

/**
 * Read a whole decimal number.
 *
 * @param text        what the user gave
 * @param min         the least that is taken
 * @param max         the greatest that is taken
 * @param ret_number  the number
 * @param err         of kind MLIMG_ERR_USAGE: "'x' is not a number from MIN to MAX"
 * @return            0, -EINVAL
 */
int mlimg_cli_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_number,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * A size for people: "17 B", "4.0 KiB", "1.5 GiB"; one decimal below 100, none above.
 *
 * @param bytes     the size
 * @param ret_text  the text
 * @return          @p ret_text
 */
const char *mlimg_cli_format_size(uint64_t bytes, char ret_text[MLIMG_CLI_SIZE_TEXT]);

/**
 * A time for tables: "2026-11-22 08:00:00", in UTC; "?" where the calendar ends.
 *
 * @param time_s    seconds since 1970
 * @param ret_text  the text
 * @return          @p ret_text
 */
const char *mlimg_cli_format_time(int64_t time_s, char ret_text[MLIMG_CLI_TIME_TEXT]);

/**
 * Print @p text so that it cannot steer a terminal (see mlimg_cli_fail()).
 *
 * @param f     where to
 * @param text  anything
 */
void mlimg_cli_put_safe(FILE *f, const char *text);

#endif
