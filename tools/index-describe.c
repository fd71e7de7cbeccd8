/* SPDX-License-Identifier: MIT */
/*
 * What is of the index itself: the directories around the tree, the stack's description, the
 * layers' manifests.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/index-impl.h"

int mlimg_index_add_own_dir(struct mlimg_index_job *m, uint32_t parent, const char *name,
	uint32_t *ret_ino, struct mlimg_err *err)
{
	struct mlimg_erofs_attr attr = {
		.mode = S_IFDIR | 0755, .mtime_s = m->layers[0].info->time_s};
	int r = mlimg_erofs_add_inode(m->image, &attr, ret_ino, err);

	if (r < 0 || !name)
		return r;
	return mlimg_erofs_add_name(m->image, parent, name, strlen(name), *ret_ino, err);
}

static int add_manifest(
	struct mlimg_index_job *m, uint32_t dir, size_t layer, struct mlimg_err *err)
{
	char name[24];
	uint32_t ino;
	struct mlimg_erofs_attr attr = {.mode = S_IFREG | 0644, .nlink = 1};
	int r = mlimg_ext4_lookup(
		m->layers[layer].fs, "/", "mlimg/manifest", false, &m->inode, err);

	if (r == -ENOENT || (r == 0 && m->inode.type != MLIMG_FILE))
		r = mlimg_err_refuse(err, "has no file /mlimg/manifest");
	if (r < 0)
		return mlimg_err_wrap(err, r, "layer '%s'", m->layers[layer].info->name);
	attr.size_bytes = m->inode.size_bytes;
	attr.mtime_s = m->layers[0].info->time_s;
	snprintf(name, sizeof(name), "%zu", layer);
	r = mlimg_erofs_add_inode(m->image, &attr, &ino, err);
	if (r == 0)
		r = mlimg_index_add_extents(m, layer, &m->inode, ino, err);
	if (r == 0)
		r = mlimg_erofs_check_inode(m->image, ino, err);
	if (r < 0)
		return mlimg_err_wrap(
			err, r, "layer '%s': its /mlimg/manifest", m->layers[layer].info->name);
	return mlimg_erofs_add_name(m->image, dir, name, strlen(name), ino, err);
}

static int add_text(struct mlimg_index_job *m, uint32_t dir, const char *name, const char *text,
	struct mlimg_err *err)
{
	struct mlimg_erofs_attr attr = {
		.mode = S_IFREG | 0644, .nlink = 1, .mtime_s = m->layers[0].info->time_s};
	uint32_t ino;
	int r = mlimg_erofs_add_inode(m->image, &attr, &ino, err);

	if (r == 0)
		r = mlimg_erofs_set_data(m->image, ino, text, strlen(text), err);
	return r < 0 ? r : mlimg_erofs_add_name(m->image, dir, name, strlen(name), ino, err);
}

int mlimg_index_add_description(struct mlimg_index_job *m, uint32_t root,
	const struct mlimg_index_texts *texts, struct mlimg_err *err)
{
	uint32_t dir, manifests;
	int r = mlimg_index_add_own_dir(m, root, "mlimg", &dir, err);

	if (r == 0)
		r = add_text(m, dir, "stack.json", texts->stack_json, err);
	if (r == 0 && texts->composed)
		r = add_text(m, dir, "composed", texts->composed, err);
	if (r == 0)
		r = mlimg_index_add_own_dir(m, dir, "manifests", &manifests, err);
	for (size_t i = 0; r == 0 && i < m->n_layers; i++)
		r = add_manifest(m, manifests, i, err);
	return r;
}
