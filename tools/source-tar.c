/* SPDX-License-Identifier: MIT */
/* A tar as source, read through libarchive. */
#include "tools/source-tar.h"

#include <archive.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "tools/spool.h"

#define READ_SIZE 262144

/* A tar in a file, or one that comes through a pipe and can be read once. */
struct file_tar {
	struct mlimg_tar tar;
	int fd;
	off_t start; /* -1: cannot be read again */
	bool was_open;
};

bool mlimg_tar_filters(struct archive *a)
{
	return archive_read_support_filter_gzip(a) == ARCHIVE_OK &&
		archive_read_support_filter_bzip2(a) == ARCHIVE_OK &&
		archive_read_support_filter_xz(a) == ARCHIVE_OK &&
		archive_read_support_filter_lzma(a) == ARCHIVE_OK &&
		archive_read_support_filter_zstd(a) == ARCHIVE_OK &&
		archive_read_support_filter_lz4(a) == ARCHIVE_OK &&
		archive_read_support_filter_compress(a) == ARCHIVE_OK;
}

static int open_file(struct mlimg_tar *tar, struct archive **ret_archive, struct mlimg_err *err)
{
	struct file_tar *file = (struct file_tar *)tar;
	struct archive *a;

	/* Only a rule makes that necessary where nothing lies above. */
	if (file->was_open && file->start < 0)
		return mlimg_err_refuse(err,
			"'%s': a hard link to what a rule leaves out, in a tar that cannot be read "
			"twice: give it as a file",
			tar->name);
	file->was_open = true;
	a = archive_read_new();
	if (!a)
		return mlimg_err_set(err, ENOMEM, "open '%s'", tar->name);
	if (!mlimg_tar_filters(a) || archive_read_support_format_tar(a) != ARCHIVE_OK) {
		archive_read_free(a);
		return mlimg_err_set(err, ENOSYS, "libarchive's formats");
	}
	if (file->start >= 0 && lseek(file->fd, file->start, SEEK_SET) < 0) {
		archive_read_free(a);
		return mlimg_err_set(err, errno, "read '%s'", tar->name);
	}
	*ret_archive = a;
	return archive_read_open_fd(a, file->fd, READ_SIZE) != ARCHIVE_OK;
}

static int close_file(struct mlimg_tar *tar, struct archive *archive, int r, struct mlimg_err *err)
{
	archive_read_free(archive);
	return r;
}

int mlimg_source_read_tar(const char *path, const struct mlimg_source_to *to, struct mlimg_err *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	struct file_tar file = {
		.tar = {.name = is_stdin ? "standard input" : path,
			.open = open_file,
			.close = close_file},
	};
	mlimg_autoclose int fd = -1;
	int r;

	fd = is_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", file.tar.name);
	mlimg_tree_begin_level(to->tree, to->has_beneath);
	file.start = lseek(fd, 0, SEEK_CUR);
	if (mlimg_tree_has_above(to->tree) && file.start < 0) {
		r = mlimg_spool(&fd, file.tar.name, to, err);
		if (r < 0)
			return r;
		file.start = 0;
	}
	file.fd = fd;
	return mlimg_tar_read(&file.tar, to, err);
}
