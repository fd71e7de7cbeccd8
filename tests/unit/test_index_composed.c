/* SPDX-License-Identifier: MIT */
/* The list of composed entries: what is taken, and which of them a directory gets. */
#include "tools/index-composed.h"

#include "tests/lib/test.h"

static struct mlimg_err err = MLIMG_ERR_INIT;

#define N_MAX 16
static struct mlimg_entry entries[N_MAX];
static struct mlimg_index_composed list[N_MAX];
static size_t n;

static void begin(const char *const *paths)
{
	for (n = 0; paths[n]; n++) {
		entries[n] = (struct mlimg_entry){
			.path = (char *)(uintptr_t)paths[n], .type = MLIMG_FILE, .nlink = 1};
		list[n].entry = &entries[n];
	}
}

/* Names in the directory, each with a blank before it. */
static const char *names_in(const char *dir)
{
	static char names[200];
	struct mlimg_index_cursor cursor;

	*names = '\0';
	mlimg_index_cursor_begin(&cursor, list, n, dir);
	for (; mlimg_index_cursor_peek(&cursor); cursor.at++)
		strcat(strcat(names, " "), mlimg_index_cursor_name(&cursor));
	return names;
}

TEST(each_directory_gets_its_own)
{
	begin((const char *const[]){
		"a", "a/b", "a/b/c", "a/b-", "a/bb/d", "a!", "a-/x", "aa/y", "b", "z/z/z", NULL});
	ASSERT_OK(mlimg_index_composed_check(list, n, &err), err);
	ASSERT_STR(names_in(""), " a a! b");
	ASSERT_STR(names_in("a"), " b b-");
	ASSERT_STR(names_in("a/b"), " c");
	ASSERT_STR(names_in("a/bb"), " d");
	ASSERT_STR(names_in("a-"), " x");
	ASSERT_STR(names_in("aa"), " y");
	ASSERT_STR(names_in("a!"), "");
	ASSERT_STR(names_in("z"), "");
	ASSERT_STR(names_in("z/z"), " z");
	ASSERT_STR(names_in("zz"), "");
	n = 0;
	ASSERT_STR(names_in(""), "");
	ASSERT_OK(mlimg_index_composed_check(NULL, 0, &err), err);
}

TEST(order_path_and_type_are_checked)
{
	begin((const char *const[]){"a!", "a/b", NULL});
	ASSERT_FAILS(mlimg_index_composed_check(list, n, &err), err, -EINVAL,
		"order of the composed '/a/b': Invalid argument");
	begin((const char *const[]){"a", "a", NULL});
	ASSERT_FAILS(mlimg_index_composed_check(list, n, &err), err, -EINVAL,
		"order of the composed '/a': Invalid argument");
	begin((const char *const[]){"", NULL});
	ASSERT_FAILS(mlimg_index_composed_check(list, n, &err), err, -EINVAL,
		"composed path '': Invalid argument");
	begin((const char *const[]){"/a", NULL});
	ASSERT_FAILS(mlimg_index_composed_check(list, n, &err), err, -EINVAL,
		"composed path '/a': Invalid argument");
	begin((const char *const[]){"a", NULL});
	entries[0].type = MLIMG_FIFO;
	ASSERT_FAILS(mlimg_index_composed_check(list, n, &err), err, -EINVAL,
		"type of the composed '/a': Invalid argument");
	entries[0].type = MLIMG_CHAR; /* 0:0, a whiteout */
	ASSERT_OK(mlimg_index_composed_check(list, n, &err), err);
}
