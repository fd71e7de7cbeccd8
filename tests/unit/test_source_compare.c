/* SPDX-License-Identifier: MIT */
/* Files that several threads compare with known contents. */
#include "tools/source-compare.h"

#include <fcntl.h>
#include <stdatomic.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "tests/lib/test.h"

#define FILES 500
#define PATH_SIZE 300

/* Known are the contents "known N" of even N. */
static bool has_size(const void *ctx, uint64_t size_bytes)
{
	return size_bytes > 6 && size_bytes < 16;
}

static bool has_content(
	const void *ctx, uint64_t size_bytes, const uint8_t digest[MLIMG_SHA256_SIZE])
{
	for (int i = 0; i < FILES; i += 2) {
		uint8_t known[MLIMG_SHA256_SIZE];
		char text[20];

		snprintf(text, sizeof(text), "known %d", i);
		mlimg_sha256_of(text, strlen(text), known);
		if (memcmp(known, digest, sizeof(known)) == 0)
			return strlen(text) == size_bytes;
	}
	return false;
}

static const struct mlimg_known known = {.has_size = has_size, .has_content = has_content};

static struct mlimg_comparer *begin(void)
{
	struct mlimg_comparer *c;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_comparer_new(&known, &c, &err), err);
	return c;
}

/* A file with the text. @return its descriptor, at the beginning */
static int make(const char *name, const char *text, struct stat *ret_st)
{
	char path[PATH_SIZE];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", test_tmpdir(), name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	ASSERT(fd >= 0);
	ASSERT_EQ(mlimg_write_all(fd, text, strlen(text)), 0);
	ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
	ASSERT_EQ(fstat(fd, ret_st), 0);
	return fd;
}

struct seen {
	struct mlimg_file *files;
	int last;
	size_t n;
};

static int take(const char *path, const struct stat *st, struct mlimg_file *file, void *ctx,
	struct mlimg_err *err)
{
	struct seen *seen = ctx;
	int i = atoi(path);

	ASSERT(i > seen->last);
	ASSERT_EQ(i % 2, 1);
	ASSERT(file == &seen->files[i]);
	ASSERT(st->st_size > 0 && !file->is_left_out);
	seen->last = i;
	seen->n++;
	return 0;
}

TEST(many_files)
{
	struct mlimg_file *files = calloc(FILES, sizeof(*files));
	struct seen seen = {.files = files, .last = -1};
	struct mlimg_comparer *c = begin();
	struct mlimg_err err = MLIMG_ERR_INIT;

	for (int i = 0; i < FILES; i++) {
		char name[20], text[20];
		struct stat st;
		int fd;

		snprintf(name, sizeof(name), "%d", i);
		snprintf(text, sizeof(text), "known %d", i);
		fd = make(name, text, &st);
		ASSERT(mlimg_comparer_wants(c, &st));
		ASSERT_OK(mlimg_comparer_add(c, name, fd, &st, &files[i], &err), err);
		close(fd);
	}
	ASSERT_OK(mlimg_comparer_end(c, take, &seen, &err), err);
	ASSERT_EQ(seen.n, FILES / 2);
	for (int i = 0; i < FILES; i += 2) {
		uint8_t digest[MLIMG_SHA256_SIZE];
		char text[20];

		snprintf(text, sizeof(text), "known %d", i);
		mlimg_sha256_of(text, strlen(text), digest);
		ASSERT(files[i].is_left_out);
		ASSERT_EQ(files[i].size_bytes, strlen(text));
		ASSERT_MEM(files[i].digest, digest, sizeof(digest));
	}
	mlimg_comparer_free(c);
	free(files);
}

/*
 * What is known is known from the moment on when a file is asked for whose number is at least
 * ready_at.
 */
static int ready_at;
static atomic_int asked;

static bool is_ready(const void *ctx)
{
	return asked >= ready_at;
}

static int wait_until(const void *ctx, struct mlimg_err *err)
{
	if (ready_at > FILES + 1)
		return mlimg_err_set(err, ENOENT, "what is known");
	asked = FILES + 1;
	return 0;
}

static bool later_has_size(const void *ctx, uint64_t size_bytes)
{
	ASSERT(is_ready(ctx));
	return has_size(ctx, size_bytes);
}

static const struct mlimg_known later = {.wait = wait_until,
	.is_ready = is_ready,
	.has_size = later_has_size,
	.has_content = has_content};

static int take_in_order(const char *path, const struct stat *st, struct mlimg_file *file,
	void *ctx, struct mlimg_err *err)
{
	fprintf(ctx, "%s\n", path);
	return 0;
}

