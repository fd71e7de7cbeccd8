/* SPDX-License-Identifier: MIT */
/*
 * What has more entries than a manifest may is refused, or in a directory told, wherever it is
 * read. Compiled with another limit, for an image of MLIMG_ENTRIES_MAX entries takes gigabytes.
 */
#include "libmlimg/manifest.h"

#undef MLIMG_ENTRIES_MAX
#define MLIMG_ENTRIES_MAX 100

/* In this order no name of one's functions is a variable of the next one's. */
#include "tools/itree.c"

#include "libmlimg/walk-manifest.c"

#include "libmlimg/manifest-parse.c"
#include "tests/lib/test.h"

/* --- an image --- */

/* Its root has as many files as the context says. */
static int fake_dir(
	void *image, const void *inode, struct mlimg_ext4_dir *ret_dir, struct mlimg_err *err)
{
	size_t n = *(const size_t *)image;
	struct mlimg_ext4_dirent *entries = calloc(n, sizeof(*entries));
	char *names = calloc(n, 8);

	ASSERT(entries && names);
	for (size_t i = 0; i < n; i++) {
		sprintf(names + 8 * i, "%06zu", i);
		entries[i] = (struct mlimg_ext4_dirent){
			.name = names + 8 * i, .ino = 100 + (uint32_t)i, .type = MLIMG_FILE};
	}
	*ret_dir = (struct mlimg_ext4_dir){
		.entries = entries, .n_entries = n, .names = names, .parent_ino = 2};
	return 0;
}

static int fake_inode(void *image, uint32_t ino, void *ret_inode, struct mlimg_itree_node *ret_node,
	struct mlimg_err *err)
{
	*ret_node = (struct mlimg_itree_node){
		.ino = ino, .nlink = 1, .type = MLIMG_FILE, .inode = ret_inode};
	return 0;
}

static int fake_entry(void *image, const void *inode, void *attrs, struct mlimg_entry *ret_entry,
	struct mlimg_err *err)
{
	*ret_entry = (struct mlimg_entry){.type = MLIMG_FILE, .nlink = 1};
	return 0;
}

static void *fake_attrs(void)
{
	return malloc(1);
}

static const char *fake_at(void *image, const char *path)
{
	return NULL;
}

static int count(const struct mlimg_entry *entry, const struct mlimg_itree_node *node, void *ctx,
	struct mlimg_err *err)
{
	++*(size_t *)ctx;
	return 0;
}

TEST(an_image_is_refused)
{
	static const struct mlimg_itree_ops ops = {.inode = fake_inode,
		.dir = fake_dir,
		.entry = fake_entry,
		.attrs_new = fake_attrs,
		.attrs_free = free,
		.at = fake_at};
	const struct mlimg_itree_node root = {.ino = 2, .type = MLIMG_DIR};
	size_t n = MLIMG_ENTRIES_MAX - 1, seen = 0; /* and the root */
	const struct mlimg_itree tree = {.ops = &ops, .image = &n, .name = "user.img"};
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_itree_walk(&tree, &root, count, &seen, &err), err);
	ASSERT_EQ(seen, MLIMG_ENTRIES_MAX);
	n++;
	ASSERT_FAILS(mlimg_itree_walk(&tree, &root, count, &seen, &err), err, -EUCLEAN,
		"user.img: ./000099: more than 100 entries");
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
}

/* --- a manifest --- */

#define ENTRY " type=file mode=0644 uid=0 gid=0 size=0 time=0.000000000\n"

TEST(a_manifest_is_refused)
{
	char text[(MLIMG_ENTRIES_MAX + 2) * 80] =
		"#mtree\n. type=dir mode=0755 uid=0 gid=0 time=0.000000000\n";
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_manifest *m;

	for (int i = 1; i < MLIMG_ENTRIES_MAX; i++)
		sprintf(text + strlen(text), "./%06d" ENTRY, i);
	ASSERT_OK(mlimg_manifest_parse(text, strlen(text), &m, &err), err);
	mlimg_manifest_free(m);
	strcat(text, "./a" ENTRY);
	ASSERT_FAILS(mlimg_manifest_parse(text, strlen(text), &m, &err), err, -EUCLEAN,
		"line 102: more than 100 entries");
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
}

/* --- a directory --- */

/* The upper of a guest that is running goes on as it is: whoever reads it is told. */
TEST(a_directory_is_too_big)
{
	const char *dir = test_tmpdir();
	mlimg_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY);
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_manifest *m;
	char name[16];

	for (int i = 0; i < MLIMG_ENTRIES_MAX; i++) {
		if (i == MLIMG_ENTRIES_MAX - 1) {
			ASSERT_OK(mlimg_walk_manifest(fd, 0, false, &m, &err), err);
			mlimg_manifest_free(m);
		}
		snprintf(name, sizeof(name), "%d", i);
		ASSERT_EQ(mknodat(fd, name, S_IFREG | 0644, 0), 0);
	}
	ASSERT_FAILS(mlimg_walk_manifest(fd, 0, false, &m, &err), err, -E2BIG,
		"more than 100 entries: Argument list too long");
}
