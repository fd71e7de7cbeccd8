/* SPDX-License-Identifier: MIT */
#include "tools/upper-image.h"

#include <errno.h>
#include <ext2fs/ext2_fs.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/whiteout.h"
#include "tools/user-pending.h"

struct building {
	struct mlimg_manifest *m;
	const struct mlimg_upper_image *image;
	mlimg_walk_skip_fn *skip; /* NULL: nothing may be skipped */
	void *skip_ctx;
};

static int add(const struct mlimg_entry *entry, const struct mlimg_ext4_inode *inode, void *ctx,
	struct mlimg_err *err)
{
	struct building *b = ctx;
	struct mlimg_entry e = *entry, *added;

	if (mlimg_manifest_memory(b->m) > b->image->memory_max)
		return mlimg_err_refuse(err, "%s: names and attributes of more than %zu MiB",
			mlimg_ext4_name(b->image->fs), b->image->memory_max >> 20);
	if (e.nlink == 0)
		e.nlink = 1;
	added = mlimg_manifest_add(b->m, &e);
	if (!added ||
		((e.type == MLIMG_FILE || e.type == MLIMG_DIR) &&
			mlimg_entry_mark_flags(b->m->arena, added, inode->flags & EXT2_APPEND_FL,
				inode->flags & EXT2_IMMUTABLE_FL) < 0))
		return mlimg_err_set(err, ENOMEM, "%s", mlimg_ext4_name(b->image->fs));
	return 0;
}

static void skip_one(const char *path, int error, bool was_visited, void *ctx)
{
	const struct building *b = ctx;

	b->skip(path, error, was_visited, b->skip_ctx);
}

static struct mlimg_upper_image *image_of(struct mlimg_upper_source *source)
{
	return (struct mlimg_upper_image *)((char *)source -
		offsetof(struct mlimg_upper_image, source));
}

static int load(struct mlimg_upper_source *source, mlimg_walk_skip_fn *skip, void *ctx,
	struct mlimg_manifest **ret_manifest, struct mlimg_err *err)
{
	const struct mlimg_upper_image *image = image_of(source);
	struct building b = {mlimg_manifest_new(), image, skip, ctx};
	int r;

	if (!b.m)
		return mlimg_err_set(err, ENOMEM, "%s", mlimg_ext4_name(image->fs));
	r = mlimg_ext4_manifest_walk_lenient(image->fs, add, skip ? skip_one : NULL, &b, err);
	if (r == 0 && image->is_unionfs)
		r = mlimg_upper_from_unionfs(b.m, err);
	if (r < 0)
		mlimg_manifest_free(b.m);
	else
		*ret_manifest = b.m;
	return r;
}

static int digest(struct mlimg_upper_source *source, const char *path,
	uint8_t ret_digest[MLIMG_SHA256_SIZE], struct mlimg_err *err)
{
	struct mlimg_ext4 *fs = image_of(source)->fs;
	struct mlimg_ext4_inode inode;
	int r = mlimg_ext4_lookup(fs, mlimg_kind_tree(MLIMG_USER), path, false, &inode, err);

	if (r == 0 && inode.type != MLIMG_FILE)
		r = mlimg_err_refuse(err, "%s: '%s' is no regular file", mlimg_ext4_name(fs), path);
	return r < 0 ? r : mlimg_ext4_digest(fs, &inode, ret_digest, err);
}

static int read_file(struct mlimg_upper_source *source, const char *path, size_t max,
	char **ret_data, size_t *ret_size, struct mlimg_err *err)
{
	return mlimg_ext4_read_file(image_of(source)->fs, mlimg_kind_tree(MLIMG_USER), path, max,
		ret_data, ret_size, err);
}

/* The first bytes of a file. */
struct head {
	char *data;
	size_t size, max;
};

static int add_to_head(const void *data, uint64_t size, void *ctx, struct mlimg_err *err)
{
	struct head *h = ctx;
	size_t n = size < h->max - h->size ? (size_t)size : h->max - h->size;

	if (data)
		memcpy(h->data + h->size, data, n);
	h->size += n; /* holes are zeros, as all of it was */
	return h->size == h->max ? -ECANCELED : 0;
}

static int read_head(struct mlimg_upper_source *source, const char *path, size_t max,
	char **ret_data, size_t *ret_size, struct mlimg_err *err)
{
	struct mlimg_ext4 *fs = image_of(source)->fs;
	mlimg_autofree char *data = calloc(1, max + 1);
	struct head head = {.data = data, .max = max};
	struct mlimg_ext4_inode inode;
	int r;

	if (!data)
		return mlimg_err_set(err, ENOMEM, "%s: '%s'", mlimg_ext4_name(fs), path);
	r = mlimg_ext4_lookup(fs, mlimg_kind_tree(MLIMG_USER), path, false, &inode, err);
	if (r == 0 && inode.type != MLIMG_FILE)
		r = mlimg_err_refuse(err, "%s: '%s' is no regular file", mlimg_ext4_name(fs), path);
	if (r == 0)
		r = mlimg_ext4_read(fs, &inode, add_to_head, &head, err);
	if (r < 0 && head.size < max)
		return r;
	*ret_data = mlimg_steal(&data);
	*ret_size = head.size;
	return 0;
}

int mlimg_upper_image_init(struct mlimg_upper_image *ret_image, struct mlimg_ext4 *fs,
	bool is_unionfs, struct mlimg_err *err)
{
	const struct mlimg_ext4_super *super = mlimg_ext4_super(fs);
	int r;

	if (super->kind != MLIMG_USER)
		return mlimg_err_refuse(err, "%s: is a %s layer, not a user layer",
			mlimg_ext4_name(fs), mlimg_kind_name(super->kind));
	r = mlimg_user_check_settled(fs, err);
	if (r < 0)
		return r;
	*ret_image = (struct mlimg_upper_image){.source = {load, digest, read_file, read_head},
		.fs = fs,
		.is_unionfs = is_unionfs,
		.memory_max = MLIMG_WALK_MEMORY_MAX};
	return 0;
}
