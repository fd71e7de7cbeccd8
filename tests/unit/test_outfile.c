/* SPDX-License-Identifier: MIT */
/*
 * Files that belong together: what is left when one of them cannot be put in place. That signals
 * leave nothing, mkfs.bats shows.
 */
#include "tools/outfile.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "libmlimg/io.h"
#include "tests/lib/test.h"

static char dir[] = "/tmp/mlimg-test-XXXXXX";

static void remove_all(void)
{
	mlimg_autofree char *command = NULL;

	if (chdir("/") < 0 || asprintf(&command, "rm -rf '%s'", dir) < 0 || system(command) != 0)
		fprintf(stderr, "%s is left\n", dir);
}

static void begin(void)
{
	ASSERT(mkdtemp(dir));
	atexit(remove_all);
	ASSERT(chdir(dir) == 0);
}

static void put(const char *path, const char *text)
{
	struct mlimg_err err;

	ASSERT_OK(mlimg_replace_file(AT_FDCWD, path, text, strlen(text), 0644, &err), err);
}

/* @return what is in it; "-" when it is not there */
static const char *contents(const char *path)
{
	static char text[16];
	int fd = open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return "-";
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void open_new(struct mlimg_outfile *out, const char *path, bool can_replace)
{
	struct mlimg_err err;

	ASSERT_OK(mlimg_outfile_open(out, path, can_replace, &err), err);
	ASSERT(mlimg_write_all(out->fd, "new", 3) == 0);
}

TEST(all_in_place)
{
	struct mlimg_outfile a = MLIMG_OUTFILE_INIT, b = MLIMG_OUTFILE_INIT;
	struct mlimg_outfile *outs[] = {&a, &b};
	const char *stale[] = {"stale", "not-there"};
	struct mlimg_err err;

	begin();
	put("a", "old");
	put("stale", "old");
	open_new(&a, "a", true);
	open_new(&b, "b", false);
	ASSERT_OK(mlimg_outfile_commit_all(outs, 2, stale, 2, &err), err);
	ASSERT_STR(contents("a"), "new");
	ASSERT_STR(contents("b"), "new");
	ASSERT_STR(contents("stale"), "-");
	ASSERT(a.fd < 0 && b.fd < 0);
}

/*
 * Somebody puts a file in the way of the last one: those before it go, but for one that took the
 * place of another.
 */
TEST(one_in_the_way)
{
	struct mlimg_outfile a = MLIMG_OUTFILE_INIT, b = MLIMG_OUTFILE_INIT, c = MLIMG_OUTFILE_INIT;
	struct mlimg_outfile *outs[] = {&a, &b, &c};
	struct mlimg_err err = MLIMG_ERR_INIT;

	begin();
	put("a", "old");
	open_new(&a, "a", true);
	open_new(&b, "b", false);
	open_new(&c, "c", false);
	put("c", "other");
	ASSERT_EQ(mlimg_outfile_commit_all(outs, 3, NULL, 0, &err), -EEXIST);
	ASSERT_STR(err.text, "write 'c': File exists");
	ASSERT_STR(contents("a"), "new");
	ASSERT_STR(contents("b"), "-");
	ASSERT_STR(contents("c"), "other");
	/* No temporary file is left either. */
	ASSERT(rmdir(dir) < 0 && unlink("a") == 0 && unlink("c") == 0 && rmdir(dir) == 0);
	ASSERT(mkdir(dir, 0700) == 0);
}

/* What is stale cannot be removed: nothing has been put in place. */
TEST(stale_stays)
{
	struct mlimg_outfile a = MLIMG_OUTFILE_INIT;
	struct mlimg_outfile *outs[] = {&a};
	const char *stale[] = {"stale"};
	struct mlimg_err err = MLIMG_ERR_INIT;

	begin();
	put("a", "old");
	ASSERT(mkdir("stale", 0700) == 0);
	open_new(&a, "a", true);
	ASSERT_EQ(mlimg_outfile_commit_all(outs, 1, stale, 1, &err), -EISDIR);
	ASSERT_STR(err.text, "remove 'stale': Is a directory");
	ASSERT_STR(contents("a"), "old");
}
