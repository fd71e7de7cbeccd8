/* SPDX-License-Identifier: MIT */
#include "libmlimg/merge3.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "tests/lib/test.h"

#define TEXT(s) ((struct mlimg_merge3_text){s, strlen(s)})

/* @return the merged text, or NULL on a conflict; free() it */
static char *merge(const char *base, const char *a, const char *b)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *text = NULL;
	size_t size = 0;
	int r = mlimg_merge3(TEXT(base), TEXT(a), TEXT(b), &text, &size, &err);

	ASSERT_OK(r, err);
	ASSERT(r != MLIMG_MERGE3_NO_TEXT);
	ASSERT_EQ(r == MLIMG_MERGE3_MERGED, text != NULL);
	if (text)
		ASSERT_EQ(strlen(text), size);
	return text;
}

static void check(const char *base, const char *a, const char *b, const char *wanted)
{
	mlimg_autofree char *got = merge(base, a, b), *exchanged = merge(base, b, a);

	ASSERT_STR(got, wanted);
	ASSERT_STR(exchanged, wanted);
}

TEST(what_is_merged)
{
	check("", "", "", "");
	check("a\n", "a\n", "a\n", "a\n");
	check("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\n");
	check("a\nb\nc\n", "b\nc\n", "a\nb\nc\nd\n", "b\nc\nd\n");
	check("a\nb\nc\n", "x\na\nb\nc\n", "a\nb\n", "x\na\nb\n");
	check("a\nb\n", "a\nx\nb\n", "a\nb\n", "a\nx\nb\n");
	check("a\nb\nc\n", "", "a\nb\nc\n", "");
	/* What both did alike. */
	check("a\nb\nc\nd\n", "a\nB\nc\nd\n", "a\nB\nc\nD\n", "a\nB\nc\nD\n");
	check("a\n", "b\n", "b\n", "b\n");
	check("", "a\n", "a\n", "a\n");
	check("a\nb\nc\n", "a\nc\n", "a\nc\n", "a\nc\n");
}

TEST(what_touches_is_a_conflict)
{
	check("a\n", "b\n", "c\n", NULL);
	check("", "a\n", "b\n", NULL);
	check("a\nb\n", "A\nb\n", "a\nB\n", NULL);
	check("a\nb\n", "a\nx\nb\n", "a\ny\nb\n", NULL);
	check("a\nb\n", "a\nx\nb\n", "a\nB\n", NULL);
	check("a\nb\nc\n", "a\nc\n", "a\nB\nc\n", NULL);
	check("a\nb\n", "", "A\nb\n", NULL);
	/* Alike, but one goes on. */
	check("a\nb\nc\n", "a\nB\nc\n", "a\nB\nC\n", NULL);
}

TEST(line_ends)
{
	check("a\nb\nc", "A\nb\nc", "a\nb\nC", "A\nb\nC");
	check("a\nb\nc\n", "a\nb\nc", "A\nb\nc\n", "A\nb\nc");
	check("a\nb\nc", "a\nb\nc\n", "A\nb\nc", "A\nb\nc\n");
	check("a\nb\n", "a\nb", "a\nb\nc\n", NULL);
	check("a\r\nb\r\nc\r\n", "A\r\nb\r\nc\r\n", "a\r\nb\r\nC\r\n", "A\r\nb\r\nC\r\n");
	/* Every line is another one. */
	check("a\nb\nc\n", "a\r\nb\r\nc\r\n", "a\nb\nC\n", NULL);
	check("a\n\n\nb\n", "a\n\n\nB\n", "A\n\n\nb\n", "A\n\n\nB\n");
}

static int result_of(struct mlimg_merge3_text base, struct mlimg_merge3_text a)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *text = NULL;
	size_t size;
	int r = mlimg_merge3(base, a, base, &text, &size, &err), again;

	free(text);
	text = NULL;
	again = mlimg_merge3(a, base, base, &text, &size, &err);
	free(text);
	ASSERT_EQ(r, again);
	return r;
}

TEST(what_is_no_text)
{
	static char large[MLIMG_MERGE3_SIZE_MAX + 1];
	const struct mlimg_merge3_text none = {NULL, 0};

	ASSERT_EQ(result_of(none, (struct mlimg_merge3_text){"a\0b", 3}), MLIMG_MERGE3_NO_TEXT);
	memset(large, '\n', sizeof(large));
	ASSERT_EQ(result_of(none, (struct mlimg_merge3_text){large, sizeof(large)}),
		MLIMG_MERGE3_NO_TEXT);
	ASSERT_EQ(result_of(none, (struct mlimg_merge3_text){large, sizeof(large) - 1}),
		MLIMG_MERGE3_MERGED);
	memset(large, 'x', MLIMG_MERGE3_LINE_MAX + 1);
	ASSERT_EQ(result_of(none, (struct mlimg_merge3_text){large, MLIMG_MERGE3_LINE_MAX + 10}),
		MLIMG_MERGE3_NO_TEXT);
	large[MLIMG_MERGE3_LINE_MAX - 1] = '\n';
	ASSERT_EQ(result_of(none, (struct mlimg_merge3_text){large, MLIMG_MERGE3_LINE_MAX + 10}),
		MLIMG_MERGE3_MERGED);
}

