/* SPDX-License-Identifier: MIT */
#include "libmlimg/upper-source.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/text.h"
#include "libmlimg/whiteout.h"
#include "tests/lib/test.h"

/* The tree that the case is about. */
static int upper_fd = -1;

static void begin(void)
{
	upper_fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY);
	ASSERT(upper_fd >= 0);
}

static void make_dir(const char *path)
{
	ASSERT(mkdirat(upper_fd, path, 0755) == 0);
}

static void make_file(const char *path, const char *text)
{
	mlimg_autoclose int fd = openat(upper_fd, path, O_WRONLY | O_CREAT | O_EXCL, 0644);

	ASSERT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

/*
 * Every entry: its path, and '/' for a directory, '!' for an opaque one, '-' for a whiteout, '@'
 * and the number of a group of hard links.
 */
static char *words_of(bool is_unionfs)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_text words = {.data = NULL};
	struct mlimg_manifest *m;
	struct mlimg_upper_dir dir;

	mlimg_upper_dir_init(&dir, upper_fd, is_unionfs);
	ASSERT_OK(dir.source.load(&dir.source, NULL, NULL, &m, &err), err);
	mlimg_text_put(&words, "", 0);
	for (size_t i = 1; i < m->n_entries; i++) {
		const struct mlimg_entry *e = &m->entries[i];
		char group[16];

		ASSERT(mlimg_manifest_path_cmp(e[-1].path, e->path) < 0);
		mlimg_text_put(&words, " ", i > 1);
		mlimg_text_put(&words, e->path, strlen(e->path));
		if (mlimg_entry_is_opaque(e))
			mlimg_text_put(&words, "!", 1);
		else if (e->type == MLIMG_DIR)
			mlimg_text_put(&words, "/", 1);
		else if (mlimg_entry_is_whiteout(e))
			mlimg_text_put(&words, "-", 1);
		if (e->hardlink)
			mlimg_text_put(&words, group,
				(size_t)snprintf(group, sizeof(group), "@%u", e->hardlink));
	}
	mlimg_manifest_free(m);
	return words.data;
}

static void check(bool is_unionfs, const char *wanted)
{
	mlimg_autofree char *words = words_of(is_unionfs);

	ASSERT_STR(words, wanted);
}

TEST(a_directory)
{
	begin();
	make_dir("a");
	make_file("a/x", "");
	make_file("a.b", "");
	ASSERT(linkat(upper_fd, "a.b", upper_fd, "a/y", 0) == 0);
	check(false, "a/ a/x a/y@1 a.b@1");
	check(true, "a/ a/x a/y@1 a.b@1");
}

TEST(contents)
{
	struct mlimg_upper_dir dir;
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint8_t digest[MLIMG_SHA256_SIZE], wanted[MLIMG_SHA256_SIZE];
	mlimg_autofree char *text = NULL, *head = NULL;
	size_t size;

	begin();
	make_file("f", "hello");
	ASSERT(symlinkat("f", upper_fd, "l") == 0);
	ASSERT(mkfifoat(upper_fd, "p", 0600) == 0);
	mlimg_upper_dir_init(&dir, upper_fd, false);
	ASSERT_OK(dir.source.digest(&dir.source, "f", digest, &err), err);
	mlimg_sha256_of("hello", 5, wanted);
	ASSERT_MEM(digest, wanted, sizeof(wanted));
	ASSERT_OK(dir.source.read(&dir.source, "f", 5, &text, &size, &err), err);
	ASSERT_STR(text, "hello");
	ASSERT_EQ(size, 5);
	ASSERT_EQ(dir.source.read(&dir.source, "f", 4, &text, &size, &err), -EFBIG);
	ASSERT_OK(dir.source.read_head(&dir.source, "f", 4, &head, &size, &err), err);
	ASSERT_STR(head, "hell");
	ASSERT_EQ(size, 4);
	ASSERT_FAILS(dir.source.digest(&dir.source, "l", digest, &err), err, -ELOOP,
		"read 'l': Too many levels of symbolic links");
	ASSERT_EQ(dir.source.digest(&dir.source, "none", digest, &err), -ENOENT);
	ASSERT_EQ(dir.source.digest(&dir.source, "../f", digest, &err), -EXDEV);
}

TEST(more_than_may_be)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_upper_dir dir;
	struct mlimg_manifest *m;
	char name[16];

	begin();
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		make_file(name, "");
	}
	mlimg_upper_dir_init(&dir, upper_fd, false);
	ASSERT_EQ(dir.memory_max, MLIMG_WALK_MEMORY_MAX);
	dir.memory_max = 1 << 20;
	ASSERT_OK(dir.source.load(&dir.source, NULL, NULL, &m, &err), err);
	ASSERT_EQ(m->n_entries, 2001);
	mlimg_manifest_free(m);
	dir.memory_max = 100000;
	ASSERT_FAILS(dir.source.load(&dir.source, NULL, NULL, &m, &err), err, -E2BIG,
		"names and attributes of more than 0 MiB: Argument list too long");
}

#define META ".unionfs-fuse"

TEST(markers)
{
	begin();
	make_dir("d");
	make_file("d/mine", "");
	make_file("f", "");
	make_dir(META);
	make_dir(META "/d");
	make_dir(META "/gone");
	make_file(META "/d_HIDDEN~", "");       /* opaque, */
	make_file(META "/d/below_HIDDEN~", ""); /* and says nothing of what is below */
	make_file(META "/f_HIDDEN~", "");       /* a file of the branch is there */
	make_file(META "/a_HIDDEN~", "");       /* a whiteout at the top */
	make_dir(META "/z_HIDDEN~");            /* of whatever type */
	make_file(META "/gone/x_HIDDEN~", "");  /* in a directory that the branch has not */
	make_file(META "/gone/no-marker", "");
	make_file(META "/._HIDDEN~", ""); /* no name */
	check(true, "a- d! d/mine f gone/x- z-");
}

TEST(markers_below_markers_and_files)
{
	begin();
	make_dir(META);
	make_dir(META "/a");
	make_dir(META "/a/b");
	make_dir(META "/f");
	make_file(META "/a_HIDDEN~", "");
	make_file(META "/a/b/c_HIDDEN~", "");
	make_file(META "/f/x_HIDDEN~", "");
	make_file("f", "");
	check(true, "a- f");
}

TEST(attributes_stay_sorted)
{
	static uint8_t v[] = "v";
	struct mlimg_xattr xattrs[] = {{(char *)"security.a", v, 1}, {(char *)"user.z", v, 1}};
	struct mlimg_entry entries[] = {{.path = (char *)"", .type = MLIMG_DIR},
		{.path = (char *)META, .type = MLIMG_DIR},
		{.path = (char *)META "/d_HIDDEN~", .type = MLIMG_FILE},
		{.path = (char *)"d", .type = MLIMG_DIR, .xattrs = xattrs, .n_xattrs = 2}};
	struct mlimg_manifest *m = mlimg_manifest_new();
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT(m);
	for (size_t i = 0; i < 4; i++)
		ASSERT(mlimg_manifest_add(m, &entries[i]));
	ASSERT_OK(mlimg_upper_from_unionfs(m, &err), err);
	ASSERT_EQ(m->n_entries, 2);
	ASSERT_EQ(m->entries[1].n_xattrs, 3);
	ASSERT_STR(m->entries[1].xattrs[0].name, "security.a");
	ASSERT_STR(m->entries[1].xattrs[1].name, MLIMG_XATTR_OPAQUE);
	ASSERT_STR(m->entries[1].xattrs[2].name, "user.z");
	mlimg_manifest_free(m);
}
