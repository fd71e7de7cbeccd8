/* SPDX-License-Identifier: MIT */
#include "tools/oci-store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/io.h"
#include "tools/oci-archive.h"
#include "tools/spool.h"

#define LINKS_MAX \
	8 /* of `docker save` one leads to another; more than that is no chain but a circle */

struct mlimg_oci_store {
	const char *name;
	int fd; /* the directory or the archive */
	bool is_dir;
	struct mlimg_oci_members members; /* of an archive */
};

static int open_archive(
	struct mlimg_oci_store *store, const struct mlimg_source_to *to, struct mlimg_err *err)
{
	int r = 0;

	if (lseek(store->fd, 0, SEEK_CUR) < 0)
		r = mlimg_spool(&store->fd, store->name, to, err);
	if (r == 0)
		r = mlimg_oci_unpack(&store->fd, store->name, to, err);
	return r < 0 ? r : mlimg_oci_members_read(store->fd, store->name, &store->members, err);
}

int mlimg_oci_store_open(const char *path, const struct mlimg_source_to *to,
	struct mlimg_oci_store **ret_store, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_oci_store_free_cleanup) struct mlimg_oci_store *store = NULL;
	bool is_stdin = strcmp(path, "-") == 0;
	struct stat st;
	int r = 0;

	store = calloc(1, sizeof(*store));
	if (!store)
		return mlimg_err_set(err, ENOMEM, "open '%s'", path);
	store->name = is_stdin ? "standard input" : path;
	store->fd = is_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	if (store->fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", store->name);
	if (fstat(store->fd, &st) < 0)
		return mlimg_err_set(err, errno, "read '%s'", store->name);
	store->is_dir = S_ISDIR(st.st_mode);
	if (!store->is_dir)
		r = open_archive(store, to, err);
	if (r == 0)
		*ret_store = mlimg_steal(&store);
	return r;
}

void mlimg_oci_store_free(struct mlimg_oci_store *store)
{
	if (!store)
		return;
	if (store->fd >= 0)
		close(store->fd);
	mlimg_oci_members_done(&store->members);
	free(store);
}

const char *mlimg_oci_store_name(const struct mlimg_oci_store *store)
{
	return store->name;
}

bool mlimg_oci_store_has(const struct mlimg_oci_store *store, const char *path)
{
	struct stat st;

	if (store->is_dir)
		return fstatat(store->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
	return mlimg_oci_members_find(&store->members, path) != NULL;
}

static int not_there(const struct mlimg_oci_store *store, const char *path, struct mlimg_err *err)
{
	return mlimg_err_refuse(err, "'%s': '%s' is not there", store->name, path);
}

/* O_NONBLOCK: nobody shall wait for the other end of a FIFO. */
static int find_in_dir(struct mlimg_oci_store *store, const char *path, struct mlimg_oci_part *part,
	struct mlimg_err *err)
{
	mlimg_autoclose int fd =
		mlimg_open_beneath(store->fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd == -ENOENT || fd == -ENOTDIR)
		return not_there(store, path, err);
	if (fd == -EXDEV || fd == -ELOOP)
		return mlimg_err_refuse(
			err, "'%s': '%s' leads out of the directory", store->name, path);
	if (fd < 0)
		return mlimg_err_set(err, fd, "'%s': open '%s'", store->name, path);
	if (fstat(fd, &st) < 0)
		return mlimg_err_set(err, errno, "'%s': read '%s'", store->name, path);
	if (!S_ISREG(st.st_mode))
		return mlimg_err_refuse(err, "'%s': '%s' is no regular file", store->name, path);
	part->size_bytes = (uint64_t)st.st_size;
	part->own_fd = part->fd = mlimg_steal_fd(&fd);
	return 0;
}

static int find_in_archive(struct mlimg_oci_store *store, const char *path,
	struct mlimg_oci_part *part, struct mlimg_err *err)
{
	const struct mlimg_oci_member *m = mlimg_oci_members_find(&store->members, path);

	for (int i = 0; i < LINKS_MAX && m && m->link; i++)
		m = mlimg_oci_members_find(&store->members, m->link);
	if (!m || m->link)
		return not_there(store, path, err);
	if (mlimg_oci_members_has_two(&store->members, m))
		return mlimg_err_refuse(err, "'%s': '%s' is there twice", store->name, path);
	if (!m->is_file)
		return mlimg_err_refuse(err, "'%s': '%s' is no regular file", store->name, path);
	*part = (struct mlimg_oci_part){
		.fd = store->fd, .own_fd = -1, .offset = m->offset, .size_bytes = m->size_bytes};
	return 0;
}

int mlimg_oci_store_find(struct mlimg_oci_store *store, const char *path,
	struct mlimg_oci_part *ret_part, struct mlimg_err *err)
{
	struct mlimg_oci_part part = MLIMG_OCI_PART_INIT;
	int r = store->is_dir ? find_in_dir(store, path, &part, err)
			      : find_in_archive(store, path, &part, err);

	if (r == 0)
		*ret_part = part;
	return r;
}

void mlimg_oci_part_done(struct mlimg_oci_part *part)
{
	if (part->own_fd >= 0)
		close(part->own_fd);
	part->own_fd = part->fd = -1;
}

static int read_part(const struct mlimg_oci_part *part, char *text)
{
	size_t done = 0;

	while (done < part->size_bytes) {
		ssize_t n = pread(part->fd, text + done, (size_t)part->size_bytes - done,
			(off_t)(part->offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		done += (size_t)n;
	}
	text[done] = '\0';
	return 0;
}

int mlimg_oci_store_read(struct mlimg_oci_store *store, const char *path, size_t max,
	char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_oci_part_done) struct mlimg_oci_part part = MLIMG_OCI_PART_INIT;
	mlimg_autofree char *text = NULL;
	int r = mlimg_oci_store_find(store, path, &part, err);

	if (r < 0)
		return r;
	if (part.size_bytes > max)
		return mlimg_err_refuse(
			err, "'%s': '%s' is longer than %zu bytes", store->name, path, max);
	text = malloc((size_t)part.size_bytes + 1);
	if (!text)
		return mlimg_err_set(err, ENOMEM, "'%s': read '%s'", store->name, path);
	r = read_part(&part, text);
	if (r == -ENODATA)
		return mlimg_err_refuse(err, "'%s': '%s' is cut short", store->name, path);
	if (r < 0)
		return mlimg_err_set(err, r, "'%s': read '%s'", store->name, path);
	*ret_text = mlimg_steal(&text);
	*ret_size = (size_t)part.size_bytes;
	return 0;
}