/* @n lines that begin with @mark, one line that is everywhere, and @end. */
static char *many_lines(int n, char mark, const char *end)
{
	char *text = malloc((size_t)n * 8 + 16), *at = text;

	ASSERT(text);
	for (int i = 0; i < n; i++)
		at += sprintf(at, "%c%d\n", mark, i);
	sprintf(at, "kept\n%s", end);
	return text;
}

/* Of the lines before "kept" no two are the same, so all of them are edits. */
TEST(the_limit_of_edits_is_a_conflict)
{
	for (int beyond = 0; beyond < 2; beyond++) {
		int n = MLIMG_MERGE3_EDITS_MAX / 2 + beyond;
		mlimg_autofree char *base = many_lines(n, 'a', ""), *a = many_lines(n, 'b', "");
		mlimg_autofree char *b = many_lines(n, 'a', "new\n"),
				    *m = many_lines(n, 'b', "new\n");

		check(base, a, b, beyond ? NULL : m);
	}
}

/* --- marks --- */

static void check_marked(
	const char *base, const char *a, const char *b, size_t n_wanted, const char *wanted)
{
	const struct mlimg_merge3_marking in = {.base = TEXT(base ? base : ""),
		.a = TEXT(a),
		.b = TEXT(b),
		.has_base = base,
		.a_name = "yours",
		.b_name = "system 2"};
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autofree char *text = NULL;
	size_t size = 0, n = 0;
	int r = mlimg_merge3_marked(&in, &text, &size, &n, &err);

	ASSERT_OK(r, err);
	ASSERT_EQ(r, MLIMG_MERGE3_MERGED);
	ASSERT_STR(text, wanted);
	ASSERT_EQ(size, strlen(wanted));
	ASSERT_EQ(n, n_wanted);
	ASSERT_EQ(mlimg_merge3_find_mark(text, size) > 0, n_wanted > 0);
}

TEST(conflicts_are_marked)
{
	check_marked("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", 0, "A\nb\nC\n");
	check_marked("a\nb\nc\n", "a\nx\nc\n", "a\ny\nz\nc\n", 1,
		"a\n<<<<<<< yours\nx\n=======\ny\nz\n>>>>>>> system 2\nc\n");
	check_marked("a\nb\nc\nd\ne\n", "x\nb\nc\nd\n", "y\nb\nc\nd\nz\n", 2,
		"<<<<<<< yours\nx\n=======\ny\n>>>>>>> system 2\nb\nc\nd\n"
		"<<<<<<< yours\n=======\nz\n>>>>>>> system 2\n");
	/* A last line without a newline. */
	check_marked(
		"a\nb", "a\nx", "a\ny", 1, "a\n<<<<<<< yours\nx\n=======\ny\n>>>>>>> system 2\n");
}

TEST(without_a_base_all_that_differs_is_marked)
{
	check_marked(NULL, "a\nb\n", "a\nb\n", 0, "a\nb\n");
	check_marked(NULL, "a\nx\nb\n", "a\nb\n", 1,
		"a\n<<<<<<< yours\nx\n=======\n>>>>>>> system 2\nb\n");
	check_marked(NULL, "a\nb\n", "a\nb\nc\n", 1,
		"a\nb\n<<<<<<< yours\n=======\nc\n>>>>>>> system 2\n");
	check_marked(NULL, "", "a\n", 1, "<<<<<<< yours\n=======\na\n>>>>>>> system 2\n");
}

TEST(marks_are_found)
{
	static const char text[] = "a\n<<<<<<<\n=======\n <<<<<<< x\n>>>>>>> x";

	ASSERT_EQ(mlimg_merge3_find_mark(text, strlen(text)), 5);
	ASSERT_EQ(mlimg_merge3_find_mark(text, strlen(text) - 2), 0);
	ASSERT_EQ(mlimg_merge3_find_mark("", 0), 0);
	ASSERT_EQ(mlimg_merge3_find_mark("<<<<<<< ", 8), 1);
}

/* --- random texts --- */

#define MAX_LINES 40

struct text {
	char lines[3 * MAX_LINES][16];
	size_t n;
};

static const char *join(const struct text *t, char *buf)
{
	char *end = buf;

	*buf = '\0';
	for (size_t i = 0; i < t->n; i++)
		end = stpcpy(end, t->lines[i]);
	return buf;
}

static void add_line(struct text *t, char mark, int n)
{
	snprintf(t->lines[t->n++], sizeof(t->lines[0]), "%c%d\n", mark, n);
}

