/* SPDX-License-Identifier: MIT */
/*
 * A stranger's tar into a layer image. An archive may be refused; of one that is not, the image must be such that the
 * reader takes it and finds the tree in it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libmlimg/io.h"
#include "tools/ext4-data.h"
#include "tools/ext4-read.h"
#include "tools/ext4-write.h"
#include "tools/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file in memory, and a path to it. */
struct memory_file {
	int fd;
	char path[32];
};

static struct memory_file memory_file(const char *name)
{
	struct memory_file f = {.fd = memfd_create(name, MFD_CLOEXEC)};

	if (f.fd < 0)
		abort();
	snprintf(f.path, sizeof(f.path), "/proc/self/fd/%d", f.fd);
	return f;
}

static int ignore(const struct mlimg_entry *entry, const struct mlimg_ext4_inode *inode, void *ctx,
	struct mlimg_err *err)
{
	return 0;
}

static void check_image(const struct memory_file *image)
{
	mlimg_autoext4 struct mlimg_ext4 *fs = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_ext4_inode root;

	if (mlimg_ext4_open(image->path, &fs, &err) < 0 ||
		mlimg_ext4_lookup(fs, "/", "/", false, &root, &err) < 0 ||
		mlimg_ext4_walk(fs, &root, ignore, NULL, &err) < 0) {
		fprintf(stderr, "fuzz_tar: %s\n", err.text);
		abort();
	}
}

static int build(const struct memory_file *tar, const struct memory_file *image,
	struct mlimg_tree *tree, struct mlimg_err *err)
{
	struct mlimg_writer_identity identity = {.label = mlimg_kind_label(MLIMG_SOFTWARE)};
	struct mlimg_source_to to = {
		.tree = tree, .top = mlimg_tree_root(tree), .kind = MLIMG_SOFTWARE};
	struct mlimg_writer *writer;
	int r;

	r = mlimg_writer_begin(image->fd, image->path, "image", MLIMG_SOFTWARE, 0, &writer, err);
	if (r < 0)
		abort();
	to.data = mlimg_writer_data(writer);
	r = mlimg_source_read_tar(tar->path, &to, err);
	if (r == 0)
		r = mlimg_tree_finish(tree, to.top, err);
	if (r == 0)
		r = mlimg_writer_finish(writer, tree, &identity, err);
	mlimg_writer_free(writer);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory_file tar = memory_file("tar"), image = memory_file("image");
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_tree *tree;

	if (mlimg_write_all(tar.fd, data, size) < 0 ||
		mlimg_tree_new(MLIMG_SOFTWARE, &tree, &err) < 0)
		abort();
	/* Opened anew by its path, so read from the beginning. */
	if (build(&tar, &image, tree, &err) == 0)
		check_image(&image);
	mlimg_tree_free(tree);
	close(tar.fd);
	close(image.fd);
	return 0;
}
