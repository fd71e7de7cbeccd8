/* SPDX-License-Identifier: MIT */
/*
 * A stranger's tar into a layer image: as a tar, as layers of a container image, and as the archive
 * of one. It may be refused; of one that is not, the image must be such that the reader takes it
 * and finds the tree in it.
 */
#include <archive.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libmlimg/io.h"
#include "tools/ext4-data.h"
#include "tools/ext4-read.h"
#include "tools/ext4-write.h"
#include "tools/oci-store.h"
#include "tools/source-oci.h"
#include "tools/source-tar.h"

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

struct memory_tar {
	struct mlimg_tar tar;
	const uint8_t *data;
	size_t size;
};

static int open_memory(struct mlimg_tar *tar, struct archive **ret_archive, struct mlimg_err *err)
{
	struct memory_tar *m = (struct memory_tar *)tar;

	*ret_archive = archive_read_new();
	if (!*ret_archive || archive_read_support_format_tar(*ret_archive) != ARCHIVE_OK)
		abort();
	return archive_read_open_memory(*ret_archive, m->data, m->size) != ARCHIVE_OK;
}

static int close_memory(
	struct mlimg_tar *tar, struct archive *archive, int r, struct mlimg_err *err)
{
	archive_read_free(archive);
	return r;
}

/* What is read, and as what. */
struct input {
	const uint8_t *data;
	size_t size;
	const struct memory_file *file;
};

typedef int read_fn(const struct input *in, struct mlimg_source_to *to, struct mlimg_err *err);

/* Opened anew by its path, so read from the beginning. */
static int read_tar(const struct input *in, struct mlimg_source_to *to, struct mlimg_err *err)
{
	return mlimg_source_read_tar(in->file->path, to, err);
}

/*
 * Without digests, which no mutation would get past: all of it upon all of it, so that markers find
 * something to hide.
 */
static int read_layers(const struct input *in, struct mlimg_source_to *to, struct mlimg_err *err)
{
	struct memory_tar m = {.tar = {.name = "layer",
				       .is_oci = true,
				       .open = open_memory,
				       .close = close_memory},
		.data = in->data,
		.size = in->size};
	int r = 0;

	for (int level = 2; level-- > 0 && r == 0;) {
		mlimg_tree_begin_level(to->tree, level > 0);
		r = mlimg_tar_read(&m.tar, to, err);
	}
	return r;
}

static int read_image(const struct input *in, struct mlimg_source_to *to, struct mlimg_err *err)
{
	const struct mlimg_oci_choice choice = {
		.platform = {.os = "linux", .architecture = "amd64"}};

	(void)mlimg_oci_is_archive(in->file->fd);
	to->spool_dir = "/tmp";
	return mlimg_source_read_oci(in->file->path, &choice, to, err);
}

static int build(const struct input *in, read_fn *read, const struct memory_file *image,
	struct mlimg_tree *tree, struct mlimg_err *err)
{
	struct mlimg_writer_identity identity = {.label = mlimg_kind_label(MLIMG_SOFTWARE)};
	struct mlimg_budget budget = {.limit_bytes = 64 << 20};
	struct mlimg_source_to to = {.tree = tree,
		.top = mlimg_tree_root(tree),
		.kind = MLIMG_SOFTWARE,
		.budget = &budget};
	struct mlimg_writer *writer;
	int r;

	r = mlimg_writer_begin(image->fd, image->path, "image", MLIMG_SOFTWARE, 0, &writer, err);
	if (r < 0)
		abort();
	to.data = mlimg_writer_data(writer);
	r = read(in, &to, err);
	if (r == 0)
		r = mlimg_tree_finish(tree, to.top, err);
	if (r == 0)
		r = mlimg_writer_finish(writer, tree, &identity, err);
	mlimg_writer_free(writer);
	return r;
}

static void read_as(const struct input *in, read_fn *read)
{
	struct memory_file image = memory_file("image");
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_tree *tree;

	if (mlimg_tree_new(MLIMG_SOFTWARE, &tree, &err) < 0)
		abort();
	if (build(in, read, &image, tree, &err) == 0)
		check_image(&image);
	mlimg_tree_free(tree);
	close(image.fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory_file file = memory_file("tar");
	const struct input in = {.data = data, .size = size, .file = &file};

	if (mlimg_write_all(file.fd, data, size) < 0)
		abort();
	read_as(&in, read_tar);
	read_as(&in, read_layers);
	read_as(&in, read_image);
	close(file.fd);
	return 0;
}
