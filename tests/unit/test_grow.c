/* SPDX-License-Identifier: MIT */
#include "guest-agent/grow.h"

#include "tests/lib/test.h"

#define MIB (UINT64_C(1) << 20)

static uint64_t blocks(enum mlimg_superblock_state state, uint64_t fs_bytes, uint64_t disk_bytes)
{
	struct mlimg_superblock sb = {.state = state, .block_size = 4096, .size_bytes = fs_bytes};

	return mlimg_grow_blocks(&sb, disk_bytes);
}

TEST(as_many_blocks_as_the_disk_holds)
{
	ASSERT_EQ(blocks(MLIMG_SUPERBLOCK_SOUND, 64 * MIB, 128 * MIB), 32768);
	ASSERT_EQ(blocks(MLIMG_SUPERBLOCK_SOUND, 64 * MIB, 128 * MIB + 4095), 32768);
	ASSERT_EQ(blocks(MLIMG_SUPERBLOCK_SOUND, 64 * MIB, 65 * MIB), 16640);
}

TEST(not_for_less_than_a_mebibyte)
{
	ASSERT_EQ(blocks(MLIMG_SUPERBLOCK_SOUND, 64 * MIB, 64 * MIB), 0);
	ASSERT_EQ(blocks(MLIMG_SUPERBLOCK_SOUND, 64 * MIB, 65 * MIB - 1), 0);
}

TEST(not_where_the_superblock_is_not_to_be_believed)
{
	ASSERT_EQ(blocks(MLIMG_SUPERBLOCK_SOUND, 64 * MIB, 32 * MIB), 0);
	ASSERT_EQ(blocks(MLIMG_SUPERBLOCK_DAMAGED, 64 * MIB, 128 * MIB), 0);
	ASSERT_EQ(blocks(MLIMG_SUPERBLOCK_NONE, 0, 128 * MIB), 0);
}

TEST(a_disk_that_cannot_be_opened)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint64_t from, to;

	ASSERT_FAILS(mlimg_grow("/nowhere", -1, &from, &to, &err), err, -ENOENT,
		"open /nowhere: No such file or directory");
}
