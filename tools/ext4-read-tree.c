/* SPDX-License-Identifier: MIT */
/* Trees: finding a path, and walking. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/ext4-read-impl.h"

#define LINKS_MAX 40 /* as the kernel: MAXSYMLINKS */

/* A path on its way through the tree. */
struct lookup {
	struct mlimg_ext4 *fs;
	struct mlimg_ext4_attrs *attrs;
	const char *path; /* as the caller gave it, for messages */
	uint32_t above[MLIMG_PATH_MAX / 2 +
		2];   /* the directories from the tree's root down to where we are */
	size_t depth; /* entries of above, at least 1 */
	char rest[2 * MLIMG_PATH_MAX + 2]; /* what is still to be looked up */
	unsigned links;
	struct mlimg_err *err;
};

/* Take the first component off the rest; an empty one means that there is none left. */
static void next_component(struct lookup *l, char name[MLIMG_PATH_MAX + 1])
{
	char *start = l->rest + strspn(l->rest, "/");
	size_t length = strcspn(start, "/");
	bool has_more = start[length] == '/';

	snprintf(name, MLIMG_PATH_MAX + 1, "%.*s", (int)length, start);
	memmove(l->rest, start + length, strlen(start + length) + 1);
	/* "dir/": the last component must be a directory, as if "/." followed. */
	if (has_more && l->rest[strspn(l->rest, "/")] == '\0')
		memcpy(l->rest, "/.", 3);
}

static int splice_link(struct lookup *l, const char *target)
{
	char rest[MLIMG_PATH_MAX + 1];
	int length;

	if (++l->links > LINKS_MAX)
		return ext4_fail(l->fs, l->err, ELOOP, "look up '%s'", l->path);
	if (strlen(l->rest) > MLIMG_PATH_MAX)
		return ext4_fail(l->fs, l->err, ENAMETOOLONG, "look up '%s'", l->path);
	memcpy(rest, l->rest, strlen(l->rest) + 1);
	length = snprintf(l->rest, sizeof(l->rest), "%s%s", target, rest);
	if (length < 0 || length > MLIMG_PATH_MAX)
		return ext4_fail(l->fs, l->err, ENAMETOOLONG, "look up '%s'", l->path);
	if (target[0] == '/')
		l->depth = 1;
	return 0;
}

static int read_entry_inode(struct mlimg_ext4 *fs, const struct mlimg_ext4_dirent *entry,
	struct mlimg_ext4_inode *ret_inode, struct mlimg_err *err)
{
	int ret = mlimg_ext4_inode_read(fs, entry->ino, ret_inode, err);

	if (ret == 0 && ret_inode->type != entry->type)
		return ext4_refuse(
			fs, err, "inode %u is not of the type that its directory says", entry->ino);
	return ret;
}

/* One component: a name in the directory that we are in. */
static int step(struct lookup *l, const char *name, bool follow, struct mlimg_ext4_inode *inode)
{
	struct mlimg_ext4_dir dir = {0};
	const struct mlimg_ext4_dirent *found;
	struct mlimg_entry entry;
	int ret;

	if (inode->type != MLIMG_DIR)
		return ext4_fail(l->fs, l->err, ENOTDIR, "look up '%s'", l->path);
	if (strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) {
		l->depth -= l->depth > 1;
		return mlimg_ext4_inode_read(l->fs, l->above[l->depth - 1], inode, l->err);
	}
	ret = mlimg_ext4_dir_read(l->fs, inode, &dir, l->err);
	if (ret < 0)
		return ret;
	found = mlimg_ext4_dir_find(&dir, name);
	ret = found ? read_entry_inode(l->fs, found, inode, l->err)
		    : ext4_fail(l->fs, l->err, ENOENT, "look up '%s'", l->path);
	mlimg_ext4_dir_done(&dir);
	if (ret < 0)
		return ret;
	if (inode->type == MLIMG_DIR) {
		if (l->depth == sizeof(l->above) / sizeof(l->above[0]))
			return ext4_fail(l->fs, l->err, ENAMETOOLONG, "look up '%s'", l->path);
		l->above[l->depth++] = inode->ino;
	}
	if (inode->type != MLIMG_LINK || !(follow || l->rest[0]))
		return 0;
	ret = mlimg_ext4_entry(l->fs, inode, l->attrs, &entry, l->err);
	if (ret == 0)
		ret = splice_link(l, entry.link);
	/* Go on from the directory that holds the link, or from the root. */
	return ret < 0 ? ret : mlimg_ext4_inode_read(l->fs, l->above[l->depth - 1], inode, l->err);
}

static int resolve(struct lookup *l, const char *path, bool follow, struct mlimg_ext4_inode *inode)
{
	char name[MLIMG_PATH_MAX + 1];
	int ret = 0;

	if (strlen(path) > MLIMG_PATH_MAX)
		return ext4_fail(l->fs, l->err, ENAMETOOLONG, "look up '%.60s...'", path);
	l->path = path;
	l->depth = 1;
	l->above[0] = inode->ino;
	snprintf(l->rest, sizeof(l->rest), "%s", path);
	for (;;) {
		next_component(l, name);
		if (!name[0])
			return 0;
		ret = step(l, name, follow, inode);
		if (ret < 0)
			return ret;
	}
}

/* The tree's own root is the image's layout: a link there would lead out of the tree. */
static int find_root(struct lookup *l, const char *root, struct mlimg_ext4_inode *inode)
{
	int ret = mlimg_ext4_inode_read(l->fs, MLIMG_EXT4_ROOT_INO, inode, l->err);

	if (ret == 0)
		ret = resolve(l, root, false, inode);
	if (ret == -ENOENT || (ret == 0 && inode->type != MLIMG_DIR))
		return ext4_refuse(l->fs, l->err, "there is no directory '%s' in it", root);
	return ret;
}

