/* SPDX-License-Identifier: MIT */
/* Lists of files: what a line may be. */
#include "tests/lib/test.h"
#include "tools/profile.h"

/* Reads @text, which has @size bytes. */
static struct mlimg_profile *parse(const char *text, size_t size, struct mlimg_err *err)
{
	struct mlimg_profile *profile = NULL;
	char *copy = malloc(size + 1);

	memcpy(copy, text, size);
	copy[size] = '\0';
	if (mlimg_profile_parse(copy, size, "list", &profile, err) < 0)
		profile = NULL;
	free(copy);
	return profile;
}

static void expect(const char *text, const char *const *paths, size_t n)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_profile *profile = parse(text, strlen(text), &err);

	if (!profile)
		FAIL("%s", err.text);
	ASSERT_EQ(mlimg_profile_count(profile), n);
	for (size_t i = 0; i < n; i++) {
		ASSERT_STR(mlimg_profile_path(profile, i), paths[i]);
		ASSERT(mlimg_profile_has(profile, paths[i]));
	}
	ASSERT(!mlimg_profile_has(profile, ""));
	ASSERT(!mlimg_profile_has(profile, "not there"));
	mlimg_profile_free(profile);
}

static void expect_refusal(const char *text, size_t size, const char *message)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT(!parse(text, size, &err));
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	ASSERT_STR(err.text, message);
}

TEST(spellings_of_a_path)
{
	const char *const paths[] = {
		"a", "b/c", "d", "with space", "new\nline", "#e", "\\", "..f", "\377"};

	expect("# comment\n\na\n./b/c\n/d\nwith\\040space\nnew\\012line\n\\043e\n\\134\n..f\n\377",
		paths, 9);
}

TEST(duplicates_count_once_and_keep_the_first_place)
{
	const char *const paths[] = {"b", "a", "with space"};

	expect("b\na\n./b\n/a\nwith space\nwith\\040space\n", paths, 3);
}

TEST(empty_lists)
{
	expect("", NULL, 0);
	expect("\n# nothing\n\n", NULL, 0);
}

TEST(no_paths)
{
	static const char *const lines[] = {"/", "./", "a//b", "a/", "//a", ".", "..", "a/../b",
		"a/./b", "x\\", "x\\12", "x\\1234\\", "x\\999", "x\\000", "x\\400"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char text[64];

		snprintf(text, sizeof(text), "good\n%s\n", lines[i]);
		expect_refusal(text, strlen(text), "'list' line 2: no path in a tree");
	}
}

TEST(too_long)
{
	char text[5000];

	memset(text, 'x', sizeof(text));
	expect_refusal(text, 256, "'list' line 1: no path in a tree");
	for (size_t i = 100; i < sizeof(text); i += 100)
		text[i] = '/';
	expect_refusal(text, 4096, "'list' line 1: no path in a tree");
	text[4095] = '\0';
	expect(text, (const char *const[]){text}, 1);
}

TEST(binary)
{
	expect_refusal("a\0b\n", 4, "'list' is no list of paths: it has a NUL");
}

TEST(many)
{
	enum { N = 20000 };
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_profile *profile;
	char *text, path[32];
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (int i = 0; i < N; i++)
		fprintf(f, "dir-%d/file\n", i * 7919 % N);
	fclose(f);
	profile = parse(text, size, &err);
	free(text);
	ASSERT(profile);
	ASSERT_EQ(mlimg_profile_count(profile), N);
	for (int i = 0; i < N; i++) {
		snprintf(path, sizeof(path), "dir-%d/file", i);
		ASSERT(mlimg_profile_has(profile, path));
	}
	ASSERT_STR(mlimg_profile_path(profile, 1), "dir-7919/file");
	mlimg_profile_free(profile);
}
