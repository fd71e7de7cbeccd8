/* SPDX-License-Identifier: MIT */
/* A directory that changes while it is read. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/lib/test.h"
#include "tools/ext4-data.h"
#include "tools/source.h"

/*
 * What happens to the file when the first block for its contents is asked for: it has been opened
 * then.
 */
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

/*
 * Something else gets its name; what was opened is as it was, but for the time of its last change.
 */
static void replace(const char *path)
{
	char other[310];
	int fd;

	snprintf(other, sizeof(other), "%s.new", path);
	fd = open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_EQ(write(fd, "other", 5), 5);
	close(fd);
	ASSERT_EQ(rename(other, path), 0);
}

static void vanish(const char *path)
{
	ASSERT_EQ(unlink(path), 0);
}

static void touch(const char *path)
{
	ASSERT_EQ(utimensat(AT_FDCWD, path, NULL, 0), 0);
}

/* The directory's names have been read by then. */
static void add_another(const char *path)
{
	char other[310];
	int fd;

	snprintf(other, sizeof(other), "%s.new", path);
	fd = open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ASSERT(fd >= 0);
	close(fd);
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

TEST(file_that_is_replaced)
{
	expect_change(replace);
}

TEST(file_that_vanishes)
{
	expect_change(vanish);
}

TEST(file_that_is_touched)
{
	expect_change(touch);
}

TEST(directory_that_gets_another_name)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_FAILS(read_changing(add_another, &err), err, -EIO, "'.' changed while it was read");
}

#define SECRET_SIZE 12345 /* of a file outside; no other has this size */

static void make_file(const char *name, size_t size)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ASSERT(fd >= 0);
	ASSERT_EQ(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

/*
 * In the present directory: a source whose names will be exchanged with links that lead out of it,
 * and a FIFO.
 */
static void make_traps(void)
{
	ASSERT_EQ(mkdir("outside", 0700), 0);
	make_file("outside/secret", SECRET_SIZE);
	ASSERT_EQ(mkdir("source", 0700), 0);
	ASSERT_EQ(mkdir("source/dir", 0700), 0);
	make_file("source/dir/inside", 10);
	make_file("source/file", 10);
	make_file("source/file2", 10);
	ASSERT_EQ(symlink("../outside", "source/to-dir"), 0);
	ASSERT_EQ(symlink("../outside/secret", "source/to-file"), 0);
	ASSERT_EQ(mkfifo("source/fifo", 0600), 0);
}

static void exchange_for_ever(void)
{
	static const char *const pairs[][2] = {{"source/dir", "source/to-dir"},
		{"source/file", "source/to-file"}, {"source/file2", "source/fifo"}};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned i = 0;; i++) {
		const char *const *pair = pairs[i % 3];

		if (renameat2(AT_FDCWD, pair[0], AT_FDCWD, pair[1], RENAME_EXCHANGE) < 0)
			_exit(1);
	}
}

/* @return whether it could be read */
static bool read_among_traps(void)
{
	struct mlimg_source_to to = {.kind = MLIMG_SYSTEM};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct change change = {.fn = leave};
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC), r;

	ASSERT_OK(mlimg_tree_new(MLIMG_SYSTEM, &to.tree, &err), err);
	to.top = mlimg_tree_root(to.tree);
	ASSERT_OK(mlimg_data_new(fd, "image", alloc, &change, &to.data, &err), err);
	r = mlimg_source_read_dir("source", MLIMG_DIR_PLAIN, &to, &err);
	for (const struct mlimg_node *n = to.top; n; n = mlimg_tree_next(n, to.top)) {
		ASSERT(strcmp(n->name, "secret") != 0);
		if (n->inode->type == MLIMG_FILE && n->inode->file)
			ASSERT(n->inode->file->size_bytes != SECRET_SIZE);
	}
	mlimg_data_free(to.data);
	mlimg_tree_free(to.tree);
	close(fd);
	return r == 0;
}

TEST(links_out_of_the_source_that_come_and_go)
{
	unsigned n_read = 0;
	pid_t child;

	ASSERT_EQ(chdir(test_tmpdir()), 0);
	make_traps();
	child = fork();
	ASSERT(child >= 0);
	if (child == 0)
		exchange_for_ever();
	for (int i = 0; i < 400; i++)
		n_read += read_among_traps();
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	printf("read %u of 400 times\n", n_read);
}