/*
 * Which files turn out to be unknown, in their order; some of them are larger than any known one.
 * @param at when what is known gets known
 */
static char *unknown_of(int at)
{
	struct mlimg_file *files = calloc(FILES, sizeof(*files));
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_comparer *c;
	size_t size;
	char *text;
	FILE *f = open_memstream(&text, &size);

	ready_at = at;
	asked = 0;
	ASSERT_OK(mlimg_comparer_new(&later, &c, &err), err);
	for (int i = 0; i < FILES; i++) {
		char name[20], contents[40];
		struct stat st;
		int fd;

		snprintf(name, sizeof(name), "%d", i);
		snprintf(contents, sizeof(contents),
			i % 10 == 5 ? "not known, since large %d" : "known %d", i);
		fd = make(name, contents, &st);
		asked = i;
		ASSERT(mlimg_comparer_wants(c, &st));
		ASSERT_OK(mlimg_comparer_add(c, name, fd, &st, &files[i], &err), err);
		close(fd);
	}
	ASSERT_OK(mlimg_comparer_end(c, take_in_order, f, &err), err);
	fclose(f);
	for (int i = 0; i < FILES; i++)
		ASSERT_EQ(files[i].is_left_out, i % 2 == 0);
	mlimg_comparer_free(c);
	free(files);
	return text;
}

TEST(what_is_known_late)
{
	mlimg_autofree char *first = unknown_of(0), *middle = unknown_of(FILES / 2);
	mlimg_autofree char *last = unknown_of(FILES + 1);

	ASSERT(strstr(first, "1\n3\n5\n7\n") == first);
	ASSERT_STR(middle, first);
	ASSERT_STR(last, first);
}

TEST(what_is_known_never)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_file file = {0};
	struct mlimg_comparer *c;
	struct stat st;
	int fd = make("f", "known 0", &st);

	ready_at = FILES + 2;
	asked = 0;
	ASSERT_OK(mlimg_comparer_new(&later, &c, &err), err);
	ASSERT_OK(mlimg_comparer_add(c, "f", fd, &st, &file, &err), err);
	ASSERT_FAILS(mlimg_comparer_end(c, take_in_order, NULL, &err), err, -ENOENT,
		"what is known: No such file or directory");
	mlimg_comparer_free(c);
	close(fd);
}

TEST(what_is_wanted)
{
	struct mlimg_comparer *c = begin();
	struct stat st = {.st_size = 10, .st_blocks = 8};

	ASSERT(mlimg_comparer_wants(c, &st));
	st.st_blocks = 0; /* a hole */
	ASSERT(!mlimg_comparer_wants(c, &st));
	st = (struct stat){.st_size = 17, .st_blocks = 8};
	ASSERT(!mlimg_comparer_wants(c, &st));
	st = (struct stat){.st_size = 0};
	ASSERT(!mlimg_comparer_wants(c, &st));
	mlimg_comparer_free(c);
}

/* Adds one file; what is wrong with it comes out at the end. */
static void fails(int fd, const struct stat *st, int code, const char *message)
{
	struct mlimg_comparer *c = begin();
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_file file = {0};
	struct seen seen = {.last = -1};

	ASSERT_OK(mlimg_comparer_add(c, "dir/file", fd, st, &file, &err), err);
	ASSERT_FAILS(mlimg_comparer_end(c, take, &seen, &err), err, code, message);
	ASSERT(!file.is_left_out);
	mlimg_comparer_free(c);
	close(fd);
}

TEST(a_file_that_has_changed)
{
	struct stat st;
	int fd = make("f", "known 0", &st);

	st.st_mtim.tv_nsec ^= 1;
	fails(fd, &st, -EIO, "'dir/file' changed while it was read");
}

TEST(a_file_that_cannot_be_read)
{
	struct stat st = {.st_size = 7};

	fails(open(test_tmpdir(), O_RDONLY), &st, -EISDIR, "read 'dir/file': Is a directory");
}

/* Nobody waits for the end after a failure elsewhere. */
TEST(freed_in_the_middle)
{
	struct mlimg_comparer *c = begin();
	struct mlimg_file files[60] = {{0}};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct stat st;
	int fd = make("f", "known 0", &st);

	for (int i = 0; i < 60; i++)
		ASSERT_OK(mlimg_comparer_add(c, "f", fd, &st, &files[i], &err), err);
	mlimg_comparer_free(c);
	close(fd);
}
