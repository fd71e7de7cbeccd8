/* SPDX-License-Identifier: MIT */
/* One inode of a layer, or one composed entry, becomes an inode of the index. */
#include <string.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/whiteout.h"
#include "tools/index-impl.h"

/* ---- one inode ---- */

static int add_xattrs(struct mlimg_index_job *m, const struct mlimg_entry *entry, uint32_t ino,
	struct mlimg_err *err)
{
	for (uint32_t i = 0; i < entry->n_xattrs; i++) {
		const struct mlimg_xattr *xattr = &entry->xattrs[i];
		int r;

		if (!strcmp(xattr->name, MLIMG_XATTR_REDIRECT) ||
			!strcmp(xattr->name, MLIMG_XATTR_METACOPY))
			return mlimg_err_refuse(
				err, "has the xattr %s, which only an upper may have", xattr->name);
		if (!strncmp(xattr->name, MLIMG_XATTR_OVERLAY, sizeof(MLIMG_XATTR_OVERLAY) - 1))
			continue;
		r = mlimg_erofs_add_xattr(
			m->image, ino, xattr->name, xattr->value, xattr->size, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int mlimg_index_add_extents(struct mlimg_index_job *m, size_t layer,
	const struct mlimg_ext4_inode *inode, uint32_t ino, struct mlimg_err *err)
{
	uint64_t n_blocks =
		inode->size_bytes / MLIMG_EXT4_BLOCK + (inode->size_bytes % MLIMG_EXT4_BLOCK != 0);
	mlimg_autofree struct mlimg_ext4_extent *extents = NULL;
	size_t n;
	int r = mlimg_ext4_extents(m->layers[layer].fs, inode, &extents, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct mlimg_ext4_extent *e = &extents[i];
		uint64_t count = e->n_blocks;

		if (e->is_unwritten || e->logical >= n_blocks)
			continue;
		if (count > n_blocks - e->logical)
			count = n_blocks - e->logical;
		r = mlimg_erofs_add_extent(
			m->image, ino, e->logical, count, (int)layer + 1, e->physical, err);
	}
	return r;
}

int mlimg_index_add_entry(struct mlimg_index_job *m, const struct mlimg_entry *entry,
	uint32_t nlink, uint32_t *ret_ino, struct mlimg_err *err)
{
	struct mlimg_erofs_attr attr = {
		.mode = (uint32_t)mlimg_type_mode(entry->type) | entry->mode,
		.uid = entry->uid,
		.gid = entry->gid,
		.nlink = nlink,
		.size_bytes = entry->size_bytes,
		.mtime_s = entry->mtime_s,
		.mtime_ns = entry->mtime_ns,
		.dev_major = entry->dev_major,
		.dev_minor = entry->dev_minor,
	};
	int r = mlimg_erofs_add_inode(m->image, &attr, ret_ino, err);

	if (r == 0)
		r = add_xattrs(m, entry, *ret_ino, err);
	if (r == 0 && entry->type == MLIMG_LINK)
		r = mlimg_erofs_set_data(m->image, *ret_ino, entry->link, strlen(entry->link), err);
	return r;
}

/* The marks of a reference say nothing in an index. */
static void drop_marks(struct mlimg_entry *entry)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < entry->n_xattrs; i++)
		if (strcmp(entry->xattrs[i].name, MLIMG_XATTR_REDIRECT) != 0 &&
			strcmp(entry->xattrs[i].name, MLIMG_XATTR_METACOPY) != 0)
			entry->xattrs[n++] = entry->xattrs[i];
	entry->n_xattrs = n;
}

int mlimg_index_add_inode(struct mlimg_index_job *m, size_t layer, struct mlimg_entry *entry,
	uint32_t *ret_ino, struct mlimg_err *err)
{
	const struct mlimg_ext4_inode *contents = &m->inode;
	int r = 0;

	if (mlimg_index_is_reference(&m->layers[layer], entry)) {
		r = mlimg_index_follow(m->follower, layer, entry, &layer, &m->below, err);
		contents = &m->below;
		drop_marks(entry);
	}
	if (r == 0)
		r = mlimg_index_add_entry(m, entry, m->inode.nlink, ret_ino, err);
	if (r == 0 && entry->type == MLIMG_FILE)
		r = mlimg_index_add_extents(m, layer, contents, *ret_ino, err);
	return r < 0 ? r : mlimg_erofs_check_inode(m->image, *ret_ino, err);
}

int mlimg_index_load(struct mlimg_index_job *m, size_t layer, uint32_t ino,
	struct mlimg_ext4_inode *inode, struct mlimg_entry *ret_entry, struct mlimg_err *err)
{
	int r = mlimg_ext4_inode_read(m->layers[layer].fs, ino, inode, err);

	return r < 0 ? r : mlimg_ext4_entry(m->layers[layer].fs, inode, m->attrs, ret_entry, err);
}
