/* SPDX-License-Identifier: MIT */
#include "tools/index-merge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/stack.h"
#include "libmlimg/whiteout.h"
#include "tools/index-composed.h"
#include "tools/index-impl.h"

#define LAYERS_MAX MLIMG_STACK_LAYERS_MAX

/* A directory of some layers that is one directory of the merged tree. */
struct mlimg_index_pending {
	struct mlimg_index_pending *next;
	char *path;
	uint32_t dir; /* in the image */
	size_t n_parts;
	struct part {
		uint16_t layer;
		uint32_t ino;
	} parts[]; /* topmost first */
};

static int wrap(const struct mlimg_index_job *m, int r, size_t layer, const char *path,
	struct mlimg_err *err)
{
	return mlimg_err_wrap(err, r, "layer '%s': '/%s'", m->layers[layer].info->name, path);
}

/* ---- one directory ---- */

/* The lists of one directory's parts while they are merged. */
struct lists {
	struct mlimg_ext4_dir dirs[LAYERS_MAX];
	size_t next[LAYERS_MAX];
	size_t n;
};

static void lists_done(struct lists *lists)
{
	for (size_t i = 0; i < lists->n; i++)
		mlimg_ext4_dir_done(&lists->dirs[i]);
}

static const struct mlimg_ext4_dirent *list_head(const struct lists *lists, size_t i)
{
	return lists->next[i] < lists->dirs[i].n_entries ? &lists->dirs[i].entries[lists->next[i]]
							 : NULL;
}

/* The least name that is next in any of the lists, or NULL at the end. */
static const char *least_name(const struct lists *lists)
{
	const char *least = NULL;

	for (size_t i = 0; i < lists->n; i++) {
		const struct mlimg_ext4_dirent *head = list_head(lists, i);

		if (head && (!least || strcmp(head->name, least) < 0))
			least = head->name;
	}
	return least;
}

static int push_pending(
	struct mlimg_index_job *m, struct mlimg_index_pending *dir, struct mlimg_err *err)
{
	for (size_t i = 0; i < dir->n_parts; i++) {
		const struct part *part = &dir->parts[i];
		uint32_t unused;

		if (mlimg_index_seen_find(&m->seen, part->layer, part->ino, &unused))
			return wrap(m,
				mlimg_err_refuse(
					err, "directory inode %u is in two places", part->ino),
				part->layer, dir->path, err);
		if (mlimg_index_seen_add(&m->seen, part->layer, part->ino, dir->dir) < 0)
			return mlimg_err_set(err, ENOMEM, "merge");
	}
	dir->next = m->pending;
	m->pending = dir;
	return 0;
}

static void pending_free(struct mlimg_index_pending *dir)
{
	if (!dir)
		return;
	free(dir->path);
	free(dir);
}

/* Bounded as the paths of a manifest: directories can be nested as deep as an image has inodes. */
static int join_path(const char *parent, const char *name, char **ret_path, struct mlimg_err *err)
{
	if (strlen(parent) + 1 + strlen(name) > MLIMG_PATH_MAX)
		return mlimg_err_refuse(err, "its path is longer than %d bytes", MLIMG_PATH_MAX);
	if (asprintf(ret_path, "%s%s%s", parent, *parent ? "/" : "", name) < 0)
		return mlimg_err_set(err, ENOMEM, "merge");
	return 0;
}

static int pending_new(const char *parent, const char *name, uint32_t dir,
	struct mlimg_index_pending **ret_dir, struct mlimg_err *err)
{
	struct mlimg_index_pending *new =
		calloc(1, sizeof(*new) + LAYERS_MAX * sizeof(new->parts[0]));
	int r = new ? join_path(parent, name, &new->path, err)
		    : mlimg_err_set(err, ENOMEM, "merge");

	if (r < 0) {
		free(new);
		return r;
	}
	new->dir = dir;
	*ret_dir = new;
	return 0;
}

/*
 * The directories from part `from` on, down to the first layer that is opaque there or that has
 * something else of that name. Layers without the name do not matter. `top`, if given, is the entry
 * of part `from`: a directory, as its caller knows.
 */
static int collect_parts(struct mlimg_index_job *m, const struct mlimg_index_pending *parent,
	const struct lists *lists, size_t from, const struct mlimg_entry *top, const char *name,
	struct mlimg_index_pending *dir, struct mlimg_err *err)
{
	bool is_opaque = top && mlimg_entry_is_opaque(top);

