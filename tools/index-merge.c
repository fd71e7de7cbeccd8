/* SPDX-License-Identifier: MIT */
#include "tools/index-merge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/stack.h"
#include "libmlimg/whiteout.h"

#define LAYERS_MAX MLIMG_STACK_LAYERS_MAX

/* A directory of some layers that is one directory of the merged tree. */
struct pending {
	struct pending *next;
	char *path;
	uint32_t dir; /* in the image */
	size_t n_parts;
	struct part {
		uint16_t layer;
		uint32_t ino;
	} parts[]; /* topmost first */
};

/* (layer, inode) -> inode of the image; open addressing, key 0 is free (no inode is 0). */
struct seen {
	uint64_t *keys;
	uint32_t *values;
	size_t n, room;
};

struct merge {
	const struct mlimg_index_layer *layers;
	size_t n_layers;
	struct mlimg_erofs *image;
	struct mlimg_ext4_attrs *attrs;
	struct mlimg_ext4_inode
		inode; /* of the entry at hand; too large for the stack of every function */
	struct mlimg_ext4_inode below; /* of a directory beneath it */
	struct pending *pending;
	struct seen seen;
};

static const uint16_t type_modes[] = {
	[MLIMG_FILE] = S_IFREG,
	[MLIMG_DIR] = S_IFDIR,
	[MLIMG_LINK] = S_IFLNK,
	[MLIMG_CHAR] = S_IFCHR,
	[MLIMG_BLOCK] = S_IFBLK,
	[MLIMG_FIFO] = S_IFIFO,
	[MLIMG_SOCKET] = S_IFSOCK,
};

/* ---- which inodes are there already ---- */

static size_t seen_slot(const struct seen *seen, uint64_t key)
{
	/* Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4). */
	size_t slot = (size_t)((key * 11400714819323198485u) >> 32) & (seen->room - 1);

	while (seen->keys[slot] && seen->keys[slot] != key)
		slot = (slot + 1) & (seen->room - 1);
	return slot;
}

static int seen_grow(struct seen *seen)
{
	struct seen old = *seen;

	seen->room = old.room ? old.room * 2 : 1024;
	seen->keys = calloc(seen->room, sizeof(*seen->keys));
	seen->values = calloc(seen->room, sizeof(*seen->values));
	if (!seen->keys || !seen->values) {
		free(seen->keys);
		free(seen->values);
		*seen = old;
		return -ENOMEM;
	}
	for (size_t i = 0; i < old.room; i++) {
		size_t slot;

		if (!old.keys[i])
			continue;
		slot = seen_slot(seen, old.keys[i]);
		seen->keys[slot] = old.keys[i];
		seen->values[slot] = old.values[i];
	}
	free(old.keys);
	free(old.values);
	return 0;
}

static uint64_t seen_key(size_t layer, uint32_t ino)
{
	return (uint64_t)layer << 32 | ino;
}

static bool seen_find(const struct seen *seen, uint64_t key, uint32_t *ret_value)
{
	size_t slot;

	if (!seen->room)
		return false;
	slot = seen_slot(seen, key);
	*ret_value = seen->values[slot];
	return seen->keys[slot] == key;
}

static int seen_add(struct seen *seen, uint64_t key, uint32_t value)
{
	size_t slot;

	if (seen->n * 2 >= seen->room && seen_grow(seen) < 0)
		return -ENOMEM;
	slot = seen_slot(seen, key);
	seen->n += !seen->keys[slot];
	seen->keys[slot] = key;
	seen->values[slot] = value;
	return 0;
}

/* ---- one inode ---- */

static int wrap(const struct merge *m, int r, size_t layer, const char *path, struct mlimg_err *err)
{
	return mlimg_err_wrap(err, r, "layer '%s': '/%s'", m->layers[layer].info->name, path);
}

static int add_xattrs(
	struct merge *m, const struct mlimg_entry *entry, uint32_t ino, struct mlimg_err *err)
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

static int add_extents(struct merge *m, size_t layer, const struct mlimg_ext4_inode *inode,
	uint32_t ino, struct mlimg_err *err)
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

