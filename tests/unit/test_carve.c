/* SPDX-License-Identifier: MIT */
#include "guest-agent/carve.h"

#include "tests/lib/test.h"

static struct mlimg_carve *parse(const char *text)
{
	static struct mlimg_carve carve;

	memset(&carve, 0, sizeof(carve));
	mlimg_carve_parse("x.conf", text, strlen(text), &carve);
	return &carve;
}

TEST(paths_comments_and_empty_lines)
{
	struct mlimg_carve *carve = parse("# first\n\n/var/lib/docker\n/srv\n#/home\n/swap");

	ASSERT_EQ(carve->n_paths, 3);
	ASSERT_STR(carve->paths[0], "var/lib/docker");
	ASSERT_STR(carve->paths[1], "srv");
	ASSERT_STR(carve->paths[2], "swap");
	ASSERT_EQ(carve->n_notes, 0);
}

TEST(the_same_path_twice_is_one)
{
	struct mlimg_carve *carve = parse("/srv\n/srv\n");

	ASSERT_EQ(carve->n_paths, 1);
	ASSERT_EQ(carve->n_notes, 0);
}

static void check_left_out(const char *line, const char *note)
{
	struct mlimg_carve *carve = parse(line);

	ASSERT_EQ(carve->n_paths, 0);
	ASSERT_EQ(carve->n_notes, 1);
	ASSERT_STR(carve->notes[0], note);
}

TEST(lines_that_are_no_paths)
{
	const char *none = "x.conf, line 1: no absolute path of at most 255 plain characters";

	check_left_out("srv", none);
	check_left_out(" /srv", none);
	check_left_out("/srv /home", none);
	check_left_out("/s\xc3\xa4", none);
	check_left_out("/", "x.conf, line 1: '/' has empty parts, \".\" or \"..\"");
	check_left_out("/srv/", "x.conf, line 1: '/srv/' has empty parts, \".\" or \"..\"");
	check_left_out("//srv", "x.conf, line 1: '//srv' has empty parts, \".\" or \"..\"");
	check_left_out(
		"/srv/../etc", "x.conf, line 1: '/srv/../etc' has empty parts, \".\" or \"..\"");
	check_left_out("/./srv", "x.conf, line 1: '/./srv' has empty parts, \".\" or \"..\"");
}

TEST(names_that_begin_with_dots)
{
	struct mlimg_carve *carve = parse("/srv/...\n/srv/.a\n/srv/..b\n");

	ASSERT_EQ(carve->n_paths, 3);
}

TEST(what_is_not_to_be_carved_out)
{
	check_left_out("/run/x", "x.conf, line 1: '/run/x' is not to be carved out");
	check_left_out("/proc", "x.conf, line 1: '/proc' is not to be carved out");
	check_left_out("/etc", "x.conf, line 1: '/etc' is not to be carved out");
	check_left_out("/etc/mlimg/x", "x.conf, line 1: '/etc/mlimg/x' is not to be carved out");
	ASSERT_EQ(parse("/runner\n/etc/x\n")->n_paths, 2);
}

TEST(carve_outs_within_each_other)
{
	struct mlimg_carve *carve = parse("/srv/a\n/srv\n/srv/a/b\n/srv/ab\n");

	ASSERT_EQ(carve->n_paths, 2);
	ASSERT_STR(carve->paths[1], "srv/ab");
	ASSERT_EQ(carve->n_notes, 2);
	ASSERT_STR(carve->notes[0], "x.conf, line 2: '/srv' and '/srv/a' lie in each other");
	ASSERT_STR(carve->notes[1], "x.conf, line 3: '/srv/a/b' and '/srv/a' lie in each other");
}

TEST(a_line_that_is_too_long_and_bytes_that_are_zero)
{
	static struct mlimg_carve carve;
	char text[300];

	memset(text, 'a', sizeof(text));
	text[0] = '/';
	text[256] = '\n';
	mlimg_carve_parse("x.conf", text, 257, &carve);
	ASSERT_EQ(carve.n_paths, 1);
	ASSERT_EQ(strlen(carve.paths[0]), 255);
	memset(&carve, 0, sizeof(carve));
	text[256] = 'a';
	mlimg_carve_parse("x.conf", text, 257, &carve);
	ASSERT_EQ(carve.n_paths, 0);
	ASSERT_EQ(carve.n_notes, 1);
	memset(&carve, 0, sizeof(carve));
	mlimg_carve_parse("x.conf", "/srv\0/x\n", 8, &carve);
	ASSERT_EQ(carve.n_paths, 0);
	ASSERT_EQ(carve.n_notes, 1);
}

TEST(so_many_and_no_more)
{
	static char text[MLIMG_CARVE_MAX * 16 + 64];
	size_t len = 0;

	for (int i = 0; i <= MLIMG_CARVE_MAX; i++)
		len += (size_t)sprintf(text + len, "/srv/%d\n", i);
	ASSERT_EQ(parse(text)->n_paths, MLIMG_CARVE_MAX);
	ASSERT_STR(parse(text)->notes[0], "x.conf, line 65: more than 64 carve-outs");
}