	for (size_t i = from; i < lists->n; i++) {
		const struct mlimg_ext4_dirent *head = list_head(lists, i);
		struct mlimg_entry entry;
		int r;

		if (!head || strcmp(head->name, name))
			continue;
		if (i != from || !top) {
			if (head->type != MLIMG_DIR)
				return 0;
			r = mlimg_index_load(
				m, parent->parts[i].layer, head->ino, &m->below, &entry, err);
			if (r == 0 && entry.type != MLIMG_DIR)
				r = mlimg_err_refuse(err,
					"inode %u is of another type than its directory says",
					head->ino);
			if (r < 0)
				return wrap(m, r, parent->parts[i].layer, dir->path, err);
			is_opaque = mlimg_entry_is_opaque(&entry);
		}
		dir->parts[dir->n_parts++] = (struct part){parent->parts[i].layer, head->ino};
		if (is_opaque)
			return 0;
	}
	return 0;
}

/*
 * A directory that has become inode `ino`, merged from part `from` of its parent on. `top` as
 * above.
 */
static int add_directory(struct mlimg_index_job *m, const struct mlimg_index_pending *parent,
	const struct lists *lists, size_t from, const struct mlimg_entry *top, const char *name,
	uint32_t ino, struct mlimg_err *err)
{
	struct mlimg_index_pending *dir, *shrunk;
	int r = pending_new(parent->path, name, ino, &dir, err);

	if (r < 0)
		return r;
	r = collect_parts(m, parent, lists, from, top, name, dir, err);
	shrunk = realloc(dir, sizeof(*dir) + dir->n_parts * sizeof(dir->parts[0]));
	if (shrunk)
		dir = shrunk;
	if (r == 0) {
		r = mlimg_erofs_add_name(m->image, parent->dir, name, strlen(name), ino, err);
		r = r < 0 ? mlimg_err_wrap(err, r, "'/%s'", dir->path) : push_pending(m, dir, err);
	}
	if (r < 0)
		pending_free(dir);
	return r;
}

static int add_other(struct mlimg_index_job *m, const struct mlimg_index_pending *parent,
	size_t layer, const char *name, struct mlimg_entry *entry, struct mlimg_err *err)
{
	bool has_names = m->inode.nlink > 1;
	uint32_t ino;
	int r = 0;

	if (!has_names || !mlimg_index_seen_find(&m->seen, layer, m->inode.ino, &ino)) {
		r = mlimg_index_add_inode(m, layer, entry, &ino, err);
		if (r == 0 && has_names &&
			mlimg_index_seen_add(&m->seen, layer, m->inode.ino, ino) < 0)
			r = mlimg_err_set(err, ENOMEM, "merge");
	}
	return r < 0 ? r
		     : mlimg_erofs_add_name(m->image, parent->dir, name, strlen(name), ino, err);
}

/* Everything that has this name; `top` is the topmost part that does, and decides. */
static int add_name(struct mlimg_index_job *m, const struct mlimg_index_pending *parent,
	const struct lists *lists, size_t top, const char *name, struct mlimg_err *err)
{
	size_t layer = parent->parts[top].layer;
	const struct mlimg_ext4_dirent *head = list_head(lists, top);
	mlimg_autofree char *path = NULL;
	struct mlimg_entry entry;
	uint32_t ino;
	int r = mlimg_index_load(m, layer, head->ino, &m->inode, &entry, err);

	if (r == 0 && entry.type != head->type)
		r = mlimg_err_refuse(
			err, "inode %u is of another type than its directory says", head->ino);
	if (r == 0)
		r = join_path(parent->path, name, &path, err);
	entry.path = path;
	if (r == 0 && entry.type == MLIMG_DIR)
		r = mlimg_index_add_inode(m, layer, &entry, &ino, err);
	else if (r == 0 && !mlimg_entry_is_whiteout(&entry))
		r = add_other(m, parent, layer, name, &entry, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "layer '%s': '/%s%s%s'", m->layers[layer].info->name,
			parent->path, *parent->path ? "/" : "", name);
	if (entry.type != MLIMG_DIR)
		return 0;
	return add_directory(m, parent, lists, top, &entry, name, ino, err);
}

/*
 * The same of a composed entry; `top` is the topmost part that has the name, or the number of
 * parts.
 */