int mlimg_ext4_lookup(struct mlimg_ext4 *fs, const char *root, const char *path, bool follow,
	struct mlimg_ext4_inode *ret_inode, struct mlimg_err *err)
{
	mlimg_autoext4attrs struct mlimg_ext4_attrs *attrs = mlimg_ext4_attrs_new();
	mlimg_autofree struct lookup *l = calloc(1, sizeof(*l));
	struct mlimg_ext4_inode inode;
	int ret;

	if (!attrs || !l)
		return ext4_fail(fs, err, ENOMEM, "look up '%s'", path);
	l->fs = fs;
	l->attrs = attrs;
	l->err = err;
	ret = find_root(l, root, &inode);
	if (ret == 0)
		ret = resolve(l, path, follow, &inode);
	if (ret == 0)
		*ret_inode = inode;
	return ret;
}

/* A directory that a walk is in. */
struct level {
	struct mlimg_ext4_dir dir;
	size_t next;     /* entry that comes next */
	size_t path_end; /* length of its path */
	uint32_t ino;
};

struct walk {
	struct mlimg_ext4 *fs;
	struct mlimg_ext4_attrs *attrs;
	mlimg_ext4_walk_fn *fn;
	void *ctx;
	struct mlimg_err *err;
	struct level *levels;
	size_t depth, room;
	size_t n_entries;
	char path[MLIMG_PATH_MAX + 1];
};

static int enter(struct walk *w, const struct mlimg_ext4_inode *inode, const uint32_t *parent_ino)
{
	struct level *level;
	int ret;

	if (w->depth == w->room) {
		size_t room = w->room ? 2 * w->room : 16;
		void *levels = realloc(w->levels, room * sizeof(*w->levels));

		if (!levels)
			return ext4_fail(w->fs, w->err, ENOMEM, "walk");
		w->levels = levels;
		w->room = room;
	}
	level = &w->levels[w->depth];
	*level = (struct level){.path_end = strlen(w->path), .ino = inode->ino};
	ret = mlimg_ext4_dir_read(w->fs, inode, &level->dir, w->err);
	if (ret < 0)
		return ret;
	w->depth++;
	if (parent_ino && level->dir.parent_ino != *parent_ino)
		return ext4_refuse(w->fs, w->err,
			"directory inode %u says that it is in inode %u, not in %u", inode->ino,
			level->dir.parent_ino, *parent_ino);
	return 0;
}

static int visit(struct walk *w, const struct mlimg_ext4_inode *inode, const uint32_t *parent_ino)
{
	struct mlimg_entry entry;
	int ret;

	if (w->n_entries++ == MLIMG_ENTRIES_MAX)
		return ext4_refuse(w->fs, w->err, "more than %u entries", MLIMG_ENTRIES_MAX);
	ret = mlimg_ext4_entry(w->fs, inode, w->attrs, &entry, w->err);
	if (ret < 0)
		return ret;
	entry.path = w->path;
	ret = w->fn(&entry, inode, w->ctx, w->err);
	if (ret == 0 && inode->type == MLIMG_DIR)
		return enter(w, inode, parent_ino);
	return ret < 0 ? ret : 0;
}

/* The next entry of the deepest directory, or back up when it has no more. */
static int advance(struct walk *w)
{
	struct level *level = &w->levels[w->depth - 1];
	const struct mlimg_ext4_dirent *entry;
	struct mlimg_ext4_inode inode;
	uint32_t ino = level->ino;
	size_t end = level->path_end;
	int ret;

	w->path[end] = '\0';
	if (level->next == level->dir.n_entries) {
		mlimg_ext4_dir_done(&level->dir);
		w->depth--;
		return 0;
	}
	entry = &level->dir.entries[level->next++];
	if (end + 1 + strlen(entry->name) > MLIMG_PATH_MAX)
		return ext4_refuse(w->fs, w->err, "a path is longer than %u bytes", MLIMG_PATH_MAX);
	sprintf(w->path + end, "%s%s", end ? "/" : "", entry->name);
	ret = read_entry_inode(w->fs, entry, &inode, w->err);
	/* Its ".." vouches for every other directory; where the walk began, nobody has looked at that. */
	if (ret == 0 && inode.ino == w->levels[0].ino)
		return ext4_refuse(w->fs, w->err, "directory inode %u contains itself", inode.ino);
	return ret < 0 ? ret : visit(w, &inode, &ino);
}

static int walk(struct walk *w, const struct mlimg_ext4_inode *root)
{
	int ret = visit(w, root, NULL);

	while (ret == 0 && w->depth)
		ret = advance(w);
	for (; w->depth; w->depth--)
		mlimg_ext4_dir_done(&w->levels[w->depth - 1].dir);
	return ret;
}

int mlimg_ext4_walk(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *root,
	mlimg_ext4_walk_fn *fn, void *ctx, struct mlimg_err *err)
{
	mlimg_autoext4attrs struct mlimg_ext4_attrs *attrs = mlimg_ext4_attrs_new();
	mlimg_autofree struct walk *w = calloc(1, sizeof(*w));
	const char *outer = fs->at;
	int ret;

	if (!attrs || !w)
		return ext4_fail(fs, err, ENOMEM, "walk");
	w->fs = fs;
	w->attrs = attrs;
	w->fn = fn;
	w->ctx = ctx;
	w->err = err;
	fs->at = w->path;
	ret = walk(w, root);
	fs->at = outer;
	free(w->levels);
	return ret;
}
