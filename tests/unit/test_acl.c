/* SPDX-License-Identifier: MIT */
#include "libmlimg/acl.h"

#include "libmlimg/reconcile.h"
#include "tests/lib/test.h"

/* {owner} {user 5} {group} {mask} {others}; the rights of what an ACL repeats of a mode are given */
static struct mlimg_xattr acl_of(uint8_t value[44], unsigned mode, unsigned user_rights)
{
	const uint8_t all[44] = {2, 0, 0, 0, 1, 0, (uint8_t)(mode >> 6), 0, 255, 255, 255, 255, 2,
		0, (uint8_t)user_rights, 0, 5, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0,
		(uint8_t)(mode >> 3 & 7), 0, 255, 255, 255, 255, 32, 0, (uint8_t)(mode & 7), 0, 255,
		255, 255, 255};

	memcpy(value, all, sizeof(all));
	return (struct mlimg_xattr){(char *)MLIMG_ACL_ACCESS, value, sizeof(all)};
}

TEST(digits_of_a_mode_are_none_of_the_acls)
{
	uint8_t values[3][44];
	struct mlimg_xattr a = acl_of(values[0], 0644, 6), b = acl_of(values[1], 0770, 6),
			   c = acl_of(values[2], 0644, 4), cut = a, plain = a;

	ASSERT(mlimg_acl_is_same(&a, &b));
	ASSERT(!mlimg_acl_is_same(&a, &c));
	ASSERT(!mlimg_acl_is_same(&a, NULL) && mlimg_acl_is_same(NULL, NULL));
	cut.size = 36;
	ASSERT(!mlimg_acl_is_same(&a, &cut));
	/* No ACL: bytes. */
	cut.size = plain.size = 41;
	ASSERT(mlimg_acl_is_same(&cut, &plain));
	plain.value = values[1];
	ASSERT(!mlimg_acl_is_same(&cut, &plain));
}

TEST(an_acl_follows_a_mode)
{
	uint8_t values[2][44];
	struct mlimg_xattr a = acl_of(values[0], 0644, 6), wanted = acl_of(values[1], 0750, 6);
	struct mlimg_arena *arena = mlimg_arena_new();

	ASSERT_EQ(mlimg_acl_fit(&a, 0750, arena), 0);
	ASSERT_MEM(a.value, wanted.value, 44);
	/* Without a mask the group has these digits. */
	a.size = 28;
	ASSERT_EQ(mlimg_acl_fit(&a, 0720, arena), 0);
	ASSERT_EQ(a.value[22], 2);
	a.size = 27;
	ASSERT_EQ(mlimg_acl_fit(&a, 0700, arena), 0);
	ASSERT_EQ(a.value[22], 2);
	mlimg_arena_free(arena);
}

/* One side's chmod beside both sides' ACL: it was a conflict, and superfluous afterwards. */
TEST(a_mode_that_one_side_changed_is_no_conflict_of_acls)
{
	uint8_t values[2][44];
	struct mlimg_xattr mine_acl = acl_of(values[0], 0644, 6),
			   next_acl = acl_of(values[1], 0600, 6);
	struct mlimg_entry base = {.type = MLIMG_DIR, .mode = 0644, .nlink = 1}, mine = base,
			   next = base;
	struct mlimg_arena *arena = mlimg_arena_new();
	struct mlimg_merged_entry merged;

	mine.xattrs = &mine_acl;
	next.xattrs = &next_acl;
	mine.n_xattrs = next.n_xattrs = 1;
	next.mode = 0600;
	ASSERT_EQ(mlimg_reconcile_decide(&base, &next, &mine), MLIMG_MERGED);
	ASSERT_EQ(mlimg_reconcile_merge(&base, &next, &mine, arena, &merged), 0);
	ASSERT_EQ(merged.conflicts, 0);
	ASSERT(mlimg_reconcile_is_same(&merged.entry, &next));
	mlimg_arena_free(arena);
}
