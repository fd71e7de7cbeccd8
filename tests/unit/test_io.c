/* SPDX-License-Identifier: MIT */
#include "libmlimg/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "tests/lib/tmpdir.h"

TEST(read_file_is_bounded)
{
	mlimg_autoclose int dir = open_tmpdir();
	mlimg_autofree char *data = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t size = 99;

	put(dir, "five", "12345");
	ASSERT_FAILS(mlimg_read_file(dir, "five", 4, &data, &size, &err), err, -EFBIG,
		"read 'five': more than 4 bytes: File too large");
	ASSERT(!data);
	ASSERT_EQ(size, 99);
	ASSERT_OK(mlimg_read_file(dir, "five", 5, &data, &size, &err), err);
	ASSERT_EQ(size, 5);
	ASSERT_STR(data, "12345");
}

TEST(read_file_empty_and_long)
{
	mlimg_autoclose int dir = open_tmpdir();
	mlimg_autofree char *nothing = NULL, *data = NULL, *text = malloc(100001);
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t size;

	put(dir, "empty", "");
	ASSERT_OK(mlimg_read_file(dir, "empty", 0, &nothing, &size, &err), err);
	ASSERT_EQ(size, 0);
	ASSERT_STR(nothing, "");

	for (size_t i = 0; i < 100000; i++)
		text[i] = (char)('a' + i % 26);
	text[100000] = '\0';
	put(dir, "long", text);
	ASSERT_OK(mlimg_read_file(dir, "long", 1 << 20, &data, &size, &err), err);
	ASSERT_EQ(size, 100000);
	ASSERT_STR(data, text);
}

TEST(read_file_takes_regular_files_only)
{
	mlimg_autoclose int dir = open_tmpdir();
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *data = NULL;
	size_t size;

	ASSERT_EQ(mkfifoat(dir, "fifo", 0600), 0);
	ASSERT_EQ(mkdirat(dir, "dir", 0700), 0);
	ASSERT_FAILS(mlimg_read_file(dir, "fifo", 9, &data, &size, &err), err, -EINVAL,
		"read 'fifo', which is no regular file: Invalid argument");
	ASSERT_FAILS(mlimg_read_file(dir, "dir", 9, &data, &size, &err), err, -EISDIR,
		"read 'dir', which is no regular file: Is a directory");
	ASSERT_FAILS(mlimg_read_file(dir, "none", 9, &data, &size, &err), err, -ENOENT,
		"open 'none': No such file or directory");
}

TEST(replace_file_new_and_old)
{
	mlimg_autoclose int dir = open_tmpdir();
	mlimg_autofree char *data = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct stat st;
	size_t size;

	umask(077);
	ASSERT_EQ(mkdirat(dir, "sub", 0700), 0);
	ASSERT_OK(mlimg_replace_file(dir, "sub/f", "old", 3, 0644, &err), err);
	ASSERT_OK(mlimg_replace_file(dir, "sub/f", "newer", 5, 0640, &err), err);
	ASSERT_OK(mlimg_read_file(dir, "sub/f", 99, &data, &size, &err), err);
	ASSERT_STR(data, "newer");
	ASSERT_EQ(fstatat(dir, "sub/f", &st, 0), 0);
	ASSERT_EQ(st.st_mode & 07777, 0640);
	ASSERT_EQ(names_in(dir), 1);
}

TEST(replace_file_replaces_a_link)
{
	mlimg_autoclose int dir = open_tmpdir();
	mlimg_autofree char *data = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t size;

	put(dir, "target", "mine");
	ASSERT_EQ(symlinkat("target", dir, "link"), 0);
	ASSERT_OK(mlimg_replace_file(dir, "link", "x", 1, 0600, &err), err);
	ASSERT_OK(mlimg_read_file(dir, "target", 99, &data, &size, &err), err);
	ASSERT_STR(data, "mine");
}

TEST(replace_file_failure_leaves_nothing)
{
	mlimg_autoclose int dir = open_tmpdir();
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_EQ(mkdirat(dir, "d", 0700), 0);
	ASSERT_FAILS(mlimg_replace_file(dir, "d", "x", 1, 0600, &err), err, -EISDIR,
		"write 'd': Is a directory");
	ASSERT_EQ(names_in(dir), 1);
	ASSERT_FAILS(mlimg_replace_file(dir, "none/f", "x", 1, 0600, &err), err, -ENOENT,
		"open the directory of 'none/f': No such file or directory");
}

/* A tree with ways out: "out/secret" lies beside the root "in". */
static int make_ways_out(int dir)
{
	mlimg_autoclose int in = -1;

	ASSERT_EQ(mkdirat(dir, "out", 0700), 0);
	put(dir, "out/secret", "s");
	ASSERT_EQ(mkdirat(dir, "in", 0700), 0);
	in = openat(dir, "in", O_RDONLY | O_DIRECTORY);
	ASSERT(in >= 0);
	ASSERT_EQ(mkdirat(in, "a", 0700), 0);
	ASSERT_EQ(mkdirat(in, "a/b", 0700), 0);
	put(in, "a/b/f", "f");
	ASSERT_EQ(symlinkat("../out", in, "up"), 0);
	ASSERT_EQ(symlinkat(test_tmpdir(), in, "absolute"), 0);
	ASSERT_EQ(symlinkat("../../../out/secret", in, "a/b/file"), 0);
	return mlimg_steal_fd(&in);
}

