/* SPDX-License-Identifier: MIT */
/* Also with what a FUSE lacks, and with somebody who writes just when a name is given away. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "tests/lib/tmpdir.h"

static bool has_no_flags;     /* of renameat2(2), as a FUSE */
static const char *writes_to; /* once, after the next rename; NULL: nobody writes */

/* --- what stands for the kernel --- */

static int fake_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	int r = renameat(from_fd, from, to_fd, to);

	if (r == 0 && writes_to) {
		put(to_fd, *writes_to ? writes_to : to, "written meanwhile");
		writes_to = NULL;
	}
	return r;
}

static int fake_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	if (!has_no_flags)
		return renameat2(from_fd, from, to_fd, to, flags);
	errno = EINVAL;
	return -1;
}

#define renameat fake_renameat
#define renameat2 fake_renameat2

#include "guest-agent/put-file.c"

/* --- */

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

/* Whoever had it open, or has opened it before the rename, has written to what has another name. */
static void check_name_is_given_back(void)
{
	mlimg_autoclose int dir = open_tmpdir();
	struct stat st;

	put(dir, "there", "seen");
	ASSERT_EQ(fstatat(dir, "there", &st, 0), 0);
	writes_to = "";
	ASSERT_EQ(mlimg_put_away(dir, "there", &st), -ESTALE);
	ASSERT(!writes_to);
	check(dir, "there", "written meanwhile");
	ASSERT_EQ(names_in(dir), 1);
}

TEST(what_is_written_to_while_it_goes_has_its_name_again)
{
	check_name_is_given_back();
	has_no_flags = true;
	check_name_is_given_back();
}

TEST(what_comes_while_something_goes_stays)
{
	mlimg_autoclose int dir = open_tmpdir();
	struct stat st;

	put(dir, "there", "seen");
	ASSERT_EQ(fstatat(dir, "there", &st, 0), 0);
	writes_to = "there";
	ASSERT_EQ(mlimg_put_away(dir, "there", &st), 0);
	check(dir, "there", "written meanwhile");
	ASSERT_EQ(names_in(dir), 1);
}

TEST(without_flags_what_was_seen_is_replaced)
{
	mlimg_autoclose int dir = open_tmpdir();
	uint64_t n_sockets;
	struct stat st;

	has_no_flags = true;
	put(dir, "mine", "mine");
	put(dir, "there", "seen");
	ASSERT_EQ(fstatat(dir, "there", &st, 0), 0);
	ASSERT_EQ(mlimg_put_copy(dir, "mine", dir, "there", &st), 0);
	check(dir, "there", "mine");
	ASSERT_EQ(mkdirat(dir, "tree", 0755), 0);
	ASSERT_EQ(fstatat(dir, "there", &st, 0), 0);
	ASSERT_EQ(mlimg_put_tree(dir, "tree", dir, "there", &st, &n_sockets), 0);
	ASSERT_EQ(fstatat(dir, "there", &st, 0), 0);
	ASSERT(S_ISDIR(st.st_mode));
	ASSERT_EQ(names_in(dir), 3);
}
