/* SPDX-License-Identifier: MIT */
/*
 * Limits of tools/erofs-write.h. That its images are right is shown by mounting them
 * (tests/root/index.bats).
 */
#include "tools/erofs-write.h"

#include <sys/stat.h>

#include "tests/lib/test.h"
#include "tools/erofs-internal.h"

#define BLOCK 4096ull
#define CHUNKS_MAX (1ull << 24)

static struct mlimg_err err = MLIMG_ERR_INIT;
static struct mlimg_erofs *image;

static void begin(void)
{
	struct mlimg_erofs_attr root = {.mode = S_IFDIR | 0755};
	uint32_t ino;

	ASSERT_OK(mlimg_erofs_new(&image, &err), err);
	ASSERT_EQ(mlimg_erofs_add_device(
			  image, "device", (const uint8_t[MLIMG_PLACES_SIZE]){1}, 1u << 31, &err),
		1);
	ASSERT_OK(mlimg_erofs_add_inode(image, &root, &ino, &err), err);
	ASSERT_EQ(ino, 0);
}

/* A file with that name in the root. */
static uint32_t add_file(const char *name, uint64_t size_bytes)
{
	struct mlimg_erofs_attr attr = {
		.mode = S_IFREG | 0644, .nlink = 1, .size_bytes = size_bytes};
	uint32_t ino;

	ASSERT_OK(mlimg_erofs_add_inode(image, &attr, &ino, &err), err);
	ASSERT_OK(mlimg_erofs_add_name(image, 0, name, strlen(name), ino, &err), err);
	return ino;
}

/* One in as many pieces as it has blocks: its second block begins a run. */
static uint32_t add_scattered(const char *name, uint64_t n_blocks)
{
	uint32_t ino = add_file(name, n_blocks * BLOCK);

	ASSERT_OK(mlimg_erofs_add_extent(image, ino, 1, 1, 1, 7, &err), err);
	return ino;
}

static int write_image(void)
{
	FILE *f = tmpfile();
	int r;

	ASSERT(f);
	r = mlimg_erofs_write(image, fileno(f), (const uint8_t[16]){1}, "test", NULL, &err);
	fclose(f);
	mlimg_erofs_free(image);
	return r;
}

TEST(xattr_without_a_place_is_refused)
{
	begin();
	ASSERT_FAILS(mlimg_erofs_add_xattr(image, 0, "system.nfs4_acl", "", 0, &err), err, -EUCLEAN,
		"has the xattr system.nfs4_acl, for which EROFS has no place");
	mlimg_erofs_free(image);
}

TEST(xattr_value_too_large_is_refused)
{
	static char value[65536];

	begin();
	ASSERT_OK(mlimg_erofs_add_xattr(image, 0, "user.a", value, 65535, &err), err);
	ASSERT_FAILS(mlimg_erofs_add_xattr(image, 0, "user.b", value, 65536, &err), err, -EUCLEAN,
		"has the xattr user.b of 65536 bytes: EROFS takes 65535");
	ASSERT_OK(write_image(), err);
}

TEST(xattrs_too_large_together_are_refused)
{
	static char value[65000];
	char name[] = "user.a";

	begin();
	for (; name[5] < 'e'; name[5]++) {
		ASSERT_OK(mlimg_erofs_add_xattr(image, 0, name, value, sizeof(value), &err), err);
		ASSERT_OK(mlimg_erofs_check_inode(image, 0, &err), err);
	}
	ASSERT_OK(mlimg_erofs_add_xattr(image, 0, name, value, sizeof(value), &err), err);
	ASSERT_FAILS(mlimg_erofs_check_inode(image, 0, &err), err, -EUCLEAN,
		"has 325052 bytes of xattrs: EROFS takes 262140");
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	ASSERT_EQ(write_image(), -EUCLEAN);
}

TEST(device_number_too_large_is_refused)
{
	struct mlimg_erofs_attr attr = {
		.mode = S_IFCHR, .nlink = 1, .dev_major = 4095, .dev_minor = 1048575};
	uint32_t ino;

	begin();
	ASSERT_OK(mlimg_erofs_add_inode(image, &attr, &ino, &err), err);
	attr.dev_minor++;
	ASSERT_FAILS(mlimg_erofs_add_inode(image, &attr, &ino, &err), err, -EUCLEAN,
		"has the device number 4095:1048576");
	mlimg_erofs_free(image);
}

