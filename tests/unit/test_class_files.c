/* SPDX-License-Identifier: MIT */
/* Which files of reconcile.d count. */
#include "libmlimg/class-files.h"

#include "tests/lib/plan-words.h"

#define ETC "etc/mlimg/reconcile.d/"
#define LIB "usr/lib/mlimg/reconcile.d/"

static char notes[1024];

static void note(const struct mlimg_err *why, void *ctx)
{
	strcat(notes, why->text);
	strcat(notes, ";");
}

static int read_stack(const char *path, const uint8_t digest_of[MLIMG_SHA256_SIZE], size_t max,
	void *ctx, char **ret_data, size_t *ret_size)
{
	return given.lacks_next ? -EIO : give(digest_of, max, ret_data, ret_size);
}

/* What x is of. @mine: NULL for no upper */
static void check_x(const char *before, const char *stack, const char *mine, const char *class)
{
	struct mlimg_manifest *b = tree_of(before), *s = tree_of(stack),
			      *m = mine ? tree_of(mine) : NULL;
	struct mlimg_path_classes *classes = mlimg_path_classes_new();
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_class_files files = {.stack = s,
		.before = b,
		.mine = m,
		.upper = &given.source,
		.read = read_stack,
		.left_out = note};
	const char *got;

	ASSERT(classes);
	notes[0] = '\0';
	given.source = (struct mlimg_upper_source){load, digest, read_mine, read_head};
	given.mine = m;
	ASSERT_OK(mlimg_class_files_read(&files, classes, &err), err);
	got = mlimg_path_class_name(mlimg_path_class_of(classes, "x"));
	if (strcmp(got, class) != 0)
		FAIL("before %s, stack %s, mine %s: %s instead of %s", before, stack,
			mine ? mine : "none", got, class);
	mlimg_path_classes_free(classes);
	mlimg_manifest_free(b);
	mlimg_manifest_free(s);
	mlimg_manifest_free(m);
}

TEST(the_layers)
{
	check_x("", "", NULL, "data");
	check_x("", ETC "a.conf=T:x_keep", NULL, "keep");
	check_x("", ETC "10.conf=T:x_keep " ETC "9.conf=T:x_owned", NULL, "owned");
	check_x("", ETC "a.conf=T:x_keep " LIB "b.conf=T:x_owned", NULL, "keep");
	/* What is no such file. */
	check_x("", ETC ".a.conf=T:x_keep " ETC "a.txt=T:x_keep " ETC "d.conf/a.conf=T:x_keep",
		NULL, "data");
	check_x("", ETC "a.conf=>b " ETC "b=T:x_keep etc/mlimg/reconcile.dd/a.conf=T:x_keep", NULL,
		"data");
	ASSERT_STR(notes, "");
}

TEST(the_users)
{
	const char *old = ETC "b.conf=T:x_keep",
		   *two = ETC "a.conf=T:x_owned " ETC "b.conf=T:x_keep";

	/* After all of the layers', wherever they lie. */
	check_x(two, two, ETC "0.conf=T:x_config", "config");
	check_x(two, two, LIB "0.conf=T:x_config", "config");
	check_x(two, two, LIB "1.conf=T:x_config " ETC "0.conf=T:x_derived", "derived");
	check_x(two, two, "home=d", "keep");
	/* In place of a layer's, or without it. */
	check_x(two, two, ETC "b.conf=T:#_nothing", "owned");
	check_x(two, two, ETC "b.conf=W", "owned");
	check_x(two, two, ETC "b.conf=>a.conf", "owned");
	check_x(two, two, "etc/mlimg=W", "data");
	check_x(two, two, "etc/mlimg=o", "data");
	check_x(two, two, "etc/mlimg=A", "data");
	check_x(two, two, "etc/mlimg=r:other", "data");
	/* A directory of the user's, with which the new stack's will be joined. */
	check_x("etc=d", two, "etc/mlimg=o " ETC "c.conf=T:y_keep", "keep");
	/*
	 * A copy is not his own, and so does not come last: neither of the old one nor of the new
	 * one.
	 */
	check_x(ETC "a.conf=T:x_data", two, ETC "a.conf=T:x_data", "keep");
	check_x(old, two, ETC "a.conf=T:x_owned", "keep");
	check_x(two, ETC "b.conf=T:x_keep", ETC "a.conf=T:x_owned", "keep");
	ASSERT_STR(notes, "");
}

TEST(what_is_left_out)
{
	check_x("", ETC "a.conf=T:x_nothing " ETC "b.conf=T:x_keep", ETC "c.conf=T:y_keep/x_bad",
		"keep");
	ASSERT_STR(notes,
		ETC "a.conf: line 1: an unknown class;" ETC "c.conf: line 2: an unknown class;");
	given.lacks_next = true;
	check_x("", ETC "a.conf=T:x_keep", "", "data");
	given.lacks_next = false;
	ASSERT_STR(notes, ETC "a.conf: Input/output error;");
}

TEST(more_files_than_anybody_has)
{
	struct mlimg_manifest *m = tree_of("etc/mlimg/reconcile.d=d");
	struct mlimg_path_classes *classes = mlimg_path_classes_new();
	struct mlimg_class_files files = {
		.stack = m, .before = m, .read = read_stack, .left_out = note};
	struct mlimg_err err = MLIMG_ERR_INIT;
	char path[64];

	ASSERT(classes);
	for (int i = 0; i <= MLIMG_CLASS_FILES_MAX; i++) {
		struct mlimg_entry e = {.path = path, .type = MLIMG_FILE, .nlink = 1};

		snprintf(path, sizeof(path), ETC "%04d.conf", i);
		ASSERT(mlimg_manifest_add(m, &e));
	}
	notes[0] = '\0';
	ASSERT_OK(mlimg_class_files_read(&files, classes, &err), err);
	ASSERT_STR(notes, "etc/mlimg/reconcile.d: more than 256 files;");
	mlimg_path_classes_free(classes);
	mlimg_manifest_free(m);
}
