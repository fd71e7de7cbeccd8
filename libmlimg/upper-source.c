/* SPDX-License-Identifier: MIT */
#include "libmlimg/upper-source.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/unionfs.h"
#include "libmlimg/whiteout.h"

/* --- a directory --- */

static struct mlimg_upper_dir *dir_of(struct mlimg_upper_source *source)
{
	return (struct mlimg_upper_dir *)((char *)source -
		offsetof(struct mlimg_upper_dir, source));
}

static int load_dir(struct mlimg_upper_source *source, mlimg_walk_skip_fn *skip, void *ctx,
	struct mlimg_manifest **ret_manifest, struct mlimg_err *err)
{
	const struct mlimg_upper_dir *dir = dir_of(source);
	struct mlimg_manifest *m;
	int r = mlimg_walk_manifest_lenient(dir->fd, MLIMG_WALK_ONE_FS | MLIMG_WALK_FLAGS, false,
		dir->memory_max, skip, ctx, &m, err);

	if (r < 0)
		return r;
	if (dir->is_unionfs)
		r = mlimg_upper_from_unionfs(m, err);
	if (r < 0)
		mlimg_manifest_free(m);
	else
		*ret_manifest = m;
	return r;
}

/* O_NONBLOCK: it may have become a FIFO meanwhile. */
static int open_file(struct mlimg_upper_source *source, const char *path)
{
	return mlimg_open_beneath_strict(
		dir_of(source)->fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
}

static int digest_in_dir(struct mlimg_upper_source *source, const char *path,
	uint8_t ret_digest[MLIMG_SHA256_SIZE], struct mlimg_err *err)
{
	mlimg_autoclose int fd = open_file(source, path);
	int r = fd < 0 ? fd : mlimg_digest_fd(fd, ret_digest, NULL);

	return r < 0 ? mlimg_err_set(err, r, "read '%s'", path) : 0;
}

static int read_in_dir(struct mlimg_upper_source *source, const char *path, size_t max,
	char **ret_data, size_t *ret_size, struct mlimg_err *err)
{
	mlimg_autoclose int fd = open_file(source, path);

	if (fd < 0)
		return mlimg_err_set(err, fd, "read '%s'", path);
	return mlimg_read_fd(fd, path, max, ret_data, ret_size, err);
}

static int read_head_in_dir(struct mlimg_upper_source *source, const char *path, size_t max,
	char **ret_data, size_t *ret_size, struct mlimg_err *err)
{
	return mlimg_read_beneath_head(dir_of(source)->fd, path, max, ret_data, ret_size, err);
}

void mlimg_upper_dir_init(struct mlimg_upper_dir *ret_dir, int upper_fd, bool is_unionfs)
{
	*ret_dir = (struct mlimg_upper_dir){
		.source = {load_dir, digest_in_dir, read_in_dir, read_head_in_dir},
		.fd = upper_fd,
		.is_unionfs = is_unionfs,
		.memory_max = MLIMG_WALK_MEMORY_MAX};
}

/* --- what unionfs-fuse wrote --- */

struct conversion {
	struct mlimg_manifest *from;
	char **hidden; /* what markers hide, in the order of manifests */
	size_t n_hidden;
	struct mlimg_entry *to;
	size_t n_to;
};

static int by_path(const void *a, const void *b)
{
	return mlimg_manifest_path_cmp(*(char *const *)a, *(char *const *)b);
}

static int take_markers(struct conversion *c)
{
	size_t prefix = strlen(MLIMG_UNIONFS_DIR) + 1;

	c->hidden = calloc(c->from->n_entries + 1, sizeof(*c->hidden));
	if (!c->hidden)
		return -ENOMEM;
	for (size_t i = 0; i < c->from->n_entries; i++) {
		const char *path = c->from->entries[i].path;
		size_t size;

		if (!mlimg_path_is_below(path, MLIMG_UNIONFS_DIR) ||
			mlimg_unionfs_is_meta(path + prefix) ||
			!mlimg_unionfs_marker(path + prefix, &size))
			continue;
		c->hidden[c->n_hidden] = mlimg_arena_strndup(c->from->arena, path + prefix, size);
		if (!c->hidden[c->n_hidden++])
			return -ENOMEM;
	}
	qsort(c->hidden, c->n_hidden, sizeof(*c->hidden), by_path);
	return 0;
}

/*
 * The place of a marker beside which the branch has nothing. @param file what the branch had last
 * that is no directory; or NULL
 */
static void put_whiteout(struct conversion *c, char *path, const char *file)
{
	if (!file || !mlimg_path_is_below(path, file))
		c->to[c->n_to++] =
			(struct mlimg_entry){.path = path, .type = MLIMG_CHAR, .nlink = 1};
}

/* Both lists are in one order, and so is what they make. */
static int put_all(struct conversion *c)
{
	const char *done = NULL, *file = NULL; /* done: the last thing that was hidden */
	size_t k = 0;

	for (size_t i = 0; i < c->from->n_entries || k < c->n_hidden;) {
		struct mlimg_entry *e = i < c->from->n_entries ? &c->from->entries[i] : NULL;
		int order = !e             ? -1
			: k == c->n_hidden ? 1
					   : mlimg_manifest_path_cmp(c->hidden[k], e->path);
		bool is_void = order <= 0 && done &&
			(strcmp(c->hidden[k], done) == 0 ||
				mlimg_path_is_below(c->hidden[k], done));

		if (order > 0 && mlimg_unionfs_is_meta(e->path)) {
			i++;
			continue;
		}
		if (order <= 0 && !is_void)
			done = c->hidden[k];
		if (order < 0 && !is_void)
			put_whiteout(c, c->hidden[k], file);
		if (order == 0 && !is_void && e->type == MLIMG_DIR &&
			mlimg_entry_mark(c->from->arena, e, MLIMG_XATTR_OPAQUE, "y") < 0)
			return -ENOMEM;
		if (order >= 0) {
			c->to[c->n_to++] = *e;
			file = e->type == MLIMG_DIR ? file : e->path;
		}
		k += order <= 0;
		i += order >= 0;
	}
	return 0;
}

int mlimg_upper_from_unionfs(struct mlimg_manifest *upper, struct mlimg_err *err)
{
	struct conversion c = {.from = upper};
	int r = take_markers(&c);

	if (r == 0) {
		c.to = calloc(upper->n_entries + c.n_hidden + 1, sizeof(*c.to));
		r = c.to ? put_all(&c) : -ENOMEM;
	}
	free(c.hidden);
	if (r < 0) {
		free(c.to);
		return mlimg_err_set(err, ENOMEM, "read an upper");
	}
	free(upper->entries);
	upper->entries = c.to;
	upper->n_entries = c.n_to;
	return 0;
}
