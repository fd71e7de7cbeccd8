/* SPDX-License-Identifier: MIT */
#include "tools/beneath-tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOT_INO 1

static const struct mlimg_entry *entry_of(const struct mlimg_beneath *b, uint32_t ino)
{
	return &mlimg_beneath_manifest(b)->entries[ino - ROOT_INO];
}

/* The first of a file's names. */
static uint32_t first_name(const struct mlimg_manifest *m, uint32_t ino)
{
	uint32_t group = m->entries[ino - ROOT_INO].hardlink;

	for (uint32_t i = 0; group && i < ino - ROOT_INO; i++)
		if (m->entries[i].hardlink == group)
			return i + ROOT_INO;
	return ino;
}

static int op_inode(void *image, uint32_t ino, void *ret_inode, struct mlimg_itree_node *ret_node,
	struct mlimg_err *err)
{
	const struct mlimg_entry *entry;

	ino = first_name(mlimg_beneath_manifest(image), ino);
	entry = entry_of(image, ino);
	memcpy(ret_inode, &ino, sizeof(ino));
	*ret_node = (struct mlimg_itree_node){.ino = ino,
		.nlink = entry->nlink,
		.size_bytes = entry->size_bytes,
		.type = entry->type,
		.inode = ret_inode};
	return 0;
}

static uint32_t ino_of(const void *inode)
{
	uint32_t ino;

	memcpy(&ino, inode, sizeof(ino));
	return ino;
}

/*
 * @return the name of @path in directory @dir, NULL when it lies deeper; *@is_within: whether it
 * lies beneath at all
 */
static const char *name_in(const char *dir, const char *path, bool *is_within)
{
	size_t length = strlen(dir);

	*is_within = length == 0 || (strncmp(path, dir, length) == 0 && path[length] == '/');
	path += length ? length + 1 : 0;
	return *is_within && !strchr(path, '/') ? path : NULL;
}

/* What is beneath a directory follows it in the manifest. */
static size_t list(const struct mlimg_beneath *b, uint32_t ino, struct mlimg_ext4_dirent *ret)
{
	const struct mlimg_manifest *m = mlimg_beneath_manifest(b);
	const char *dir = entry_of(b, ino)->path;
	bool is_within = true;
	size_t n = 0;

	for (size_t i = ino - ROOT_INO + 1; i < m->n_entries; i++) {
		const char *name = name_in(dir, m->entries[i].path, &is_within);

		if (!is_within)
			break;
		if (name && ret)
			ret[n] = (struct mlimg_ext4_dirent){.name = name,
				.ino = (uint32_t)i + ROOT_INO,
				.type = m->entries[i].type};
		n += name != NULL;
	}
	return n;
}

static uint32_t parent_of(const struct mlimg_beneath *b, uint32_t ino)
{
	const struct mlimg_manifest *m = mlimg_beneath_manifest(b);
	char path[MLIMG_PATH_MAX + 1], *slash;

	strcpy(path, entry_of(b, ino)->path);
	slash = strrchr(path, '/');
	*(slash ? slash : path) = '\0';
	return (uint32_t)(mlimg_manifest_find(m, path) - m->entries) + ROOT_INO;
}

static int op_dir(
	void *image, const void *inode, struct mlimg_ext4_dir *ret_dir, struct mlimg_err *err)
{
	uint32_t ino = ino_of(inode);
	size_t n = list(image, ino, NULL);

	*ret_dir = (struct mlimg_ext4_dir){.parent_ino = parent_of(image, ino)};
	ret_dir->entries = calloc(n ? n : 1, sizeof(*ret_dir->entries));
	if (!ret_dir->entries)
		return mlimg_err_set(err, ENOMEM, "read a directory");
	ret_dir->n_entries = list(image, ino, ret_dir->entries);
	return 0;
}

static int op_entry(void *image, const void *inode, void *attrs, struct mlimg_entry *ret_entry,
	struct mlimg_err *err)
{
	*ret_entry = *entry_of(image, ino_of(inode));
	ret_entry->path = NULL;
	ret_entry->has_digest = false;
	ret_entry->hardlink = 0;
	return 0;
}

static int op_read(
	void *image, const void *inode, mlimg_ext4_data_fn *fn, void *ctx, struct mlimg_err *err)
{
	return mlimg_beneath_read(image, entry_of(image, ino_of(inode)), fn, ctx, err);
}

static int op_used(void *image, const void *inode, uint64_t *ret_bytes, struct mlimg_err *err)
{
	const struct mlimg_entry *entry = entry_of(image, ino_of(inode));
	struct mlimg_ext4_inode stored;
	struct mlimg_itree_node node;
	struct mlimg_itree tree;
	size_t layer;
	int r;

	*ret_bytes = 0;
	if (entry->type != MLIMG_FILE)
		return 0;
	r = mlimg_beneath_locate(image, entry, &layer, &stored, err);
	if (r < 0)
		return r;
	tree = mlimg_ext4_tree(mlimg_beneath_image(image, layer));
	node = (struct mlimg_itree_node){.inode = &stored};
	return mlimg_itree_used(&tree, &node, ret_bytes, err);
}

/* Entries are the manifest's: they need no room. */
static void *op_attrs_new(void)
{
	static char none;

	return &none;
}

static void op_attrs_free(void *attrs)
{
}

/* Errors name the path as it is. */
static const char *op_at(void *image, const char *path)
{
	return NULL;
}

struct mlimg_itree mlimg_beneath_tree(struct mlimg_beneath *b)
{
	static const struct mlimg_itree_ops ops = {
		.inode = op_inode,
		.dir = op_dir,
		.entry = op_entry,
		.read = op_read,
		.used = op_used,
		.attrs_new = op_attrs_new,
		.attrs_free = op_attrs_free,
		.at = op_at,
	};

	return (struct mlimg_itree){.ops = &ops,
		.image = b,
		.name = mlimg_ext4_name(mlimg_beneath_image(b, mlimg_beneath_n(b) - 1)),
		.root = "/",
		.root_ino = ROOT_INO};
}
