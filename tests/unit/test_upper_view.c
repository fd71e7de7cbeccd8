/* SPDX-License-Identifier: MIT */
#include "libmlimg/upper-view.h"

#include "tests/lib/plan-words.h"

/*
 * @wanted: U (the upper's), L (a symbolic link on the way), '-', or a path of the stack; behind U
 * and a colon where it lies beneath
 */
static void see(const char *mine, const char *path, const char *wanted)
{
	struct mlimg_manifest *upper = tree_of(mine), *base = tree_of("a/b/c=A d=d");
	char got[MLIMG_PATH_MAX + 8] = "";
	struct mlimg_seen seen;

	mlimg_upper_see(upper, base, path, &seen);
	ASSERT(!seen.entry == (seen.kind != MLIMG_SEEN_UPPER));
	switch (seen.kind) {
	case MLIMG_SEEN_NOTHING: strcpy(got, "-"); break;
	case MLIMG_SEEN_ELSEWHERE: strcpy(got, "L"); break;
	case MLIMG_SEEN_STACK: strcpy(got, seen.lower); break;
	case MLIMG_SEEN_UPPER:
		ASSERT_STR(seen.entry->path, path);
		sprintf(got, "U%s%s", seen.has_lower ? ":" : "", seen.has_lower ? seen.lower : "");
	}
	if (strcmp(got, wanted) != 0)
		FAIL("%s in %s: %s instead of %s", path, mine, got, wanted);
	mlimg_manifest_free(upper);
	mlimg_manifest_free(base);
}

TEST(what_shows)
{
	see("", "", "");
	see("", "a/b/c", "a/b/c");
	see("a=d", "a/b/c", "a/b/c");
	see("a=d", "a", "U:a");
	see("a/b/c=B", "a/b/c", "U");
	see("a/b/c=B", "a/b/d", "a/b/d");
	see("a/b/c=B", "a/b/c/d", "-");
	see("a/b/c=W", "a/b/c", "-");
	see("a=W", "a/b/c", "-");
	see("a=>x", "a/b/c", "L");
	see("a=>x", "a", "U");
}

TEST(what_shows_in_directories_of_the_users)
{
	see("a=o", "a/b/c", "-");
	see("a=o a/b/c=B", "a/b/c", "U");
	see("a=o", "a", "U");
	/* With nothing to hide it says nothing. */
	see("n=o", "n/x", "n/x");
	see("m=r:a", "m/b/c", "a/b/c");
	see("m=r:a m/x=B", "m/x", "U");
	see("m=r:a m/n=r:b", "m/n/c", "a/b/c");
	see("m/n=r:/a/b", "m/n/c", "a/b/c");
	see("a/m=r:b", "a/m/c", "a/b/c");
	see("a=o a/m=r:b", "a/m/c", "-");
	see("a=o a/m=r:/d", "a/m/c", "d/c");
	see("m=r:../a", "m/b", "-");
	see("m=r:/", "m/b", "-");
	see("m=r:/a//b", "m/b", "-");
}

TEST(paths_that_grow_too_long)
{
	char path[MLIMG_PATH_MAX + 1], target[256];
	struct mlimg_xattr redirect = {.name = NULL, .value = (uint8_t *)target, .size = 200};
	char lower[MLIMG_PATH_MAX + 1];

	memset(target, 'n', sizeof(target));
	for (size_t i = 0; i < MLIMG_PATH_MAX; i++)
		path[i] = i % 2 ? '/' : 'a';
	path[MLIMG_PATH_MAX] = '\0';
	/*
	 * In the place of the last name of one byte there is just no room for 200; in a shorter
	 * path there is.
	 */
	ASSERT(!mlimg_redirect_follow(&redirect, path, lower));
	path[MLIMG_PATH_MAX - 200] = '\0';
	ASSERT(mlimg_redirect_follow(&redirect, path, lower));
	ASSERT_EQ(strlen(lower), MLIMG_PATH_MAX - 200 - 1 + 200);
	redirect.size = 0;
	ASSERT(!mlimg_redirect_follow(&redirect, "a", lower));
}
