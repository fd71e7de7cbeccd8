/* SPDX-License-Identifier: MIT */
/* A directory that changes while it is read. */
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/lib/test.h"
#include "tools/ext4-data.h"
#include "tools/source.h"

/* What happens to the file when the first block for its contents is asked for: it has been opened then. */
struct change {
	char path[300];
	void (*fn)(const char *path);
};

static void grow(const char *path)
{
	ASSERT_EQ(truncate(path, 100000), 0);
}

static void shrink(const char *path)
{
	ASSERT_EQ(truncate(path, 10), 0);
}

static void rewrite(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ASSERT_EQ(pwrite(fd, "y", 1, 0), 1);
	close(fd);
}

/* As rewrite(), and the time is put back; the time of the inode's last change tells. */
static void rewrite_secretly(const char *path)
{
	struct stat st;

	ASSERT_EQ(stat(path, &st), 0);
	rewrite(path);
	ASSERT_EQ(utimensat(AT_FDCWD, path, (struct timespec[]){st.st_atim, st.st_mtim}, 0), 0);
}

static void leave(const char *path)
{
}

static int alloc(void *ctx, uint64_t *ret_start, uint64_t *ret_count, struct mlimg_err *err)
{
	const struct change *change = ctx;

	change->fn(change->path);
	*ret_start = 0;
	*ret_count = 1000;
	return 0;
}

static int read_changing(void (*fn)(const char *path), struct mlimg_err *err)
{
	const struct timespec a_moment = {.tv_nsec = 20000000}; /* times of inodes count in ticks */
	struct change change = {.fn = fn};
	struct mlimg_source_to to = {.kind = MLIMG_SYSTEM};
	char dir[280], bytes[50000];
	int fd, r;

	snprintf(dir, sizeof(dir), "%s/source", test_tmpdir());
	ASSERT_EQ(mkdir(dir, 0700), 0);
	snprintf(change.path, sizeof(change.path), "%s/file", dir);
	memset(bytes, 'x', sizeof(bytes));
	fd = open(change.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_EQ(write(fd, bytes, sizeof(bytes)), (int)sizeof(bytes));
	close(fd);
	nanosleep(&a_moment, NULL);

	ASSERT_OK(mlimg_tree_new(MLIMG_SYSTEM, &to.tree, err), *err);
	to.top = mlimg_tree_root(to.tree);
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	ASSERT_OK(mlimg_data_new(fd, "image", alloc, &change, &to.data, err), *err);
	r = mlimg_source_read_dir(dir, MLIMG_DIR_PLAIN, &to, err);
	mlimg_data_free(to.data);
	mlimg_tree_free(to.tree);
	close(fd);
	return r;
}

static void expect_change(void (*fn)(const char *path))
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_FAILS(read_changing(fn, &err), err, -EIO, "'file' changed while it was read");
}

TEST(source_at_rest)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(read_changing(leave, &err), err);
}

TEST(file_that_grows)
{
	expect_change(grow);
}

TEST(file_that_shrinks)
{
	expect_change(shrink);
}

TEST(file_that_is_rewritten)
{
	expect_change(rewrite);
}

TEST(file_that_is_rewritten_secretly)
{
	expect_change(rewrite_secretly);
}
