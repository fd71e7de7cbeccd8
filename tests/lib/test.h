/* SPDX-License-Identifier: MIT */
/**
 * @file test.h
 * Cases of a C test program. Include it once, in the program's only source file:
 *
 *     TEST(adds_up)
 *     {
 *             ASSERT_EQ(1 + 1, 2);
 *     }
 *
 * The program then takes `--list` (names of the cases, one a line), the name of a case (runs it in
 * this process: 0 when it passed, 1 with a message on stderr when not, a signal when it crashed),
 * or nothing (runs all, each in a process of its own).
 */
#ifndef MLIMG_TEST_H
#define MLIMG_TEST_H

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libmlimg/err.h"

struct test_case {
	const char *name;
	void (*fn)(void);
	struct test_case *next;
};

static struct test_case *test_first, **test_end = &test_first;

#define TEST(NAME)                                                           \
	static void test_case_##NAME(void);                                  \
	__attribute__((constructor)) static void test_register_##NAME(void)  \
	{                                                                    \
		static struct test_case c = {#NAME, test_case_##NAME, NULL}; \
                                                                             \
		*test_end = &c;                                              \
		test_end = &c.next;                                          \
	}                                                                    \
	static void test_case_##NAME(void)

#define TEST_UNUSED __attribute__((unused))

/** Fail the case. Runs atexit() handlers, so that temporary directories go away. */
#define FAIL(...)                                               \
	do {                                                    \
		fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
		fprintf(stderr, __VA_ARGS__);                   \
		fputc('\n', stderr);                            \
		exit(1);                                        \
	} while (0)

#define ASSERT(cond)                                 \
	do {                                         \
		if (!(cond))                         \
			FAIL("not true: %s", #cond); \
	} while (0)

/** Equal integers (signed, up to 64 bits). */
#define ASSERT_EQ(a, b)                                                     \
	do {                                                                \
		intmax_t test_a = (intmax_t)(a), test_b = (intmax_t)(b);    \
                                                                            \
		if (test_a != test_b)                                       \
			FAIL("%s == %s: %jd, %jd", #a, #b, test_a, test_b); \
	} while (0)

/** Equal strings; NULL equals NULL only. */
#define ASSERT_STR(a, b)                                                                  \
	do {                                                                              \
		const char *test_a = (a), *test_b = (b);                                  \
                                                                                          \
		if (!test_a || !test_b ? test_a != test_b : strcmp(test_a, test_b) != 0)  \
			FAIL("%s == %s:\n  %s\n  %s", #a, #b, test_a ? test_a : "(null)", \
				test_b ? test_b : "(null)");                              \
	} while (0)

#define ASSERT_MEM(a, b, size)                                                         \
	do {                                                                           \
		if (memcmp((a), (b), (size)) != 0)                                     \
			FAIL("%s and %s differ in %zu bytes", #a, #b, (size_t)(size)); \
	} while (0)

/** A call that returns 0 or more; @p err is a struct mlimg_err that it filled. */
#define ASSERT_OK(call, err)                                           \
	do {                                                           \
		int test_r = (call);                                   \
                                                                       \
		if (test_r < 0)                                        \
			FAIL("%s: %d: %s", #call, test_r, (err).text); \
	} while (0)

/** A call that returns exactly @p code with exactly this message. */
#define ASSERT_FAILS(call, err, errcode, message)                                       \
	do {                                                                            \
		int test_r = (call);                                                    \
                                                                                        \
		if (test_r != (errcode))                                                \
			FAIL("%s: %d instead of %d: %s", #call, test_r, (int)(errcode), \
				(err).text);                                            \
		ASSERT_EQ((err).code, test_r);                                          \
		ASSERT_STR((err).text, (message));                                      \
	} while (0)

static uint64_t test_state;

/** Begin a random test: seed from MLIMG_SEED or the clock, printed so that a failure can be
 * repeated. */
TEST_UNUSED static void test_seed(void)
{
	const char *given = getenv("MLIMG_SEED");
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	test_state = given && *given
		? strtoull(given, NULL, 0)
		: (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	fprintf(stderr, "MLIMG_SEED=%" PRIu64 "\n", test_state);
}

/** The next random number (splitmix64, public domain, Vigna 2015), 0 .. below-1. */
TEST_UNUSED static uint64_t test_random(uint64_t below)
{
	uint64_t z = (test_state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	z ^= z >> 31;
	return z % below;
}

static char test_dir[256];
static pid_t test_dir_owner;

/* By rm, since nftw() does not get to the bottom of trees deeper than PATH_MAX. */
static void test_remove_dir(void)
{
	pid_t pid;

	if (getpid() != test_dir_owner)
		return;
	pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", "--one-file-system", "--", test_dir, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

/** A new directory for this case, removed when the case ends. */
TEST_UNUSED static const char *test_tmpdir(void)
{
	const char *tmp = getenv("TMPDIR");

	if (test_dir_owner == getpid())
		return test_dir;
	snprintf(test_dir, sizeof(test_dir), "%s/mlimg-test.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(test_dir))
		FAIL("mkdtemp %s: %s", test_dir, strerror(errno));
	test_dir_owner = getpid();
	atexit(test_remove_dir);
	return test_dir;
}

static int test_run_apart(const struct test_case *c)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		c->fn();
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		FAIL("fork: %s", strerror(errno));
	printf("%s %s\n", status == 0 ? "ok" : "not ok", c->name);
	return status != 0;
}

int main(int argc, char **argv)
{
	int failed = 0, found = 0;

	for (const struct test_case *c = test_first; c; c = c->next) {
		if (argc == 2 && strcmp(argv[1], "--list") == 0) {
			puts(c->name);
			found++;
		} else if (argc == 1) {
			failed += test_run_apart(c);
			found++;
		} else if (argc == 2 && strcmp(argv[1], c->name) == 0) {
			c->fn();
			found++;
		}
	}
	if (!found)
		FAIL("no such case: %s", argc > 1 ? argv[1] : "(none defined)");
	return failed != 0;
}

#endif
