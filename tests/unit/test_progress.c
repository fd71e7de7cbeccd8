/* SPDX-License-Identifier: MIT */
/* The progress bar, on a terminal of the test's own, and how much there is to read. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "tests/lib/test.h"
#include "tools/estimate.h"

#define MIB UINT64_C(1048576)

static char shown[1024];

/* What is drawn after @elapsed_ms by a bar that is at @done_bytes; in "shown". */
static void draw(uint64_t total_bytes, uint64_t done_bytes, uint64_t elapsed_ms)
{
	int terminal = posix_openpt(O_RDWR | O_NOCTTY), slave, saved = dup(STDERR_FILENO);
	struct mlimg_progress p;
	size_t used = 0;
	ssize_t n;

	ASSERT(terminal >= 0 && saved >= 0);
	ASSERT_EQ(grantpt(terminal), 0);
	ASSERT_EQ(unlockpt(terminal), 0);
	slave = open(ptsname(terminal), O_RDWR | O_NOCTTY);
	ASSERT(slave >= 0);
	ASSERT_EQ(dup2(slave, STDERR_FILENO), STDERR_FILENO);
	mlimg_progress_init(&p, "reading", total_bytes);
	p.start_ms -= elapsed_ms;
	mlimg_progress_update(&p, done_bytes);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(slave);
	/* It may come in parts, and ends with EIO when nobody has the other side any more. */
	while ((n = read(terminal, shown + used, sizeof(shown) - 1 - used)) > 0)
		used += (size_t)n;
	ASSERT(n < 0 && errno == EIO);
	shown[used] = '\0';
	close(terminal);
}

/* An hour, so that a slow machine's milliseconds do not show. */
TEST(bar_rate_and_remaining_time)
{
	draw(14400 * MIB, 3600 * MIB, 3600000);
	ASSERT_STR(
		shown, "\r\033[Kreading [######                  ]  25% 1.0 MiB/s, 10800 s left");
}

TEST(without_a_total)
{
	draw(0, 3600 * MIB, 3600000);
	ASSERT_STR(shown, "\r\033[Kreading: 3.5 GiB, 1.0 MiB/s");
}

TEST(more_than_was_expected)
{
	draw(100 * MIB, 3600 * MIB, 3600000);
	ASSERT_STR(shown, "\r\033[Kreading [########################] 100% 1.0 MiB/s");
}

TEST(not_in_the_first_second)
{
	draw(100 * MIB, 50 * MIB, 0);
	ASSERT_STR(shown, "");
}

static void make_file(const char *path, size_t size)
{
	mlimg_autofree char *bytes = malloc(size);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ASSERT(bytes && fd >= 0);
	memset(bytes, 'x', size);
	ASSERT_EQ(write(fd, bytes, size), (ssize_t)size);
	close(fd);
}

TEST(what_sources_hold)
{
	atomic_bool is_ending = false;

	ASSERT_EQ(chdir(test_tmpdir()), 0);
	ASSERT_EQ(mkdir("d", 0700), 0);
	ASSERT_EQ(mkdir("d/e", 0700), 0);
	make_file("d/a", 1000);
	make_file("d/e/b", 30000);
	ASSERT_EQ(link("d/e/b", "d/c"), 0);
	ASSERT_EQ(symlink("e/b", "d/link"), 0);
	ASSERT_EQ(mkfifo("fifo", 0600), 0);
	ASSERT_EQ(mlimg_estimate_source("d", &is_ending), 31000);
	ASSERT_EQ(mlimg_estimate_source("d/a", &is_ending), 1000);
	ASSERT_EQ(mlimg_estimate_source("fifo", &is_ending), 0);
	ASSERT_EQ(mlimg_estimate_source("-", &is_ending), 0);
	ASSERT_EQ(mlimg_estimate_source("none", &is_ending), 0);
	is_ending = true;
	ASSERT_EQ(mlimg_estimate_source("d", &is_ending), 0);
}

/* The bar's total comes by itself, and only where there is a bar. */
TEST(total_is_found_out_meanwhile)
{
	const struct timespec a_moment = {.tv_nsec = 20000000};
	const char *const paths[] = {"d", "f"};
	struct mlimg_progress p = {.is_tty = false};
	struct mlimg_estimate *e;

	ASSERT_EQ(chdir(test_tmpdir()), 0);
	ASSERT_EQ(mkdir("d", 0700), 0);
	make_file("d/a", 1000);
	make_file("f", 5000);
	ASSERT(!mlimg_estimate_begin(paths, 2, &p));
	p.is_tty = true;
	e = mlimg_estimate_begin(paths, 2, &p);
	ASSERT(e);
	while (p.total_bytes == 0)
		nanosleep(&a_moment, NULL);
	ASSERT_EQ(p.total_bytes, 6000);
	mlimg_estimate_end(e);
	/* What is known of one source only is not the total. */
	unlink("f");
	p.total_bytes = 0;
	e = mlimg_estimate_begin(paths, 2, &p);
	mlimg_estimate_end(e);
	ASSERT_EQ(p.total_bytes, 0);
}
