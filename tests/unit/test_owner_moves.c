/* SPDX-License-Identifier: MIT */
#include "libmlimg/owner-moves.h"

#include "tests/lib/test.h"

/*
 * As in linux/posix_acl_xattr.h: version 2; user::7, user:100:6, group::5, group:100:4, mask,
 * other.
 */
#define ACL(user, group)                                                                           \
	{                                                                                          \
		2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 6, 0, user, 0, 0, 0, 4, 0, 5, 0, \
			255, 255, 255, 255, 8, 0, 4, 0, group, 0, 0, 0, 16, 0, 7, 0, 255, 255,     \
			255, 255, 32, 0, 0, 0, 255, 255, 255, 255                                  \
	}

static const struct mlimg_moved_id uids[] = {{100, 101}, {101, 100}, {103, 110}};
static const struct mlimg_moved_id gids[] = {{100, 120}};
static const struct mlimg_owner_moves moves = {uids, 3, gids, 1};

static int apply(
	const struct mlimg_entry *entry, struct mlimg_arena *arena, struct mlimg_entry *ret)
{
	return mlimg_owner_moves_apply(&moves, entry, arena, ret);
}

TEST(owners_move_at_once)
{
	struct mlimg_arena *arena = mlimg_arena_new();
	struct mlimg_entry e = {.uid = 100, .gid = 101}, got;

	ASSERT(arena);
	ASSERT_EQ(apply(&e, arena, &got), 1);
	ASSERT_EQ(got.uid, 101);
	ASSERT_EQ(got.gid, 101);
	e = (struct mlimg_entry){.uid = 102, .gid = 100};
	ASSERT_EQ(apply(&e, arena, &got), 1);
	ASSERT_EQ(got.uid, 102);
	ASSERT_EQ(got.gid, 120);
	e = (struct mlimg_entry){.uid = 0, .gid = 0};
	ASSERT_EQ(apply(&e, arena, &got), 0);
	ASSERT_EQ(got.uid, 0);
	ASSERT_EQ(mlimg_owner_moves_apply(NULL, &(struct mlimg_entry){.uid = 100}, arena, &got), 0);
	ASSERT_EQ(got.uid, 100);
	mlimg_arena_free(arena);
}

TEST(acls)
{
	static uint8_t from[] = ACL(100, 100), wanted[] = ACL(101, 120), plain[] = "x";
	struct mlimg_xattr xattrs[] = {{(char *)"security.x", plain, 1},
		{(char *)"system.posix_acl_access", from, sizeof(from)},
		{(char *)"system.posix_acl_default", from, sizeof(from)}};
	struct mlimg_entry e = {.xattrs = xattrs, .n_xattrs = 3}, got;
	struct mlimg_arena *arena = mlimg_arena_new();

	ASSERT(arena);
	ASSERT_EQ(apply(&e, arena, &got), 1);
	ASSERT(got.xattrs != xattrs);
	ASSERT_EQ(got.n_xattrs, 3);
	ASSERT(got.xattrs[0].value == plain);
	for (int i = 1; i < 3; i++) {
		ASSERT_EQ(got.xattrs[i].size, sizeof(wanted));
		ASSERT_MEM(got.xattrs[i].value, wanted, sizeof(wanted));
		ASSERT_EQ(xattrs[i].value[16], 100); /* what was given stays */
	}
	mlimg_arena_free(arena);
}

/* A user and a group that have no number stay: what is in their place means nothing. */
TEST(what_is_no_acl_stays)
{
	static uint8_t odd[] = ACL(100, 100), nobody[] = ACL(50, 50);
	struct mlimg_xattr x = {(char *)"system.posix_acl_access", odd, sizeof(odd) - 1};
	struct mlimg_entry e = {.xattrs = &x, .n_xattrs = 1}, got;
	struct mlimg_arena *arena = mlimg_arena_new();

	ASSERT(arena);
	ASSERT_EQ(apply(&e, arena, &got), 0);
	odd[0] = 1;
	x.size = sizeof(odd);
	ASSERT_EQ(apply(&e, arena, &got), 0);
	x.size = 0;
	ASSERT_EQ(apply(&e, arena, &got), 0);
	x = (struct mlimg_xattr){(char *)"user.posix_acl_access", nobody, sizeof(nobody)};
	ASSERT_EQ(apply(&e, arena, &got), 0);
	ASSERT(got.xattrs == &x);
	mlimg_arena_free(arena);
}
