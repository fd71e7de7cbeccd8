/* SPDX-License-Identifier: MIT */
/* Large directories: hash trees that e2fsck and our reader find right. */
#include <ext2fs/ext2fs.h>

#include "libmlimg/cleanup.h"
#include "tests/lib/ext4-maker.h"
#include "tools/ext4-read.h"

#define LINEAR_BLOCKS_MAX 32
/* Names of this length: 15 go into a block. */
#define LONG_NAME 255
#define LONG_PER_BLOCK \
	15 /* the first block of a linear directory has room for "." and ".." besides */

/* How many lines debugfs prints about the directory /d that contain @text. */
static unsigned dumped(const struct maker *m, const char *text)
{
	char command[1024], answer[32] = "";
	FILE *f;

	snprintf(command, sizeof(command),
		"PATH=$PATH:/sbin; debugfs -R 'htree_dump /d' %s 2>&1 | grep -c '%s'", m->path,
		text);
	f = popen(command, "r");
	ASSERT(f && fgets(answer, sizeof(answer), f));
	pclose(f);
	return (unsigned)atoi(answer);
}

/* All names of /d, and no others, are what the reader finds. */
static void check_names(const struct maker *m, const struct mlimg_node *dir)
{
	mlimg_autoext4 struct mlimg_ext4 *fs = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_ext4_inode inode;
	struct mlimg_ext4_dir found;
	size_t i = 0;

	ASSERT_OK(mlimg_ext4_open(m->path, &fs, &err), err);
	ASSERT_OK(mlimg_ext4_lookup(fs, "/", "d", 0, &inode, &err), err);
	ASSERT_OK(mlimg_ext4_dir_read(fs, &inode, &found, &err), err);
	for (const struct mlimg_node *e = dir->inode->entries; e; e = e->next, i++) {
		ASSERT(i < found.n_entries);
		ASSERT_STR(found.entries[i].name, e->name);
		ASSERT_EQ(found.entries[i].ino, e->inode->number);
	}
	ASSERT_EQ(i, found.n_entries);
	mlimg_ext4_dir_done(&found);
}

/*
 * An image whose directory /d has @n long names. @return what debugfs says of levels; -1: no hash
 * tree
 */
static int levels_of(enum mlimg_kind kind, unsigned n)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_node *dir;
	char name[LONG_NAME + 1];
	struct maker m;
	int levels = -1;

	begin(&m, kind, kind == MLIMG_USER ? 64 << 20 : 0);
	dir = add(&m, NULL, "d", MLIMG_DIR);
	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%0*u", LONG_NAME, i * 7919);
		add(&m, dir, name, i % 3 ? MLIMG_FILE : MLIMG_FIFO);
	}
	ASSERT_OK(finish(&m, kind, &err), err);
	check(&m);
	check_names(&m, dir);
	if (!dumped(&m, "Not a hash-indexed directory"))
		levels = dumped(&m, "Indirect levels: 1") ? 1 : 0;
	done(&m);
	return levels;
}

TEST(only_large_directories_are_hash_trees)
{
	ASSERT_EQ(levels_of(MLIMG_SYSTEM, LINEAR_BLOCKS_MAX * LONG_PER_BLOCK), -1);
	ASSERT_EQ(levels_of(MLIMG_SYSTEM, LINEAR_BLOCKS_MAX * LONG_PER_BLOCK + 1), 0);
}

TEST(user_layers_have_them_too)
{
	ASSERT_EQ(levels_of(MLIMG_USER, 1000), 0);
}

/* The root points at 507 blocks. */
TEST(second_level_begins_where_the_root_is_full)
{
	ASSERT_EQ(levels_of(MLIMG_SYSTEM, 507 * LONG_PER_BLOCK), 0);
	ASSERT_EQ(levels_of(MLIMG_SYSTEM, 507 * LONG_PER_BLOCK + 1), 1);
}

/* A node points at 510 blocks. */
TEST(second_level_of_several_nodes)
{
	ASSERT_EQ(levels_of(MLIMG_SYSTEM, 510 * LONG_PER_BLOCK), 1);
	ASSERT_EQ(levels_of(MLIMG_SYSTEM, 1021 * LONG_PER_BLOCK), 1);
}

struct hashed {
	uint32_t hash;
	unsigned i;
};

static int by_hash(const void *a, const void *b)
{
	const struct hashed *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->i < y->i ? -1 : x->i > y->i;
}

/*
 * Names with the same hash in pairs; an odd number goes into a block, so that many pairs are
 * divided.
 */
TEST(names_of_one_hash_in_two_blocks)
{
	enum { TRIED = 1500000, WANTED = 600 };
	mlimg_autofree struct hashed *all = calloc(TRIED, sizeof(*all));
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_node *dir;
	char name[LONG_NAME + 1];
	uint32_t seed[4], minor;
	unsigned n = 0;
	struct maker m;

	mlimg_sha256_of("", 0, digest); /* of no places: there are no contents */
	memcpy(seed, digest, sizeof(seed));
	begin(&m, MLIMG_SYSTEM, 0);
	dir = add(&m, NULL, "d", MLIMG_DIR);
	for (unsigned i = 0; i < TRIED; i++) {
		snprintf(name, sizeof(name), "%0*u", LONG_NAME, i);
		all[i].i = i;
		ext2fs_dirhash2(
			EXT2_HASH_HALF_MD4, name, LONG_NAME, NULL, 0, seed, &all[i].hash, &minor);
	}
	qsort(all, TRIED, sizeof(*all), by_hash);
	for (unsigned i = 1; i < TRIED && n < WANTED; i++) {
		if (all[i].hash != all[i - 1].hash)
			continue;
		for (unsigned k = i - 1; k <= i; k++, n++) {
			snprintf(name, sizeof(name), "%0*u", LONG_NAME, all[k].i);
			add(&m, dir, name, MLIMG_FILE);
		}
		i++; /* a third one would be added with the second once more */
	}
	ASSERT(n > LINEAR_BLOCKS_MAX * LONG_PER_BLOCK);
	ASSERT_OK(finish(&m, MLIMG_SYSTEM, &err), err);
	check(&m);
	check_names(&m, dir);
	ASSERT(dumped(&m, "Hash 0x[0-9a-f]*[13579bdf], block") > 10);
	done(&m);
}

TEST(random_names)
{
	test_seed();
	for (int round = 0; round < 4; round++) {
		struct mlimg_err err = MLIMG_ERR_INIT;
		struct mlimg_node *dir;
		struct maker m;
		uint64_t n = 4000 + test_random(6000);

		begin(&m, MLIMG_SYSTEM, 0);
		dir = add(&m, NULL, "d", MLIMG_DIR);
		while (n--) {
			char name[LONG_NAME + 1];
			uint64_t size = 3 + test_random(test_random(4) ? 60 : LONG_NAME - 2);

			for (uint64_t i = 0; i < size; i++) {
				name[i] = (char)(1 + test_random(255));
				if (name[i] == '/')
					name[i] = '-';
			}
			name[size] = '\0';
			if (!mlimg_tree_child(m.tree, dir, name, size))
				add(&m, dir, name, MLIMG_DIR);
		}
		ASSERT_OK(finish(&m, MLIMG_SYSTEM, &err), err);
		check(&m);
		check_names(&m, dir);
		ASSERT_EQ(dumped(&m, "Not a hash-indexed directory"), 0);
		done(&m);
	}
}
