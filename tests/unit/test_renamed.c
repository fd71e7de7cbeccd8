/* SPDX-License-Identifier: MIT */
#include "libmlimg/renamed.h"

#include "libmlimg/text.h"
#include "tests/lib/test.h"

static int put(const char *path, size_t renamed, void *ctx)
{
	char text[64];

	snprintf(text, sizeof(text), "%s:%zu ", path, renamed);
	mlimg_text_put(ctx, text, strlen(text));
	return 0;
}

/* Sorts them. */
static void shows(struct mlimg_renamed *all, size_t n, const char *lower, const char *wanted)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_text text = {0};
	size_t left = MLIMG_RENAMED_PLACES_MAX;

	qsort(all, n, sizeof(*all), mlimg_renamed_cmp);
	mlimg_text_put(&text, "", 0);
	ASSERT_OK(mlimg_renamed_places(all, n, lower, &left, put, &text, &err), err);
	ASSERT_STR(text.data, wanted);
	free(text.data);
}

TEST(where_else_something_shows)
{
	struct mlimg_renamed all[] = {{"a/b", "z"}, {"a", "v/x"}, {"c", "w"}, {"a.b", "u"}};

	shows(all, 4, "a/b/c/d", "v/x/b/c/d:3 z/c/d:1 ");
	shows(all, 4, "a/b", "v/x/b:3 ");
	shows(all, 4, "a", "");
	shows(all, 4, "a.b/c", "u/c:1 ");
	shows(all, 4, "ab/c", "");
	shows(all, 0, "a/b", "");
	/* What a user cannot do, a stranger can. */
	all[0] = all[1] = (struct mlimg_renamed){"a", "w"};
	shows(all, 2, "a/b/c", "w/b/c:1 w/b/c:1 ");
}

static int count(const char *path, size_t renamed, void *ctx)
{
	++*(size_t *)ctx;
	return 0;
}

static int stop(const char *path, size_t renamed, void *ctx)
{
	return -ECANCELED;
}

/* Each of 30,000 shows what 30,000 others are from: that makes 900 million places. */
TEST(too_many_places)
{
	static struct mlimg_renamed all[30000];
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t left = MLIMG_RENAMED_PLACES_MAX, n = 0, before = 0;
	int r = 0;

	for (size_t i = 0; i < 30000; i++)
		all[i] = (struct mlimg_renamed){"a", "b"};
	for (size_t i = 0; i < 30000 && r == 0; i++) {
		before = n;
		r = mlimg_renamed_places(all, 30000, "a/x", &left, count, &n, &err);
	}
	ASSERT_FAILS(r, err, -E2BIG,
		"directories that were renamed show '/a/x' and others in too many places: "
		"Argument list too long");
	ASSERT(before > 0 && n < MLIMG_RENAMED_PLACES_MAX / 64);
	left = MLIMG_RENAMED_PLACES_MAX;
	ASSERT_EQ(mlimg_renamed_places(all, 30000, "a/x", &left, stop, NULL, &err), -ECANCELED);
}