/* m->inode and its entry become an inode of the image. */
static int add_inode(struct merge *m, size_t layer, const struct mlimg_entry *entry,
	uint32_t *ret_ino, struct mlimg_err *err)
{
	struct mlimg_erofs_attr attr = {
		.mode = (uint32_t)type_modes[entry->type] | entry->mode,
		.uid = entry->uid,
		.gid = entry->gid,
		.nlink = m->inode.nlink,
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
	if (r == 0 && entry->type == MLIMG_FILE)
		r = add_extents(m, layer, &m->inode, *ret_ino, err);
	return r;
}

static int load(struct merge *m, size_t layer, uint32_t ino, struct mlimg_ext4_inode *inode,
	struct mlimg_entry *ret_entry, struct mlimg_err *err)
{
	int r = mlimg_ext4_inode_read(m->layers[layer].fs, ino, inode, err);

	return r < 0 ? r : mlimg_ext4_entry(m->layers[layer].fs, inode, m->attrs, ret_entry, err);
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

static int push_pending(struct merge *m, struct pending *dir, struct mlimg_err *err)
{
	for (size_t i = 0; i < dir->n_parts; i++) {
		uint64_t key = seen_key(dir->parts[i].layer, dir->parts[i].ino);
		uint32_t unused;

		if (seen_find(&m->seen, key, &unused))
			return mlimg_err_refuse(err,
				"layer '%s': directory inode %u is in two places",
				m->layers[dir->parts[i].layer].info->name, dir->parts[i].ino);
		if (seen_add(&m->seen, key, dir->dir) < 0)
			return mlimg_err_set(err, ENOMEM, "merge");
	}
	dir->next = m->pending;
	m->pending = dir;
	return 0;
}

static void pending_free(struct pending *dir)
{
	if (!dir)
		return;
	free(dir->path);
	free(dir);
}

static struct pending *pending_new(const char *parent, const char *name, uint32_t dir)
{
	struct pending *new = calloc(1, sizeof(*new) + LAYERS_MAX * sizeof(new->parts[0]));

	if (!new)
		return NULL;
	if (asprintf(&new->path, "%s%s%s", parent, *parent ? "/" : "", name) < 0) {
		free(new);
		return NULL;
	}
	new->dir = dir;
	return new;
}

/*
 * The directories beneath the topmost one, down to the first layer that is opaque there or that has something else of that
 * name. Layers without the name do not matter.
 */
static int collect_parts(struct merge *m, const struct pending *parent, const struct lists *lists,
	size_t top, const char *name, bool is_opaque, struct pending *dir, struct mlimg_err *err)
{
	for (size_t i = top; i < lists->n; i++) {
		const struct mlimg_ext4_dirent *head = list_head(lists, i);
		struct mlimg_entry entry;
		int r;

		if (!head || strcmp(head->name, name))
			continue;
		if (i != top) {
			if (head->type != MLIMG_DIR)
				return 0;
			r = load(m, parent->parts[i].layer, head->ino, &m->below, &entry, err);
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

static int add_directory(struct merge *m, const struct pending *parent, const struct lists *lists,
	size_t top, const char *name, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	bool is_opaque = mlimg_entry_is_opaque(entry);
	struct pending *dir, *shrunk;
	uint32_t ino;
	int r = add_inode(m, parent->parts[top].layer, entry, &ino, err);

	if (r < 0)
		return r;
	dir = pending_new(parent->path, name, ino);
	if (!dir)
		return mlimg_err_set(err, ENOMEM, "merge");
	r = collect_parts(m, parent, lists, top, name, is_opaque, dir, err);
	shrunk = realloc(dir, sizeof(*dir) + dir->n_parts * sizeof(dir->parts[0]));
	if (shrunk)
		dir = shrunk;
	if (r == 0)
		r = mlimg_erofs_add_name(m->image, parent->dir, name, strlen(name), ino, err);
	if (r == 0)
		r = push_pending(m, dir, err);
	if (r < 0)
		pending_free(dir);
	return r;
}

static int add_other(struct merge *m, const struct pending *parent, size_t layer, const char *name,
	const struct mlimg_entry *entry, struct mlimg_err *err)
{
	uint64_t key = seen_key(layer, m->inode.ino);
	bool has_names = m->inode.nlink > 1;
	uint32_t ino;
	int r = 0;

	if (!has_names || !seen_find(&m->seen, key, &ino)) {
		r = add_inode(m, layer, entry, &ino, err);
		if (r == 0 && has_names && seen_add(&m->seen, key, ino) < 0)
			r = mlimg_err_set(err, ENOMEM, "merge");
	}
	return r < 0 ? r
		     : mlimg_erofs_add_name(m->image, parent->dir, name, strlen(name), ino, err);
}

/* Everything that has this name; `top` is the topmost part that does, and decides. */
static int add_name(struct merge *m, const struct pending *parent, const struct lists *lists,
	size_t top, const char *name, struct mlimg_err *err)
{
	size_t layer = parent->parts[top].layer;
	const struct mlimg_ext4_dirent *head = list_head(lists, top);
	struct mlimg_entry entry;
	int r = load(m, layer, head->ino, &m->inode, &entry, err);

	if (r == 0 && entry.type != head->type)
		r = mlimg_err_refuse(
			err, "inode %u is of another type than its directory says", head->ino);
	if (r == 0 && !mlimg_entry_is_whiteout(&entry))
		r = entry.type == MLIMG_DIR
			? add_directory(m, parent, lists, top, name, &entry, err)
			: add_other(m, parent, layer, name, &entry, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "layer '%s': '/%s%s%s'", m->layers[layer].info->name,
			parent->path, *parent->path ? "/" : "", name);
	return 0;
}

static int open_lists(
	struct merge *m, const struct pending *dir, struct lists *lists, struct mlimg_err *err)
{
	for (; lists->n < dir->n_parts; lists->n++) {
		const struct part *part = &dir->parts[lists->n];
		struct mlimg_ext4 *fs = m->layers[part->layer].fs;
		int r = mlimg_ext4_inode_read(fs, part->ino, &m->inode, err);

		if (r == 0)
			r = mlimg_ext4_dir_read(fs, &m->inode, &lists->dirs[lists->n], err);
		if (r < 0)
			return wrap(m, r, part->layer, dir->path, err);
		lists->next[lists->n] = 0;
	}
	return 0;
}

static int merge_directory(struct merge *m, const struct pending *dir, struct mlimg_err *err)
{
	struct lists lists = {.n = 0};
	const char *name;
	int r = open_lists(m, dir, &lists, err);

	while (r == 0 && (name = least_name(&lists))) {
		size_t top = lists.n;

		for (size_t i = lists.n; i-- > 0;) {
			const struct mlimg_ext4_dirent *head = list_head(&lists, i);

			if (head && !strcmp(head->name, name))
				top = i;
		}
		r = add_name(m, dir, &lists, top, name, err);
		for (size_t i = 0; i < lists.n; i++) {
			const struct mlimg_ext4_dirent *head = list_head(&lists, i);

			if (head && !strcmp(head->name, name))
				lists.next[i]++;
		}
	}
	lists_done(&lists);
	return r;
}

/* ---- the whole ---- */

static int add_own_dir(struct merge *m, uint32_t parent, const char *name, uint32_t *ret_ino,
	struct mlimg_err *err)
{
	struct mlimg_erofs_attr attr = {
		.mode = S_IFDIR | 0755, .mtime_s = m->layers[0].info->time_s};
	int r = mlimg_erofs_add_inode(m->image, &attr, ret_ino, err);

	if (r < 0 || !name)
		return r;
	return mlimg_erofs_add_name(m->image, parent, name, strlen(name), *ret_ino, err);
}

static int add_manifest(struct merge *m, uint32_t dir, size_t layer, struct mlimg_err *err)
{
	char name[24];
	uint32_t ino;
	struct mlimg_erofs_attr attr = {.mode = S_IFREG | 0644, .nlink = 1};
	int r = mlimg_ext4_lookup(
		m->layers[layer].fs, "/", "mlimg/manifest", false, &m->inode, err);

	if (r == 0 && m->inode.type != MLIMG_FILE)
		r = mlimg_err_refuse(err, "/mlimg/manifest is no regular file");
	if (r < 0)
		return mlimg_err_wrap(err, r, "layer '%s'", m->layers[layer].info->name);
	attr.size_bytes = m->inode.size_bytes;
	attr.mtime_s = m->layers[0].info->time_s;
	snprintf(name, sizeof(name), "%zu", layer);
	r = mlimg_erofs_add_inode(m->image, &attr, &ino, err);
	if (r == 0)
		r = add_extents(m, layer, &m->inode, ino, err);
	return r < 0 ? r : mlimg_erofs_add_name(m->image, dir, name, strlen(name), ino, err);
}

static int add_description(
	struct merge *m, uint32_t root, const char *stack_json, struct mlimg_err *err)
{
	struct mlimg_erofs_attr attr = {
		.mode = S_IFREG | 0644, .nlink = 1, .mtime_s = m->layers[0].info->time_s};
	uint32_t dir, manifests, ino;
	int r = add_own_dir(m, root, "mlimg", &dir, err);

	if (r == 0)
		r = mlimg_erofs_add_inode(m->image, &attr, &ino, err);
	if (r == 0)
		r = mlimg_erofs_set_data(m->image, ino, stack_json, strlen(stack_json), err);
	if (r == 0)
		r = mlimg_erofs_add_name(m->image, dir, "stack.json", 10, ino, err);
	if (r == 0)
		r = add_own_dir(m, dir, "manifests", &manifests, err);
	for (size_t i = 0; r == 0 && i < m->n_layers; i++)
		r = add_manifest(m, manifests, i, err);
	return r;
}

/* The merged root has the topmost layer's attributes. overlayfs never asks whether the root of a lower is opaque: they always merge. */
static int add_rootfs(struct merge *m, uint32_t root, struct mlimg_err *err)
{
	struct pending *dir = pending_new("", "", 0);
	struct mlimg_entry entry;
	int r = dir ? 0 : mlimg_err_set(err, ENOMEM, "merge");

	for (size_t i = m->n_layers; r == 0 && i-- > 0;) {
		struct mlimg_ext4_inode *inode = dir->n_parts ? &m->below : &m->inode;

		r = mlimg_ext4_lookup(m->layers[i].fs, "/", "rootfs", false, inode, err);
		if (r == 0 && inode->type != MLIMG_DIR)
			r = mlimg_err_refuse(err, "/rootfs is no directory");
		if (r == 0)
			r = mlimg_ext4_entry(m->layers[i].fs, inode, m->attrs, &entry, err);
		if (r == 0 && !dir->n_parts)
			r = add_inode(m, i, &entry, &dir->dir, err);
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

static int merge_all(struct merge *m, const char *stack_json, struct mlimg_err *err)
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
		r = add_own_dir(m, 0, NULL, &root, err);
	if (r == 0)
		r = add_description(m, root, stack_json, err);
	if (r == 0)
		r = add_rootfs(m, root, err);
	while (r == 0 && m->pending) {
		struct pending *dir = m->pending;

		m->pending = dir->next;
		r = merge_directory(m, dir, err);
		pending_free(dir);
	}
	return r;
}

int mlimg_index_merge(const struct mlimg_index_layer *layers, size_t n_layers,
	const char *stack_json, struct mlimg_erofs **ret_image, struct mlimg_err *err)
{
	mlimg_autofree struct merge *m = calloc(1, sizeof(*m));
	int r;

	if (!n_layers || n_layers > LAYERS_MAX)
		return mlimg_err_usage(err, "an index has 1 to %d layers", LAYERS_MAX);
	if (!m)
		return mlimg_err_set(err, ENOMEM, "merge");
	m->layers = layers;
	m->n_layers = n_layers;
	m->attrs = mlimg_ext4_attrs_new();
	r = m->attrs ? mlimg_erofs_new(&m->image, err) : mlimg_err_set(err, ENOMEM, "merge");
	if (r == 0)
		r = merge_all(m, stack_json, err);
	while (m->pending) {
		struct pending *dir = m->pending;

		m->pending = dir->next;
		pending_free(dir);
	}
	free(m->seen.keys);
	free(m->seen.values);
	mlimg_ext4_attrs_free(m->attrs);
	if (r < 0)
		mlimg_erofs_free(m->image);
	else
		*ret_image = m->image;
	return r;
}
