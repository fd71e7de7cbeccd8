/* SPDX-License-Identifier: MIT */
#include "tools/index-follow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/patch.h"
#include "libmlimg/whiteout.h"

/* What a layer has at a path. */
enum found {
	FOUND,
	ABSENT, /* nothing: layers beneath may have it */
	HIDDEN, /* something that hides what is beneath */
};

/* The directory that a layer was last asked for. */
struct place {
	char *path; /* NULL: none yet */
	enum found found;
	bool is_opaque; /* it, or one that it is in */
	struct mlimg_ext4_dir dir;
};

struct mlimg_index_follower {
	const struct mlimg_index_layer *layers;
	size_t n_layers;
	struct mlimg_ext4_attrs *attrs;
	struct mlimg_ext4_inode inode;
	struct place places[]; /* of each layer */
};

static void forget(struct place *p)
{
	free(p->path);
	mlimg_ext4_dir_done(&p->dir);
	*p = (struct place){.path = NULL};
}

struct mlimg_index_follower *mlimg_index_follower_new(
	const struct mlimg_index_layer *layers, size_t n_layers)
{
	struct mlimg_index_follower *f = calloc(1, sizeof(*f) + n_layers * sizeof(f->places[0]));

	if (!f)
		return NULL;
	f->layers = layers;
	f->n_layers = n_layers;
	f->attrs = mlimg_ext4_attrs_new();
	if (f->attrs)
		return f;
	mlimg_index_follower_free(f);
	return NULL;
}

void mlimg_index_follower_free(struct mlimg_index_follower *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n_layers; i++)
		forget(&f->places[i]);
	mlimg_ext4_attrs_free(f->attrs);
	free(f);
}

bool mlimg_index_is_reference(
	const struct mlimg_index_layer *layer, const struct mlimg_entry *entry)
{
	return layer->info->kind == MLIMG_PATCH && entry->type == MLIMG_FILE &&
		mlimg_entry_has_reference(entry);
}

/* Load the inode that a directory has under a name. */
static int load(struct mlimg_index_follower *f, size_t layer, const struct mlimg_ext4_dirent *name,
	struct mlimg_entry *ret_entry, struct mlimg_err *err)
{
	struct mlimg_ext4 *fs = f->layers[layer].fs;
	int r = mlimg_ext4_inode_read(fs, name->ino, &f->inode, err);

	if (r == 0 && f->inode.type != name->type)
		r = mlimg_err_refuse(
			err, "inode %u is of another type than its directory says", name->ino);
	return r < 0 ? r : mlimg_ext4_entry(fs, &f->inode, f->attrs, ret_entry, err);
}

/* From the directory in @p, of @layer, down into the one with the name. */
static int descend(struct mlimg_index_follower *f, size_t layer, struct place *p, const char *name,
	struct mlimg_err *err)
{
	const struct mlimg_ext4_dirent *found = mlimg_ext4_dir_find(&p->dir, name);
	struct mlimg_entry entry;
	int r = found ? load(f, layer, found, &entry, err) : 0;

	mlimg_ext4_dir_done(&p->dir);
	p->dir = (struct mlimg_ext4_dir){.n_entries = 0};
	if (r < 0)
		return r;
	if (!found)
		p->found = p->is_opaque ? HIDDEN : ABSENT;
	else if (entry.type != MLIMG_DIR)
		p->found = HIDDEN;
	if (p->found != FOUND)
		return 0;
	p->is_opaque |= mlimg_entry_is_opaque(&entry);
	return mlimg_ext4_dir_read(f->layers[layer].fs, &f->inode, &p->dir, err);
}

/* Let the layer's place be the directory @path, "" for the root. */
static int go_to(
	struct mlimg_index_follower *f, size_t layer, const char *path, struct mlimg_err *err)
{
	struct place *p = &f->places[layer], new = {.found = FOUND};
	mlimg_autofree char *copy = NULL, *rest = NULL;
	struct mlimg_ext4 *fs = f->layers[layer].fs;
	char *save = NULL;
	int r;