static void check_beneath(void)
{
	static const char *const out[] = {"..", "../out/secret", "/etc/passwd", "up/secret",
		"absolute/out/secret", "a/b/file", "a/../../out/secret"};
	mlimg_autoclose int dir = open_tmpdir();
	mlimg_autoclose int in = make_ways_out(dir);
	int fd;

	for (size_t i = 0; i < sizeof(out) / sizeof(*out); i++) {
		fd = mlimg_open_beneath(in, out[i], O_RDONLY);
		if (fd != -EXDEV && fd != -ELOOP)
			FAIL("'%s': %d", out[i], fd);
	}
	ASSERT_EQ(mlimg_open_beneath(in, "a/b/file", O_RDONLY | O_NOFOLLOW), -ELOOP);
	ASSERT_EQ(mlimg_open_beneath(in, "a/none", O_RDONLY), -ENOENT);
	ASSERT_EQ(mlimg_open_beneath(in, "a/b/f/g", O_RDONLY), -ENOTDIR);
	ASSERT_EQ(mlimg_open_beneath(in, "a/b/f/", O_RDONLY), -ENOTDIR);
	ASSERT_EQ(mlimg_open_beneath(in, "", O_RDONLY), -ENOENT);
	fd = mlimg_open_beneath(in, "./a//b/f", O_RDONLY);
	ASSERT(fd >= 0);
	ASSERT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	fd = mlimg_open_beneath(in, "a/b/new", O_RDWR | O_CREAT | O_EXCL);
	ASSERT(fd >= 0);
	close(fd);
	ASSERT_EQ(symlinkat("a", in, "stays"), 0);
	ASSERT_EQ(mlimg_open_beneath_strict(in, "stays/b/f", O_RDONLY), -ELOOP);
	ASSERT_EQ(mlimg_open_beneath_strict(in, "stays", O_RDONLY), -ELOOP);
	ASSERT_EQ(mlimg_open_beneath_strict(in, "stays", O_RDONLY | O_DIRECTORY), -ELOOP);
	ASSERT_EQ(mlimg_open_beneath_strict(in, "../in/a/b/f", O_RDONLY), -EXDEV);
	fd = mlimg_open_beneath_strict(in, "a/b/f", O_RDONLY);
	ASSERT(fd >= 0);
	close(fd);
}

TEST(beneath_by_openat2)
{
	check_beneath();
}

TEST(beneath_without_openat2)
{
	mlimg_autoclose int dir = open_tmpdir();

	setenv("MLIMG_NO_OPENAT2", "1", 1);
	check_beneath();
	/* Only this way refuses a link that stays inside, which shows that the fallback really ran.
	 */
	ASSERT_EQ(symlinkat("out", dir, "inside"), 0);
	ASSERT_EQ(mlimg_open_beneath(dir, "inside/secret", O_RDONLY), -ELOOP);
}

TEST(read_beneath_follows_nothing)
{
	mlimg_autoclose int dir = open_tmpdir();
	mlimg_autofree char *data = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t size = 99;

	put(dir, "five", "12345");
	ASSERT_EQ(mkdirat(dir, "d", 0755), 0);
	ASSERT_EQ(symlinkat("five", dir, "link"), 0);
	ASSERT_EQ(symlinkat("..", dir, "d/up"), 0);
	ASSERT_EQ(mkfifoat(dir, "fifo", 0600), 0);
	ASSERT_FAILS(mlimg_read_beneath(dir, "link", 9, &data, &size, &err), err, -ELOOP,
		"open 'link': Too many levels of symbolic links");
	ASSERT_FAILS(mlimg_read_beneath(dir, "d/up/five", 9, &data, &size, &err), err, -ELOOP,
		"open 'd/up/five': Too many levels of symbolic links");
	ASSERT_FAILS(mlimg_read_beneath(dir, "fifo", 9, &data, &size, &err), err, -EINVAL,
		"read 'fifo', which is no regular file: Invalid argument");
	ASSERT_FAILS(mlimg_read_beneath(dir, "none", 9, &data, &size, &err), err, -ENOENT,
		"open 'none': No such file or directory");
	ASSERT(!data);
	ASSERT_OK(mlimg_read_beneath(dir, "five", 5, &data, &size, &err), err);
	ASSERT_STR(data, "12345");
}

TEST(what_is_beneath_is_looked_at)
{
	mlimg_autoclose int dir = open_tmpdir();
	struct stat st;
	int r;

	ASSERT_EQ(mkdirat(dir, "sub", 0700), 0);
	put(dir, "sub/file", "12345");
	ASSERT_EQ(symlinkat("sub", dir, "link"), 0);
	ASSERT_EQ(mlimg_stat_beneath(dir, "sub/file", &st), 0);
	ASSERT_EQ(st.st_size, 5);
	ASSERT_EQ(mlimg_stat_beneath(dir, "link", &st), 0);
	ASSERT(S_ISLNK(st.st_mode));
	ASSERT_EQ(mlimg_stat_beneath(dir, "", &st), 0);
	ASSERT(S_ISDIR(st.st_mode));
	r = mlimg_stat_beneath(dir, "link/file", &st);
	ASSERT(r == -ELOOP || r == -ENOTDIR);
	ASSERT_EQ(mlimg_stat_beneath(dir, "../x", &st), -EXDEV);
	ASSERT_EQ(mlimg_stat_beneath(dir, "sub/none", &st), -ENOENT);
}

TEST(zeros)
{
	static const char bytes[] = {0, 0, 0, 1};

	ASSERT(mlimg_is_zero(NULL, 0));
	ASSERT(mlimg_is_zero(bytes, 1));
	ASSERT(mlimg_is_zero(bytes, 3));
	ASSERT(!mlimg_is_zero(bytes, 4));
	ASSERT(!mlimg_is_zero(bytes + 3, 1));
}
