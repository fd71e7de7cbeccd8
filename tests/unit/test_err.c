/* SPDX-License-Identifier: MIT */
#include "libmlimg/err.h"
#include "tests/lib/test.h"

TEST(never_success)
{
	ASSERT_EQ(mlimg_err_set(NULL, 0, "x"), -EIO);
	ASSERT_EQ(mlimg_err_set(NULL, ENOENT, "x"), -ENOENT);
	ASSERT_EQ(mlimg_err_set(NULL, -ENOENT, "x"), -ENOENT);
	ASSERT_EQ(mlimg_err_refuse(NULL, "x"), -EUCLEAN);
	ASSERT_EQ(mlimg_err_usage(NULL, "x"), -EINVAL);
	ASSERT_EQ(mlimg_err_wrap(NULL, 0, "x"), -EIO);
	ASSERT_EQ(mlimg_err_wrap(NULL, -ENOSPC, "x"), -ENOSPC);
}

TEST(texts_and_kinds)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_FAILS(mlimg_err_set(&err, ENOENT, "open '%s'", "a"), err, -ENOENT,
		"open 'a': No such file or directory");
	ASSERT_EQ(err.kind, MLIMG_ERR_FAILED);
	ASSERT_FAILS(mlimg_err_set(&err, 0, "odd"), err, -EIO, "odd");
	ASSERT_FAILS(mlimg_err_refuse(&err, "bad %d", 3), err, -EUCLEAN, "bad 3");
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	ASSERT_FAILS(mlimg_err_wrap(&err, -EUCLEAN, "layer %d of 3", 2), err, -EUCLEAN,
		"layer 2 of 3: bad 3");
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	ASSERT_FAILS(mlimg_err_usage(&err, "what"), err, -EINVAL, "what");
	ASSERT_EQ(err.kind, MLIMG_ERR_USAGE);
}

TEST(long_texts_are_cut_visibly)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	char name[2 * MLIMG_ERR_TEXT_SIZE];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ASSERT_EQ(mlimg_err_refuse(&err, "%s", name), -EUCLEAN);
	ASSERT_EQ(strlen(err.text), MLIMG_ERR_TEXT_SIZE - 1);
	ASSERT_STR(err.text + MLIMG_ERR_TEXT_SIZE - 5, "n...");
	ASSERT_EQ(mlimg_err_set(&err, 0, "%s", name), -EIO);
	ASSERT_STR(err.text + MLIMG_ERR_TEXT_SIZE - 5, "n...");
}

TEST(a_long_place_leaves_room_for_the_reason)
{
	static const char why[] = ": No such file or directory";
	struct mlimg_err err = MLIMG_ERR_INIT;
	char name[2 * MLIMG_ERR_TEXT_SIZE];
	const char *end = err.text + MLIMG_ERR_TEXT_SIZE - sizeof(why);

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (int length = MLIMG_ERR_TEXT_SIZE - 26; length < (int)sizeof(name); length++) {
		ASSERT_EQ(mlimg_err_set(&err, ENOENT, "%.*s", length, name), -ENOENT);
		ASSERT_EQ(strlen(err.text), MLIMG_ERR_TEXT_SIZE - 1);
		ASSERT_STR(end, why);
		ASSERT(strstr(err.text, "nnn...nnn"));
	}
	ASSERT_EQ(mlimg_err_set(&err, ENOENT, "%.*s", MLIMG_ERR_TEXT_SIZE - 28, name), -ENOENT);
	ASSERT_STR(end, why);
	ASSERT(!strchr(err.text, '.'));
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(mlimg_err_wrap(&err, -ENOENT, "somewhere"), -ENOENT);
	ASSERT_EQ(strlen(err.text), MLIMG_ERR_TEXT_SIZE - 1);
	ASSERT(strncmp(err.text, "somewhere: somewhere: somewhere: nnn", 36) == 0);
	ASSERT_STR(end, why);
	ASSERT_EQ(mlimg_err_wrap(&err, -ENOENT, "%s", name), -ENOENT);
	ASSERT_STR(end, why);
}

TEST(a_message_is_one_line)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_FAILS(mlimg_err_refuse(&err, "'%s'", "a\nb\033[31m\177\303\244"), err, -EUCLEAN,
		"'a?b?[31m?\303\244'");
}
