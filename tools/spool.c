/* SPDX-License-Identifier: MIT */
#include "tools/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

#define COPY_SIZE 262144

/* Not every file system has O_TMPFILE. */
static int make_and_unlink(const char *dir)
{
	mlimg_autofree char *path = NULL;
	int fd;

	if (asprintf(&path, "%s/.mlimg-spool-XXXXXX", dir) < 0)
		return -ENOMEM;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

int mlimg_spool_file(const char *dir, struct mlimg_err *err)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		fd = make_and_unlink(dir);
	return fd < 0 ? mlimg_err_set(err, fd, "temporary file in '%s'", dir) : fd;
}

int mlimg_spool(int *fd, const char *name, const struct mlimg_source_to *to, struct mlimg_err *err)
{
	mlimg_autofree char *buffer = malloc(COPY_SIZE);
	mlimg_autoclose int copy = -1;
	ssize_t n;
	int r = 0;

	if (!buffer)
		return mlimg_err_set(err, ENOMEM, "read '%s'", name);
	copy = mlimg_spool_file(to->spool_dir, err);
	if (copy < 0)
		return copy;
	while (r == 0 && (n = read(*fd, buffer, COPY_SIZE)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return mlimg_err_set(err, errno, "read '%s'", name);
		r = mlimg_source_spend(to, (uint64_t)n, name, err);
		if (r == 0 && (r = mlimg_write_all(copy, buffer, (size_t)n)) < 0)
			r = mlimg_err_set(err, r, "copy '%s' to '%s'", name, to->spool_dir);
	}
	if (r == 0 && lseek(copy, 0, SEEK_SET) < 0)
		r = mlimg_err_set(err, errno, "read '%s'", name);
	if (r < 0)
		return r;
	close(*fd);
	*fd = mlimg_steal_fd(&copy);
	return 0;
}