TEST(too_many_names_are_refused)
{
	uint32_t ino;
	size_t n;

	begin();
	ino = add_file("a", 0);
	n = image->names.size;
	image->names.size = 1u << 25; /* the others cost a gigabyte */
	ASSERT_FAILS(mlimg_erofs_add_name(image, 0, "b", 1, ino, &err), err, -EUCLEAN,
		"is the 33554433th name, which is one too many");
	image->names.size = n;
	ASSERT_OK(mlimg_erofs_add_name(image, 0, "b", 1, ino, &err), err);
	ASSERT_OK(write_image(), err);
}

TEST(file_in_too_many_pieces_is_refused)
{
	uint32_t ino;

	begin();
	ino = add_scattered("most", CHUNKS_MAX);
	ASSERT_OK(mlimg_erofs_check_inode(image, ino, &err), err);
	ino = add_scattered("too-many", CHUNKS_MAX + 1);
	ASSERT_FAILS(mlimg_erofs_check_inode(image, ino, &err), err, -EUCLEAN,
		"is a file of 68719480832 bytes in too many pieces: 16777217 of equal size, where "
		"16777216 can be");
	ASSERT_EQ(write_image(), -EUCLEAN);
}

TEST(files_in_too_many_pieces_together_are_refused)
{
	char name[] = "a";

	begin();
	for (; *name < 'e'; ++*name)
		ASSERT_OK(
			mlimg_erofs_check_inode(image, add_scattered(name, CHUNKS_MAX), &err), err);
	ASSERT_FAILS(mlimg_erofs_check_inode(image, add_scattered(name, 2), &err), err, -EUCLEAN,
		"is a file in 2 pieces: with it, all files have more than the 67108864 that can "
		"be");
	mlimg_erofs_free(image);
}

TEST(contiguous_file_of_any_size_is_one_piece)
{
	uint32_t ino;

	begin();
	for (uint64_t n = 1; n < 1u << 31; n = 2 * n + 1) {
		char name[24];

		snprintf(name, sizeof(name), "%ju", (uintmax_t)n);
		ino = add_file(name, n * BLOCK);
		ASSERT_OK(mlimg_erofs_add_extent(image, ino, 0, n, 1, 0, &err), err);
		ASSERT_OK(mlimg_erofs_check_inode(image, ino, &err), err);
	}
	ASSERT_OK(write_image(), err);
}

TEST(joined_disk_has_at_most_32_bits_of_blocks)
{
	const uint64_t most = UINT32_MAX - 2, too_many = UINT32_MAX - 1, too_few = (1u << 31) - 1;

	begin();
	ASSERT_FAILS(mlimg_erofs_join(image, &too_few, &err), err, -EINVAL,
		"room of device 1: Invalid argument");
	/* The image itself has one block. */
	ASSERT_OK(mlimg_erofs_join(image, &most, &err), err);
	ASSERT_OK(write_image(), err);
	begin();
	ASSERT_OK(mlimg_erofs_join(image, &too_many, &err), err);
	ASSERT_FAILS(write_image(), err, -EUCLEAN,
		"is too large for one disk with its layers: 4294967294 blocks of 4096 bytes can "
		"be");
}

TEST(what_is_no_tree_is_an_error)
{
	struct mlimg_erofs_attr dir = {.mode = S_IFDIR | 0755};
	uint32_t ino;

	begin();
	ASSERT_OK(mlimg_erofs_add_inode(image, &dir, &ino, &err), err);
	ASSERT_FAILS(write_image(), err, -EINVAL, "inodes without a name: 1: Invalid argument");
	begin();
	ASSERT_OK(mlimg_erofs_add_inode(image, &dir, &ino, &err), err);
	ASSERT_OK(mlimg_erofs_add_name(image, 0, "a", 1, ino, &err), err);
	ASSERT_FAILS(mlimg_erofs_add_name(image, 0, "b", 1, ino, &err), err, -EINVAL,
		"a second name 'b' of a directory: Invalid argument");
	ASSERT_OK(mlimg_erofs_add_name(image, 0, "a", 1, add_file("c", 0), &err), err);
	ASSERT_FAILS(write_image(), err, -EINVAL,
		"the name 'a' twice in one directory: Invalid argument");
	begin();
	ASSERT_FAILS(mlimg_erofs_add_name(image, 0, "a/b", 3, 0, &err), err, -EINVAL,
		"name 'a/b': Invalid argument");
	ino = add_file("a", 9 * BLOCK);
	ASSERT_OK(mlimg_erofs_add_extent(image, ino, 2, 2, 1, 7, &err), err);
	ASSERT_FAILS(mlimg_erofs_add_extent(image, ino, 3, 1, 1, 20, &err), err, -EINVAL,
		"extents overlap: Invalid argument");
	mlimg_erofs_free(image);
}
