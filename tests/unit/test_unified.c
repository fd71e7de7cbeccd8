/* SPDX-License-Identifier: MIT */
#include "libmlimg/unified.h"

#include "libmlimg/text.h"
#include "tests/lib/test.h"

static char *difference(const char *from, const char *to, int wanted)
{
	struct mlimg_lines a = {.data = from, .size = strlen(from)},
			   b = {.data = to, .size = strlen(to)};
	struct mlimg_text text = {0};

	ASSERT_EQ(mlimg_unified_put(&a, &b, mlimg_text_put, &text), wanted);
	return text.data ? text.data : strdup("");
}

static void check(const char *from, const char *to, const char *wanted)
{
	char *found = difference(from, to, MLIMG_UNIFIED_WRITTEN);

	ASSERT_STR(found, wanted);
	free(found);
}

TEST(equal_texts_have_no_hunks)
{
	check("", "", "");
	check("a\nb\n", "a\nb\n", "");
}

TEST(a_changed_line_has_three_lines_around_it)
{
	check("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n",
		"@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
}

TEST(pieces_six_lines_apart_are_one_hunk_and_seven_are_two)
{
	check("a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n",
		"@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
	check("a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n",
		"@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n");
}

TEST(an_empty_side_is_told_by_the_line_before)
{
	check("", "a\n", "@@ -0,0 +1 @@\n+a\n");
	check("a\nb\n", "", "@@ -1,2 +0,0 @@\n-a\n-b\n");
}

TEST(a_last_line_without_newline_is_marked)
{
	check("a", "a\n", "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n");
	check("x\na", "y\na", "@@ -1,2 +1,2 @@\n-x\n+y\n a\n\\ No newline at end of file\n");
}

TEST(what_is_no_text_and_what_differs_too_much)
{
	struct mlimg_lines a = {.data = "\0", .size = 1}, b = {.data = "b", .size = 1};
	struct mlimg_text text = {0}, x = {0}, y = {0};
	char line[16];

	ASSERT_EQ(mlimg_unified_put(&a, &b, mlimg_text_put, &text), MLIMG_UNIFIED_NO_TEXT);
	ASSERT_EQ(mlimg_unified_put(&b, &a, mlimg_text_put, &text), MLIMG_UNIFIED_NO_TEXT);
	ASSERT_EQ(text.size, 0);
	for (int i = 0; i < MLIMG_LINES_EDITS_MAX; i++) {
		snprintf(line, sizeof(line), "x%d\n", i);
		mlimg_text_put(&x, line, strlen(line));
		line[0] = 'y';
		mlimg_text_put(&y, line, strlen(line));
	}
	free(difference(x.data, y.data, MLIMG_UNIFIED_TOO_MUCH));
	free(x.data);
	free(y.data);
}

static const char *line_end(const char *line)
{
	const char *newline = strchr(line, '\n');

	return newline ? newline + 1 : line + strlen(line);
}

/* Copies lines of the old text up to number @line. */
static const char *copy_to(struct mlimg_text *out, const char *from, int *at, int line)
{
	for (; *at < line; ++*at) {
		const char *end = line_end(from);

		mlimg_text_put(out, from, (size_t)(end - from));
		from = end;
	}
	return from;
}

/* As patch(1) would, but every line must be where the difference says. */
static char *apply(const char *from, const char *difference_text)
{
	struct mlimg_text out = {0};
	bool was_put = false;
	int at = 0;

	mlimg_text_put(&out, "", 0);
	for (const char *line = difference_text, *end; *line; line = end) {
		int begin, n = 1;

		end = line_end(line);
		switch (*line) {
		case '@':
			ASSERT(sscanf(line, "@@ -%d,%d", &begin, &n) >= 1);
			from = copy_to(&out, from, &at, n ? begin - 1 : begin);
			break;
		case '+': mlimg_text_put(&out, line + 1, (size_t)(end - line - 1)); break;
		case '\\': out.size -= was_put; break;
		default:
			ASSERT(strncmp(line + 1, from, (size_t)(line_end(from) - from)) == 0);
			if (*line == ' ')
				mlimg_text_put(&out, from, (size_t)(line_end(from) - from));
			from = line_end(from);
			at++;
		}
		if (*line == '\\')
			out.data[out.size] = '\0';
		/* A line of the old text without newline was put without one. */
		was_put = *line == '+';
	}
	mlimg_text_put(&out, from, strlen(from));
	return out.data;
}

static char *random_text(void)
{
	struct mlimg_text text = {0};
	unsigned n = (unsigned)test_random(25);

	mlimg_text_put(&text, "", 0);
	for (unsigned i = 0; i < n; i++) {
		char line[3] = {(char)('a' + test_random(3)), '\n', '\0'};

		mlimg_text_put(&text, line, i + 1 == n && test_random(3) == 0 ? 1 : 2);
	}
	return text.data;
}

TEST(random_differences_make_the_new_text_of_the_old)
{
	test_seed();

	for (int i = 0; i < 5000; i++) {
		char *from = random_text(), *to = random_text();
		char *text = difference(from, to, MLIMG_UNIFIED_WRITTEN);
		char *found = apply(from, text);

		if (strcmp(found, to) != 0)
			FAIL("--- from\n%s\n--- to\n%s\n--- difference\n%s\n--- makes\n%s", from,
				to, text, found);
		free(from);
		free(to);
		free(text);
		free(found);
	}
}