static int add_composed(struct mlimg_index_job *m, const struct mlimg_index_pending *parent,
	const struct lists *lists, size_t top, const char *name,
	const struct mlimg_index_composed *composed, struct mlimg_err *err)
{
	const struct mlimg_entry *entry = composed->entry;
	uint32_t ino;
	int r;

	m->is_used[composed - m->composed] = true;
	if (mlimg_entry_is_whiteout(entry))
		return 0;
	r = mlimg_index_add_entry(m, entry, 1, &ino, err);
	if (r == 0 && entry->type == MLIMG_FILE)
		r = mlimg_erofs_set_data(
			m->image, ino, composed->data, (size_t)entry->size_bytes, err);
	if (r == 0)
		r = mlimg_erofs_check_inode(m->image, ino, err);
	if (r == 0 && entry->type == MLIMG_DIR)
		r = add_directory(m, parent, lists, mlimg_entry_is_opaque(entry) ? lists->n : top,
			NULL, name, ino, err);
	else if (r == 0)
		r = mlimg_erofs_add_name(m->image, parent->dir, name, strlen(name), ino, err);
	return r < 0 ? mlimg_err_wrap(err, r, "composed '/%s'", entry->path) : 0;
}

/*
 * Bounded as a manifest: directories may have blocks in common, and so more entries than an image
 * has room for.
 */
static int read_list(struct mlimg_index_job *m, const struct part *part,
	struct mlimg_ext4_dir *ret_dir, struct mlimg_err *err)
{
	struct mlimg_ext4 *fs = m->layers[part->layer].fs;
	int r = mlimg_ext4_inode_read(fs, part->ino, &m->inode, err);

	if (r == 0)
		r = mlimg_ext4_dir_read(fs, &m->inode, ret_dir, err);
	if (r < 0)
		return r;
	m->n_entries[part->layer] += ret_dir->n_entries;
	if (m->n_entries[part->layer] <= MLIMG_ENTRIES_MAX)
		return 0;
	mlimg_ext4_dir_done(ret_dir);
	return mlimg_err_refuse(err, "with its entries the layer has more than the %u that can be",
		MLIMG_ENTRIES_MAX);
}

static int open_lists(struct mlimg_index_job *m, const struct mlimg_index_pending *dir,
	struct lists *lists, struct mlimg_err *err)
{
	for (; lists->n < dir->n_parts; lists->n++) {
		const struct part *part = &dir->parts[lists->n];
		int r = read_list(m, part, &lists->dirs[lists->n], err);

		if (r < 0)
			return wrap(m, r, part->layer, dir->path, err);
		lists->next[lists->n] = 0;
	}
	return 0;
}

/* The topmost part that has the name, or the number of parts. */
static size_t topmost(const struct lists *lists, const char *name)
{
	for (size_t i = 0; i < lists->n; i++) {
		const struct mlimg_ext4_dirent *head = list_head(lists, i);

		if (head && !strcmp(head->name, name))
			return i;
	}
	return lists->n;
}

static void pass_name(struct lists *lists, size_t top, const char *name)
{
	for (size_t i = top; i < lists->n; i++) {
		const struct mlimg_ext4_dirent *head = list_head(lists, i);

		if (head && !strcmp(head->name, name))
			lists->next[i]++;
	}
}

static int merge_directory(
	struct mlimg_index_job *m, const struct mlimg_index_pending *dir, struct mlimg_err *err)
{
	struct lists lists = {.n = 0};
	struct mlimg_index_cursor cursor;
	int r = open_lists(m, dir, &lists, err);

	mlimg_index_cursor_begin(&cursor, m->composed, m->n_composed, dir->path);
	while (r == 0) {
		const struct mlimg_index_composed *composed = mlimg_index_cursor_peek(&cursor);
		const char *name = least_name(&lists);
		size_t top;

		if (composed && name && strcmp(name, mlimg_index_cursor_name(&cursor)) < 0)
			composed = NULL;
		if (composed)
			name = mlimg_index_cursor_name(&cursor);
		if (!name)
			break;
		top = topmost(&lists, name);
		if (composed) {
			r = add_composed(m, dir, &lists, top, name, composed, err);
			cursor.at++;
		} else {
			r = add_name(m, dir, &lists, top, name, err);
		}
		pass_name(&lists, top, name);
	}
	lists_done(&lists);
	return r;
}

/* ---- the whole ---- */

/*
 * The merged root has the topmost layer's attributes. overlayfs never asks whether the root of a
 * lower is opaque: they always merge.
 */
