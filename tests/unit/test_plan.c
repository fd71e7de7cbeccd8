/* SPDX-License-Identifier: MIT */
#include "libmlimg/plan.h"

#include "tests/lib/plan-text.h"
#include "tests/lib/test.h"

static struct mlimg_err err = MLIMG_ERR_INIT;

TEST(a_plan_has_copies_of_what_it_is_given)
{
	char path[] = "a\n\\b", data[] = "x";
	struct mlimg_entry e = {
		.path = path, .type = MLIMG_FILE, .hardlink = 3, .nlink = 2, .size_bytes = 1};
	uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_plan plan;
	uint32_t blob = 7;
	size_t at;

	ASSERT_OK(mlimg_plan_init(&plan, &err), err);
	ASSERT_OK(mlimg_plan_add_blob(&plan, data, 1, &blob, &err), err);
	ASSERT_OK(mlimg_plan_add_blob(&plan, NULL, 0, &blob, &err), err);
	ASSERT_EQ(blob, 1);
	ASSERT_OK(mlimg_plan_add(&plan, MLIMG_PLAN_PUT, path, &e, 0, &err), err);
	ASSERT_OK(mlimg_plan_add(&plan, MLIMG_PLAN_DROP, "c", NULL, 0, &err), err);
	memset(path, 'z', 4);
	data[0] = 'y';
	ASSERT_EQ(plan.n_ops, 2);
	ASSERT_STR(plan.ops[0].path, "a\n\\b");
	ASSERT_STR(plan.ops[0].entry->path, "a\n\\b");
	ASSERT_EQ(plan.ops[0].entry->hardlink, 0);
	ASSERT_EQ(plan.ops[0].entry->nlink, 1);
	ASSERT_EQ(plan.ops[1].verb, 'd');
	ASSERT(!plan.ops[1].entry);
	ASSERT_EQ(plan.n_blobs, 2);
	ASSERT_MEM(plan.blobs[0].data, "x", 1);
	mlimg_sha256_of("x", 1, digest);
	ASSERT_MEM(plan.blobs[0].digest, digest, sizeof(digest));
	ASSERT(!plan_flaw(&plan, &at));
	mlimg_plan_done(&plan);
	ASSERT_EQ(plan.n_ops, 0);
	mlimg_plan_done(&plan);
}

TEST(more_contents_than_a_plan_may_have)
{
	struct mlimg_plan plan;
	uint32_t blob;

	ASSERT_OK(mlimg_plan_init(&plan, &err), err);
	for (int i = 0; i < MLIMG_PLAN_BLOBS_MAX; i++)
		ASSERT_OK(mlimg_plan_add_blob(&plan, "x", 1, &blob, &err), err);
	ASSERT_FAILS(mlimg_plan_add_blob(&plan, "x", 1, &blob, &err), err, -E2BIG,
		"more than 4096 contents: Argument list too long");
	ASSERT_EQ(plan.n_blobs, MLIMG_PLAN_BLOBS_MAX);
	mlimg_plan_done(&plan);
}

/* Each test of the planner looks for these. */
TEST(what_no_plan_has)
{
	const struct mlimg_xattr mark = {
		(char *)"trusted.overlay.opaque", (uint8_t *)(uintptr_t) "y", 1};
	static const struct {
		char verb;
		const char *path, *entry_path, *why;
		uint8_t type;
		bool is_marked;
	} cases[] = {{'z', "a", NULL, "an unknown letter", 0, false},
		{'d', "", NULL, "malformed path", 0, false},
		{'d', "/a", NULL, "malformed path", 0, false},
		{'d', "a", "a", "an entry, or none", MLIMG_FILE, false},
		{'s', "a", NULL, "an entry, or none", 0, false},
		{'s', "a", "b", "an entry of another path", MLIMG_FILE, false},
		{'s', "a", "a", "an entry with overlayfs' own xattrs", MLIMG_DIR, true},
		{'D', "a", "a", "an entry of another type", MLIMG_FILE, false},
		{'m', "a", "a", "an entry of another type", MLIMG_FILE, false},
		{'n', "a.mlimg-new", "a", "an entry of another type", MLIMG_LINK, false},
		{'t', "a", "a", "a file without digest", MLIMG_FILE, false},
		{'t', "a", "a", "an entry that is a whiteout", MLIMG_CHAR, false},
		{'p', "a", "a", "a blob that is not there", MLIMG_FILE, false},
		{'D', "a", "a", NULL, MLIMG_DIR, true}, {'s', "a", "a", NULL, MLIMG_FILE, false},
		{'h', "a", NULL, NULL, 0, false}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mlimg_entry e = {.path = (char *)(uintptr_t)cases[i].entry_path,
			.type = cases[i].type,
			.nlink = 1,
			.link = (char *)(uintptr_t) "x",
			.xattrs = (struct mlimg_xattr *)(uintptr_t)&mark,
			.n_xattrs = cases[i].is_marked};
		struct mlimg_plan plan;
		size_t at;

		ASSERT_OK(mlimg_plan_init(&plan, &err), err);
		ASSERT_OK(mlimg_plan_add(&plan, (enum mlimg_plan_verb)cases[i].verb, cases[i].path,
				  cases[i].entry_path ? &e : NULL, 0, &err),
			err);
		ASSERT_STR(plan_flaw(&plan, &at), cases[i].why);
		mlimg_plan_done(&plan);
	}
}
