/* SPDX-License-Identifier: MIT */
/**
 * @file ext4-maker.h
 * Images made with the ext4 writer alone, for its tests: begin(), add() what is in it, finish(),
 * check(), done().
 */
#ifndef MLIMG_TESTS_EXT4_MAKER_H
#define MLIMG_TESTS_EXT4_MAKER_H

#include <fcntl.h>

#include "tests/lib/test.h"
#include "tools/ext4-data.h"
#include "tools/ext4-write.h"

#define BS MLIMG_BLOCK_SIZE

/* An image under construction. */
struct maker {
	char path[300];
	int fd;
	struct mlimg_tree *tree;
	struct mlimg_writer *writer;
	struct mlimg_data *data;
};

TEST_UNUSED static void begin(struct maker *m, enum mlimg_kind kind, uint64_t size_bytes)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	snprintf(m->path, sizeof(m->path), "%s/image", test_tmpdir());
	m->fd = open(m->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ASSERT(m->fd >= 0);
	ASSERT_OK(mlimg_tree_new(kind, &m->tree, &err), err);
	ASSERT_OK(mlimg_writer_begin(m->fd, m->path, "image", kind, size_bytes, &m->writer, &err),
		err);
	m->data = mlimg_writer_data(m->writer);
}

TEST_UNUSED static struct mlimg_node *add(
	struct maker *m, struct mlimg_node *parent, const char *name, enum mlimg_type type)
{
	struct mlimg_entry entry = {.path = (char *)name, .type = (uint8_t)type, .mode = 0755};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_node *node;

	ASSERT_OK(mlimg_tree_put(m->tree, parent ? parent : mlimg_tree_root(m->tree), name, &entry,
			  &node, &err),
		err);
	return node;
}

TEST_UNUSED static int finish(struct maker *m, enum mlimg_kind kind, struct mlimg_err *err)
{
	struct mlimg_writer_identity identity = {
		.uuid = {1, 2, 3}, .label = mlimg_kind_label(kind), .time_s = 1700000000};

	ASSERT_OK(mlimg_tree_finish(m->tree, mlimg_tree_root(m->tree), err), *err);
	return mlimg_writer_finish(m->writer, m->tree, &identity, err);
}

/* e2fsck finds nothing. */
TEST_UNUSED static void check(const struct maker *m)
{
	char command[1024];

	snprintf(command, sizeof(command),
		"PATH=$PATH:/sbin; e2fsck -fn %s >%s.out 2>&1 || { cat %s.out; exit 1; }", m->path,
		m->path, m->path);
	ASSERT_EQ(system(command), 0);
}

TEST_UNUSED static void done(struct maker *m)
{
	mlimg_writer_free(m->writer);
	mlimg_tree_free(m->tree);
	close(m->fd);
}

#endif