static int add_rootfs(struct mlimg_index_job *m, uint32_t root, struct mlimg_err *err)
{
	struct mlimg_index_pending *dir = NULL;
	struct mlimg_entry entry;
	int r = pending_new("", "", 0, &dir, err);

	for (size_t i = m->n_layers; r == 0 && i-- > 0;) {
		struct mlimg_ext4_inode *inode = dir->n_parts ? &m->below : &m->inode;

		r = mlimg_ext4_lookup(m->layers[i].fs, "/", "rootfs", false, inode, err);
		if (r == -ENOENT || (r == 0 && inode->type != MLIMG_DIR))
			r = mlimg_err_refuse(err, "has no directory /rootfs");
		if (r == 0)
			r = mlimg_ext4_entry(m->layers[i].fs, inode, m->attrs, &entry, err);
		if (r == 0 && !dir->n_parts)
			r = mlimg_index_add_inode(m, i, &entry, &dir->dir, err);
		if (r < 0) {
			r = mlimg_err_wrap(err, r, "layer '%s'", m->layers[i].info->name);
			break;
		}
		dir->parts[dir->n_parts++] = (struct part){(uint16_t)i, inode->ino};
	}
	if (r == 0)
		r = mlimg_erofs_add_name(m->image, root, "rootfs", 6, dir->dir, err);
	if (r == 0)
		r = push_pending(m, dir, err);
	if (r < 0)
		pending_free(dir);
	return r;
}

/* Each directory asks for the entries in it, so what was not asked for has none. */
static int check_composed_used(const struct mlimg_index_job *m, struct mlimg_err *err)
{
	for (size_t i = 0; i < m->n_composed; i++)
		if (!m->is_used[i])
			return mlimg_err_set(err, ENOENT, "directory of the composed '/%s'",
				m->composed[i].entry->path);
	return 0;
}

static int merge_all(
	struct mlimg_index_job *m, const struct mlimg_index_texts *texts, struct mlimg_err *err)
{
	uint32_t root;
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->n_layers; i++) {
		const struct mlimg_ext4_super *super = mlimg_ext4_super(m->layers[i].fs);

		r = mlimg_erofs_add_device(
			m->image, m->layers[i].info->build_id, super->places, super->n_blocks, err);
		r = r > 0 ? 0 : r;
	}
	if (r == 0)
		r = mlimg_index_add_own_dir(m, 0, NULL, &root, err);
	if (r == 0)
		r = mlimg_index_add_description(m, root, texts, err);
	if (r == 0)
		r = add_rootfs(m, root, err);
	while (r == 0 && m->pending) {
		struct mlimg_index_pending *dir = m->pending;

		m->pending = dir->next;
		r = merge_directory(m, dir, err);
		pending_free(dir);
	}
	return r < 0 ? r : check_composed_used(m, err);
}

int mlimg_index_merge(const struct mlimg_index_layer *layers, size_t n_layers,
	const struct mlimg_index_texts *texts, const struct mlimg_index_composed *composed,
	size_t n_composed, struct mlimg_erofs **ret_image, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_index_job *m = calloc(1, sizeof(*m));
	int r = mlimg_index_composed_check(composed, n_composed, err);

	if (r < 0)
		return r;
	if (!n_layers || n_layers > LAYERS_MAX)
		return mlimg_err_usage(err, "an index has 1 to %d layers", LAYERS_MAX);
	if (!m)
		return mlimg_err_set(err, ENOMEM, "merge");
	m->layers = layers;
	m->n_layers = n_layers;
	m->composed = composed;
	m->n_composed = n_composed;
	m->is_used = calloc(n_composed + 1, sizeof(*m->is_used));
	m->attrs = mlimg_ext4_attrs_new();
	m->follower = mlimg_index_follower_new(layers, n_layers);
	r = m->attrs && m->is_used && m->follower ? mlimg_erofs_new(&m->image, err)
						  : mlimg_err_set(err, ENOMEM, "merge");
	if (r == 0)
		r = merge_all(m, texts, err);
	while (m->pending) {
		struct mlimg_index_pending *dir = m->pending;

		m->pending = dir->next;
		pending_free(dir);
	}
	free(m->is_used);
	mlimg_index_seen_done(&m->seen);
	mlimg_index_follower_free(m->follower);
	mlimg_ext4_attrs_free(m->attrs);
	if (r < 0)
		mlimg_erofs_free(m->image);
	else
		*ret_image = m->image;
	return r;
}
