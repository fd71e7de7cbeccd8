/* SPDX-License-Identifier: MIT */
#include "guest-agent/lowers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

/* @where: of what @dirfd is, for messages: "layers/0/", or "" */
static int add(struct mlimg_lowers *lowers, int dirfd, const char *where, const char *name,
	struct mlimg_err *err)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return mlimg_err_set(err, errno, "open '%s%s'", where, name);
	lowers->fds[lowers->n++] = fd;
	if (!lowers->has_system)
		lowers->n_whole = lowers->n;
	return 0;
}

int mlimg_lowers_open(int root_fd, bool is_index, const struct mlimg_mounted *layers,
	size_t n_layers, struct mlimg_lowers *ret_lowers, struct mlimg_err *err)
{
	int r;

	memset(ret_lowers, 0, sizeof(*ret_lowers));
	if (is_index)
		return add(ret_lowers, root_fd, "", "index/rootfs", err);
	r = add(ret_lowers, root_fd, "", "composed/rootfs", err);
	if (r == -ENOENT)
		r = 0;
	for (size_t i = n_layers; i-- > 0 && r == 0;) {
		char where[80];

		if (layers[i].info.kind == MLIMG_PATCH && !ret_lowers->has_system) {
			r = add(ret_lowers, root_fd, "", "system", err);
			ret_lowers->has_system = true;
		}
		snprintf(where, sizeof(where), "%s/", layers[i].where);
		if (r == 0)
			r = add(ret_lowers, layers[i].fd, where, "rootfs", err);
	}
	return r;
}

void mlimg_lowers_close(struct mlimg_lowers *lowers)
{
	while (lowers->n > 0)
		close(lowers->fds[--lowers->n]);
}

/* A regular file, or -errno. */
static int open_in(const struct mlimg_lowers *lowers, size_t i, const char *path, struct stat *st)
{
	mlimg_autoclose int fd = mlimg_open_beneath_strict(
		lowers->fds[i], path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return fd;
	if (fstat(fd, st) < 0)
		return -errno;
	return S_ISREG(st->st_mode) ? mlimg_steal_fd(&fd) : -ENOENT;
}

/* @return 1 when these are the contents, 0, -errno */
static int copy(int from_fd, int to_fd, const struct mlimg_entry *entry)
{
	uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_sha256 sha;
	uint64_t left = entry->size_bytes;
	char block[65536];

	mlimg_sha256_init(&sha);
	while (left > 0) {
		ssize_t n = read(from_fd, block, left < sizeof(block) ? left : sizeof(block));
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		mlimg_sha256_add(&sha, block, (size_t)n);
		r = mlimg_write_all(to_fd, block, (size_t)n);
		if (r < 0)
			return r;
		left -= (uint64_t)n;
	}
	mlimg_sha256_end(&sha, digest);
	return memcmp(digest, entry->digest, sizeof(digest)) == 0;
}

int mlimg_lowers_copy(const struct mlimg_lowers *lowers, const struct mlimg_entry *entry, int to_fd,
	struct mlimg_err *err)
{
	for (size_t i = 0; i < lowers->n; i++) {
		struct stat st;
		mlimg_autoclose int fd = open_in(lowers, i, entry->path, &st);
		int r;

		if (fd < 0 || (uint64_t)st.st_size != entry->size_bytes)
			continue;
		r = copy(fd, to_fd, entry);
		if (r < 0)
			return mlimg_err_set(err, r, "copy '/%s' of the layers", entry->path);
		if (r)
			return 0;
		if (ftruncate(to_fd, 0) < 0 || lseek(to_fd, 0, SEEK_SET) < 0)
			return mlimg_err_set(err, errno, "copy '/%s' of the layers", entry->path);
	}
	return mlimg_err_refuse(err,
		"'/%s' of the layers is not there with the contents that their manifests tell",
		entry->path);
}

/* @return 0, -ENOENT when it is not the contents, -errno */
static int read_in(const struct mlimg_lowers *lowers, size_t i, const char *path,
	const uint8_t digest[MLIMG_SHA256_SIZE], size_t max, char **ret_data, size_t *ret_size)
{
	mlimg_autofree char *data = NULL;
	uint8_t found[MLIMG_SHA256_SIZE];
	struct stat st;
	mlimg_autoclose int fd = open_in(lowers, i, path, &st);
	size_t size;
	int r;

	if (fd < 0)
		return -ENOENT;
	r = mlimg_read_fd(fd, path, max, &data, &size, NULL);
	if (r < 0)
		return r;
	mlimg_sha256_of(data, size, found);
	if (memcmp(found, digest, sizeof(found)) != 0)
		return -ENOENT;
	*ret_data = mlimg_steal(&data);
	*ret_size = size;
	return 0;
}

int mlimg_lowers_read(const struct mlimg_lowers *lowers, const char *path,
	const uint8_t digest[MLIMG_SHA256_SIZE], size_t max, char **ret_data, size_t *ret_size)
{
	int r = -ENOENT;

	for (size_t i = 0; i < lowers->n && r < 0 && r != -ENOMEM; i++)
		r = read_in(lowers, i, path, digest, max, ret_data, ret_size);
	return r;
}
