/* SPDX-License-Identifier: MIT */
/* The ext4 writer where real trees seldom come: extent trees, groups, link counts. */
#include "libmlimg/cleanup.h"
#include "tests/lib/ext4-maker.h"
#include "tools/ext4-read.h"

/* What was written is what the reader reads. */
static void check_file(const struct maker *m, const char *path, const struct mlimg_file *file)
{
	mlimg_autoext4 struct mlimg_ext4 *fs = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_ext4_inode inode;
	uint8_t digest[MLIMG_SHA256_SIZE];

	ASSERT_OK(mlimg_ext4_open(m->path, &fs, &err), err);
	ASSERT_OK(mlimg_ext4_lookup(fs, "/", path, 0, &inode, &err), err);
	ASSERT_EQ(inode.size_bytes, file->size_bytes);
	ASSERT_OK(mlimg_ext4_digest(fs, &inode, digest, &err), err);
	ASSERT_MEM(digest, file->digest, sizeof(digest));
}

/* A file of so many blocks with a hole behind each but the last. */
static struct mlimg_file *write_pieces(struct maker *m, unsigned n_pieces)
{
	struct mlimg_file *file = add(m, NULL, "file", MLIMG_FILE)->inode->file;
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint8_t block[BS];

	mlimg_data_begin(m->data, file, true);
	for (unsigned i = 0; i < n_pieces; i++) {
		memset(block, 1 + i % 255, sizeof(block));
		ASSERT_OK(mlimg_data_write(m->data, block, sizeof(block), &err), err);
		if (i + 1 < n_pieces)
			ASSERT_OK(mlimg_data_hole(m->data, BS * (1 + i % 3), &err), err);
	}
	ASSERT_OK(mlimg_data_end(m->data, &err), err);
	return file;
}

/*
 * 4 extents fit into an inode, 340 into a block: so the limits of no, one and two levels of blocks.
 */
TEST(extent_trees)
{
	static const unsigned pieces[] = {0, 1, 4, 5, 340, 341, 1360, 1361, 3000};

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct mlimg_err err = MLIMG_ERR_INIT;
		struct mlimg_file *file;
		struct maker m;

		begin(&m, MLIMG_SYSTEM, 0);
		file = write_pieces(&m, pieces[i]);
		ASSERT_EQ(file->n_extents, pieces[i]);
		ASSERT_OK(finish(&m, MLIMG_SYSTEM, &err), err);
		check(&m);
		check_file(&m, "/file", file);
		done(&m);
	}
}

/* Bytes on both sides of the ends of blocks, and of holes that do not begin or end with one. */
TEST(pieces_of_all_lengths)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_file *files[200];
	uint8_t bytes[3 * BS];
	struct maker m;
	char name[16];

	test_seed();
	memset(bytes, 0x5a, sizeof(bytes));
	begin(&m, MLIMG_SYSTEM, 0);
	for (unsigned i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "%u", i);
		files[i] = add(&m, NULL, name, MLIMG_FILE)->inode->file;
		mlimg_data_begin(m.data, files[i], true);
		for (uint64_t n = test_random(8); n; n--) {
			uint64_t size =
				test_random(3) ? test_random(sizeof(bytes)) : test_random(3) * BS;

			if (test_random(2))
				ASSERT_OK(mlimg_data_write(m.data, bytes, size, &err), err);
			else
				ASSERT_OK(mlimg_data_hole(m.data, size, &err), err);
		}
		ASSERT_OK(mlimg_data_end(m.data, &err), err);
	}
	ASSERT_OK(finish(&m, MLIMG_SYSTEM, &err), err);
	check(&m);
	for (unsigned i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "/%u", i);
		check_file(&m, name, files[i]);
	}
	done(&m);
}

/* A user layer has metadata of other groups in the way of a large file. */
TEST(user_layer_contents_go_around_metadata)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_file *file;
	static uint8_t bytes[1 << 20];
	struct maker m;

	begin(&m, MLIMG_USER, UINT64_C(300) << 20);
	file = add(&m, NULL, "file", MLIMG_FILE)->inode->file;
	mlimg_data_begin(m.data, file, true);
	for (unsigned i = 0; i < 200; i++) {
		memset(bytes, (int)i, sizeof(bytes));
		ASSERT_OK(mlimg_data_write(m.data, bytes, sizeof(bytes), &err), err);
	}
	ASSERT_OK(mlimg_data_end(m.data, &err), err);
	ASSERT(file->n_extents > 1);
	ASSERT_OK(finish(&m, MLIMG_USER, &err), err);
	check(&m);
	check_file(&m, "/file", file);
	done(&m);
}

TEST(user_layer_that_is_too_small)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	static uint8_t bytes[1 << 20];
	struct mlimg_file file = {0};
	struct maker m;
	int r = 0;

	begin(&m, MLIMG_USER, 16 << 20);
	mlimg_data_begin(m.data, &file, true);
	for (unsigned i = 0; i < 20 && r == 0; i++)
		r = mlimg_data_write(m.data, bytes, sizeof(bytes), &err);
	ASSERT_FAILS(r, err, -EIO, "'image': 16777216 bytes are too small for the contents");
	free(file.extents);
	done(&m);
}

/* More inodes than a group can have, and hardly any contents: groups smaller than usual. */
TEST(many_inodes_without_contents)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct maker m;
	char name[16];

	begin(&m, MLIMG_SYSTEM, 0);
	for (unsigned i = 0; i < 70000; i++) {
		snprintf(name, sizeof(name), "%u", i);
		add(&m, NULL, name, MLIMG_FIFO);
	}
	ASSERT_OK(finish(&m, MLIMG_SYSTEM, &err), err);
	check(&m);
	done(&m);
}

/* ext4 counts up to 64999 directories in a directory; then it says 1. */
TEST(more_directories_than_links)
{
	static const unsigned counts[] = {64998, 64999};

	for (size_t c = 0; c < 2; c++) {
		mlimg_autoext4 struct mlimg_ext4 *fs = NULL;
		struct mlimg_err err = MLIMG_ERR_INIT;
		struct mlimg_ext4_inode inode;
		struct maker m;
		char name[16];

		begin(&m, MLIMG_SYSTEM, 0);
		for (unsigned i = 0; i < counts[c]; i++) {
			snprintf(name, sizeof(name), "%u", i);
			add(&m, NULL, name, MLIMG_DIR);
		}
		ASSERT_OK(finish(&m, MLIMG_SYSTEM, &err), err);
		check(&m);
		ASSERT_OK(mlimg_ext4_open(m.path, &fs, &err), err);
		ASSERT_OK(mlimg_ext4_inode_read(fs, MLIMG_EXT4_ROOT_INO, &inode, &err), err);
		ASSERT_EQ(inode.nlink, c == 0 ? 65000 : 1);
		done(&m);
	}
}

TEST(more_names_than_links)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_node *first;
	struct maker m;
	char name[16];
	int r = 0;

	begin(&m, MLIMG_SYSTEM, 0);
	first = add(&m, NULL, "first", MLIMG_FIFO);
	for (unsigned i = 1; i < MLIMG_LINKS_MAX + 1 && r == 0; i++) {
		snprintf(name, sizeof(name), "%u", i);
		r = mlimg_tree_link(m.tree, first->parent, name, first->inode, name, &err);
	}
	ASSERT_FAILS(r, err, -EUCLEAN, "'65000': a file with more than 65000 names");
	ASSERT_OK(finish(&m, MLIMG_SYSTEM, &(struct mlimg_err)MLIMG_ERR_INIT), err);
	check(&m);
	done(&m);
}