	if (p->path && strcmp(p->path, path) == 0)
		return 0;
	forget(p);
	copy = strdup(path);
	rest = strdup(path);
	if (!copy || !rest)
		return mlimg_err_set(err, ENOMEM, "follow a reference");
	r = mlimg_ext4_lookup(
		fs, mlimg_kind_tree(f->layers[layer].info->kind), "", false, &f->inode, err);
	if (r == 0)
		r = mlimg_ext4_dir_read(fs, &f->inode, &new.dir, err);
	for (char *name = strtok_r(rest, "/", &save); name && r == 0 && new.found == FOUND;
		name = strtok_r(NULL, "/", &save))
		r = descend(f, layer, &new, name, err);
	if (r < 0) {
		mlimg_ext4_dir_done(&new.dir);
		return r;
	}
	new.path = mlimg_steal(&copy);
	*p = new;
	return 0;
}

/* What a layer has at @path, in f->inode and @ret_entry. */
static int look(struct mlimg_index_follower *f, size_t layer, const char *path,
	enum found *ret_found, struct mlimg_entry *ret_entry, struct mlimg_err *err)
{
	const struct place *p = &f->places[layer];
	const struct mlimg_ext4_dirent *found;
	const char *slash = strrchr(path, '/');
	char parent[MLIMG_PATH_MAX + 1] = "";
	int r;

	if (slash)
		memcpy(parent, path, (size_t)(slash - path));
	parent[slash ? slash - path : 0] = '\0';
	r = go_to(f, layer, parent, err);
	if (r < 0)
		return r;
	*ret_found = p->found;
	if (p->found != FOUND)
		return 0;
	found = mlimg_ext4_dir_find(&p->dir, slash ? slash + 1 : path);
	if (found)
		return load(f, layer, found, ret_entry, err);
	*ret_found = p->is_opaque ? HIDDEN : ABSENT;
	return 0;
}

/* The topmost layer below *layer that has a file at @path. */
static int find_beneath(struct mlimg_index_follower *f, size_t *layer, const char *path,
	struct mlimg_entry *ret_entry, struct mlimg_err *err)
{
	enum found found = ABSENT;

	while (found == ABSENT && (*layer)--) {
		int r = look(f, *layer, path, &found, ret_entry, err);

		if (r < 0)
			return mlimg_err_wrap(err, r, "where its contents lie, layer '%s': '/%s'",
				f->layers[*layer].info->name, path);
	}
	if (found != FOUND || ret_entry->type != MLIMG_FILE)
		return mlimg_err_refuse(
			err, "refers to contents at '/%s', where there is no file beneath", path);
	return 0;
}

int mlimg_index_follow(struct mlimg_index_follower *f, size_t layer,
	const struct mlimg_entry *entry, size_t *ret_layer, struct mlimg_ext4_inode *ret_inode,
	struct mlimg_err *err)
{
	char path[MLIMG_PATH_MAX + 1], buf[MLIMG_REDIRECT_MAX];
	struct mlimg_entry e = *entry;
	const char *target;
	int r;

	do {
		r = mlimg_reference_path(&e, &target, buf, err);
		if (r < 0)
			return r;
		memmove(path, target, strlen(target) + 1);
		r = find_beneath(f, &layer, path, &e, err);
		if (r < 0)
			return r;
		e.path = path;
	} while (mlimg_index_is_reference(&f->layers[layer], &e));
	if (mlimg_entry_has_reference(&e))
		return mlimg_err_refuse(err,
			"refers to contents at '/%s', which layer '%s' says lie elsewhere", path,
			f->layers[layer].info->name);
	if (e.size_bytes != entry->size_bytes)
		return mlimg_err_refuse(err, "refers to contents at '/%s', which are others", path);
	*ret_layer = layer;
	*ret_inode = f->inode;
	return 0;
}