/* Changes some of the lines @from up to @to, in ways that leave no doubt which lines are which. */
static void change(const struct text *base, struct text *ret, size_t from, size_t to, int tag)
{
	ret->n = 0;
	for (size_t i = 0; i < base->n; i++) {
		uint64_t what = i >= from && i < to ? test_random(12) : 11;

		if (what == 0) /* removed */
			continue;
		if (what == 1) /* inserted */
			add_line(ret, '+', tag * 1000 + (int)i);
		if (what == 2) /* changed, perhaps alike on both sides */
			add_line(ret, '~', (int)test_random(2) * 1000 + (int)i);
		else
			strcpy(ret->lines[ret->n++], base->lines[i]);
	}
}

static void random_base(struct text *base)
{
	base->n = 0;
	for (size_t n = test_random(MAX_LINES); base->n < n;)
		add_line(base, '=', (int)base->n);
}

static char bufs[5][3 * MAX_LINES * 16];

TEST(laws)
{
	test_seed();
	for (int i = 0; i < 3000; i++) {
		struct text base, a, b;
		const char *o, *x, *y;
		mlimg_autofree char *m = NULL;

		random_base(&base);
		change(&base, &a, 0, base.n, 1);
		change(&base, &b, 0, base.n, 2);
		o = join(&base, bufs[0]), x = join(&a, bufs[1]), y = join(&b, bufs[2]);
		check(o, x, o, x);
		check(o, o, y, y);
		check(o, x, x, x);
		m = merge(o, x, y);
		check(o, y, x, m);
		if (!m)
			continue;
		/* What both have done is done. */
		check(o, x, m, m);
	}
}

/* Of few different lines, so that there are many ways to say what was changed. */
TEST(laws_where_lines_are_alike)
{
	test_seed();
	for (int i = 0; i < 3000; i++) {
		struct text t[3];
		const char *o, *x, *y;
		mlimg_autofree char *m = NULL;

		for (int k = 0; k < 3; k++) {
			size_t n = test_random(MAX_LINES);

			for (t[k].n = 0; t[k].n < n;)
				add_line(&t[k], '=', (int)test_random(3));
		}
		o = join(&t[0], bufs[0]), x = join(&t[1], bufs[1]), y = join(&t[2], bufs[2]);
		check(o, x, o, x);
		check(o, o, y, y);
		check(o, x, x, x);
		m = merge(o, x, y);
		check(o, y, x, m);
	}
}

/* Changes in three places that do not touch: in whatever order they are merged. */
TEST(associative_where_nothing_touches)
{
	test_seed();
	for (int i = 0; i < 1000; i++) {
		struct text base, t[3];
		const char *o, *x[3];
		mlimg_autofree char *left = NULL, *right = NULL, *both = NULL, *undone = NULL;

		do
			random_base(&base);
		while (base.n < 12);
		for (size_t k = 0; k < 3; k++) {
			change(&base, &t[k], k * base.n / 3 + 1, (k + 1) * base.n / 3 - 1,
				(int)k + 1);
			x[k] = join(&t[k], bufs[k]);
		}
		o = join(&base, bufs[3]);
		left = merge(o, x[0], x[1]);
		right = merge(o, x[1], x[2]);
		ASSERT(left && right);
		both = merge(o, left, x[2]);
		ASSERT(both);
		check(o, x[0], right, both);
		/* One side's change taken back leaves the other's. */
		undone = merge(x[0], left, o);
		ASSERT_STR(undone, x[1]);
	}
}

static void put_file(const char *name, const char *text)
{
	mlimg_autoclose int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ASSERT(fd >= 0);
	ASSERT(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

/* @return what GNU diff3 makes of it, or NULL on a conflict; free() it */
static char *by_diff3(const char *o, const char *a, const char *b)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *text;
	size_t size;
	int status;

	put_file("o", o);
	put_file("a", a);
	put_file("b", b);
	status = system("diff3 -m -E a o b >merged");
	ASSERT(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	ASSERT_OK(mlimg_read_file(AT_FDCWD, "merged", 1 << 20, &text, &size, &err), err);
	if (WEXITSTATUS(status) == 0)
		return text;
	free(text);
	return NULL;
}

TEST(as_diff3)
{
	int n_merged = 0, n_conflicts = 0;

	test_seed();
	ASSERT(chdir(test_tmpdir()) == 0);
	for (int i = 0; i < 300; i++) {
		struct text base, a, b;
		const char *o, *x, *y;
		mlimg_autofree char *got = NULL, *wanted = NULL;

		random_base(&base);
		change(&base, &a, 0, base.n, 1);
		change(&base, &b, 0, base.n, 2);
		o = join(&base, bufs[0]), x = join(&a, bufs[1]), y = join(&b, bufs[2]);
		got = merge(o, x, y);
		wanted = by_diff3(o, x, y);
		n_merged += wanted != NULL;
		n_conflicts += wanted == NULL;
		if (!got != !wanted || (got && strcmp(got, wanted) != 0))
			FAIL("%s, not %s:\n--- o\n%s--- a\n%s--- b\n%s", got ? got : "a conflict",
				wanted ? wanted : "a conflict", o, x, y);
	}
	ASSERT(n_merged > 20 && n_conflicts > 20);
}
