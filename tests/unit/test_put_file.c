/* SPDX-License-Identifier: MIT */
#include "guest-agent/put-file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "tests/lib/tmpdir.h"

static void check(int dir, const char *name, const char *wanted)
{
	mlimg_autofree char *text = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t size;

	ASSERT_EQ(mlimg_read_file(dir, name, 100, &text, &size, &err), 0);
	ASSERT_STR(text, wanted);
}

TEST(what_came_meanwhile_stays)
{
	mlimg_autoclose int dir = open_tmpdir();
	uint64_t n_sockets;

	put(dir, "mine", "mine");
	put(dir, "there", "written meanwhile");
	ASSERT_EQ(mkdirat(dir, "tree", 0755), 0);
	ASSERT_EQ(mlimg_put_copy(dir, "mine", dir, "there", NULL), -EEXIST);
	ASSERT_EQ(mlimg_put_tree(dir, "tree", dir, "there", NULL, &n_sockets), -EEXIST);
	check(dir, "there", "written meanwhile");
	ASSERT_EQ(names_in(dir), 3);
}

TEST(what_was_changed_meanwhile_stays)
{
	mlimg_autoclose int dir = open_tmpdir();
	uint64_t n_sockets;
	struct stat st;

	put(dir, "mine", "mine");
	put(dir, "there", "seen");
	ASSERT_EQ(fstatat(dir, "there", &st, 0), 0);
	put(dir, "there", "written meanwhile");
	ASSERT_EQ(mkdirat(dir, "tree", 0755), 0);
	ASSERT_EQ(mlimg_put_copy(dir, "mine", dir, "there", &st), -ESTALE);
	ASSERT_EQ(mlimg_put_tree(dir, "tree", dir, "there", &st, &n_sockets), -ESTALE);
	check(dir, "there", "written meanwhile");
	ASSERT_EQ(mlimg_put_copy(dir, "mine", dir, "gone", &st), -ESTALE);
	ASSERT_EQ(names_in(dir), 3);
}

TEST(what_was_seen_is_replaced)
{
	mlimg_autoclose int dir = open_tmpdir();
	uint64_t n_sockets;
	struct stat st;

	put(dir, "mine", "mine");
	put(dir, "there", "seen");
	ASSERT_EQ(fstatat(dir, "there", &st, 0), 0);
	ASSERT_EQ(mlimg_put_copy(dir, "mine", dir, "there", &st), 0);
	check(dir, "there", "mine");
	ASSERT_EQ(mkdirat(dir, "tree", 0755), 0);
	ASSERT_EQ(fstatat(dir, "there", &st, 0), 0);
	ASSERT_EQ(mlimg_put_tree(dir, "tree", dir, "there", &st, &n_sockets), 0);
	ASSERT_EQ(n_sockets, 0);
	ASSERT_EQ(fstatat(dir, "there", &st, 0), 0);
	ASSERT(S_ISDIR(st.st_mode));
	ASSERT_EQ(mlimg_put_copy(dir, "mine", dir, "there", &st), -EISDIR);
	ASSERT_EQ(names_in(dir), 3);
}

TEST(what_was_seen_is_removed_and_nothing_else)
{
	mlimg_autoclose int dir = open_tmpdir();
	struct stat st;

	put(dir, "there", "seen");
	ASSERT_EQ(fstatat(dir, "there", &st, 0), 0);
	put(dir, "there", "written meanwhile");
	ASSERT_EQ(mlimg_put_away(dir, "there", &st), -ESTALE);
	ASSERT_EQ(mlimg_put_away(dir, "gone", &st), -ENOENT);
	check(dir, "there", "written meanwhile");
	ASSERT_EQ(fstatat(dir, "there", &st, 0), 0);
	ASSERT_EQ(mlimg_put_away(dir, "there", &st), 0);
	ASSERT_EQ(names_in(dir), 0);
	ASSERT_EQ(mkdirat(dir, "there", 0755), 0);
	ASSERT_EQ(mlimg_put_away(dir, "there", &st), -ESTALE);
	ASSERT_EQ(fstatat(dir, "there", &st, 0), 0);
	ASSERT_EQ(mlimg_put_away(dir, "there", &st), -EISDIR);
	ASSERT_EQ(names_in(dir), 1);
}
