/* SPDX-License-Identifier: MIT */
#include "tools/itree.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "tools/data.h"

#define LINKS_MAX 40 /* as the kernel: MAXSYMLINKS */

/*
 * "IMAGE: " or "IMAGE: ./PATH: " in front; long names are cut, so that what is wrong still finds
 * room.
 */
__attribute__((format(printf, 4, 0))) static void format_place(
	const struct mlimg_itree *tree, const char *at, char *text, const char *fmt, va_list ap)
{
	char what[MLIMG_ERR_TEXT_SIZE];

	vsnprintf(what, sizeof(what), fmt, ap);
	if (at)
		snprintf(text, MLIMG_ERR_TEXT_SIZE, "%.140s: %s%.140s: %.160s", tree->name,
			at[0] ? "./" : ".", at, what);
	else
		snprintf(text, MLIMG_ERR_TEXT_SIZE, "%.140s: %.300s", tree->name, what);
}

__attribute__((format(printf, 4, 5), cold)) MLIMG_MUST_CHECK static int refuse(
	const struct mlimg_itree *tree, const char *at, struct mlimg_err *err, const char *fmt, ...)
{
	char text[MLIMG_ERR_TEXT_SIZE];
	va_list ap;

	va_start(ap, fmt);
	format_place(tree, at, text, fmt, ap);
	va_end(ap);
	return mlimg_err_refuse(err, "%s", text);
}

static int fail_lookup(
	const struct mlimg_itree *tree, struct mlimg_err *err, int errnum, const char *path)
{
	return mlimg_err_set(err, errnum, "%.140s: look up '%.300s'", tree->name, path);
}

/* A path on its way through the tree. */
struct lookup {
	const struct mlimg_itree *tree;
	void *attrs;
	void *inode; /* MLIMG_ITREE_INODE_MAX bytes, what node points to */
	struct mlimg_itree_node node;
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
		return fail_lookup(l->tree, l->err, ELOOP, l->path);
	if (strlen(l->rest) > MLIMG_PATH_MAX)
		return fail_lookup(l->tree, l->err, ENAMETOOLONG, l->path);
	memcpy(rest, l->rest, strlen(l->rest) + 1);
	length = snprintf(l->rest, sizeof(l->rest), "%s%s", target, rest);
	if (length < 0 || length > MLIMG_PATH_MAX)
		return fail_lookup(l->tree, l->err, ENAMETOOLONG, l->path);
	if (target[0] == '/')
		l->depth = 1;
	return 0;
}

static int read_entry_inode(const struct mlimg_itree *tree, const char *at,
	const struct mlimg_ext4_dirent *entry, void *inode, struct mlimg_itree_node *ret_node,
	struct mlimg_err *err)
{
	int ret = tree->ops->inode(tree->image, entry->ino, inode, ret_node, err);

	if (ret == 0 && ret_node->type != entry->type)
		return refuse(tree, at, err, "inode %u is not of the type that its directory says",
			entry->ino);
	return ret;
}

/* Back to the directory that we are in: the last of those above. */
static int go_back(struct lookup *l)
{
	return l->tree->ops->inode(
		l->tree->image, l->above[l->depth - 1], l->inode, &l->node, l->err);
}

/* One component: a name in the directory that we are in. */
static int step(struct lookup *l, const char *name, bool follow)
{
	const struct mlimg_itree *tree = l->tree;
	struct mlimg_ext4_dir dir = {0};
	const struct mlimg_ext4_dir *names = &dir;
	const struct mlimg_ext4_dirent *found;
	struct mlimg_entry entry;
	int ret;

	if (l->node.type != MLIMG_DIR)
		return fail_lookup(l->tree, l->err, ENOTDIR, l->path);
	if (strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) {
		l->depth -= l->depth > 1;
		return go_back(l);
	}
	if (tree->ops->recent_dir)
		ret = tree->ops->recent_dir(tree->image, l->inode, &names, l->err);
	else
		ret = tree->ops->dir(tree->image, l->inode, &dir, l->err);
	if (ret < 0)
		return ret;
	found = mlimg_ext4_dir_find(names, name);
	ret = found ? read_entry_inode(tree, NULL, found, l->inode, &l->node, l->err)
		    : fail_lookup(l->tree, l->err, ENOENT, l->path);
	mlimg_ext4_dir_done(&dir);
	if (ret < 0)
		return ret;
	if (l->node.type == MLIMG_DIR) {
		if (l->depth == sizeof(l->above) / sizeof(l->above[0]))
			return fail_lookup(l->tree, l->err, ENAMETOOLONG, l->path);
		l->above[l->depth++] = l->node.ino;
	}
	if (l->node.type != MLIMG_LINK || !(follow || l->rest[0]))
		return 0;
	ret = tree->ops->entry(tree->image, l->inode, l->attrs, &entry, l->err);
	if (ret == 0)
		ret = splice_link(l, entry.link);
	/* Go on from the directory that holds the link, or from the root. */
	return ret < 0 ? ret : go_back(l);
}

static int resolve(struct lookup *l, const char *path, bool follow)
{
	char name[MLIMG_PATH_MAX + 1];
	int ret = 0;

	if (strlen(path) > MLIMG_PATH_MAX)
		return mlimg_err_set(
			l->err, ENAMETOOLONG, "%.140s: look up '%.60s...'", l->tree->name, path);
	l->path = path;
	l->depth = 1;
	l->above[0] = l->node.ino;
	snprintf(l->rest, sizeof(l->rest), "%s", path);
	for (;;) {
		next_component(l, name);
		if (!name[0])
			return 0;
		ret = step(l, name, follow);
		if (ret < 0)
			return ret;
	}
}

/* The tree's own root is the image's layout: a link there would lead out of the tree. */
static int find_root(struct lookup *l)
{
	const struct mlimg_itree *tree = l->tree;
	int ret = tree->ops->inode(tree->image, tree->root_ino, l->inode, &l->node, l->err);

	if (ret == 0)
		ret = resolve(l, tree->root, false);
	if (ret == -ENOENT || (ret == 0 && l->node.type != MLIMG_DIR))
		return refuse(tree, NULL, l->err, "there is no directory '%s' in it", tree->root);
	return ret;
}

int mlimg_itree_lookup(const struct mlimg_itree *tree, const char *path, bool follow,
	struct mlimg_itree_room *ret_room, struct mlimg_itree_node *ret_node, struct mlimg_err *err)
{
	mlimg_autofree struct lookup *l = calloc(1, sizeof(*l));
	void *attrs = tree->ops->attrs_new();
	int ret;

	if (!attrs || !l) {
		tree->ops->attrs_free(attrs);
		return fail_lookup(tree, err, ENOMEM, path);
	}
	l->tree = tree;
	l->attrs = attrs;
	l->inode = ret_room;
	l->err = err;
	ret = find_root(l);
	if (ret == 0)
		ret = resolve(l, path, follow);
	if (ret == 0)
		*ret_node = l->node;
	tree->ops->attrs_free(attrs);
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
	const struct mlimg_itree *tree;
	void *attrs;
	mlimg_itree_walk_fn *fn;
	mlimg_walk_skip_fn *skip; /* NULL: nothing may be passed over */
	void *ctx;
	struct mlimg_err *err;
	struct level *levels;
	size_t depth, room;
	size_t n_entries;
	char path[MLIMG_PATH_MAX + 1];
};

static int enter(struct walk *w, const struct mlimg_itree_node *node, const uint32_t *parent_ino)
{
	struct level *level;
	int ret;

	if (w->depth == w->room) {
		size_t room = w->room ? 2 * w->room : 16;
		void *levels = realloc(w->levels, room * sizeof(*w->levels));

		if (!levels)
			return mlimg_err_set(w->err, ENOMEM, "%.140s: walk", w->tree->name);
		w->levels = levels;
		w->room = room;
	}
	level = &w->levels[w->depth];
	*level = (struct level){.path_end = strlen(w->path), .ino = node->ino};
	ret = w->tree->ops->dir(w->tree->image, node->inode, &level->dir, w->err);
	if (ret < 0)
		return ret;
	w->depth++;
	if (parent_ino && level->dir.parent_ino != *parent_ino)
		return refuse(w->tree, w->path, w->err,
			"directory inode %u says that it is in inode %u, not in %u", node->ino,
			level->dir.parent_ino, *parent_ino);
	return 0;
}

static int visit(struct walk *w, const struct mlimg_itree_node *node, const uint32_t *parent_ino)
{
	struct mlimg_entry entry;
	int ret;

	if (w->n_entries++ == MLIMG_ENTRIES_MAX)
		return refuse(w->tree, w->path, w->err, "more than %u entries", MLIMG_ENTRIES_MAX);
	ret = w->tree->ops->entry(w->tree->image, node->inode, w->attrs, &entry, w->err);
	if (ret < 0)
		return ret;
	entry.path = w->path;
	ret = w->fn(&entry, node, w->ctx, w->err);
	if (ret == 0 && node->type == MLIMG_DIR)
		return enter(w, node, parent_ino);
	return ret < 0 ? ret : 0;
}

/* The next entry of the deepest directory, or back up when it has no more. */
static int advance(struct walk *w)
{
	struct level *level = &w->levels[w->depth - 1];
	const struct mlimg_ext4_dirent *entry;
	struct mlimg_itree_node node;
	struct mlimg_itree_room inode;
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
	if (end + (end > 0) + strlen(entry->name) > MLIMG_PATH_MAX) {
		if (!w->skip)
			return refuse(w->tree, w->path, w->err, "a path is longer than %u bytes",
				MLIMG_PATH_MAX);
		w->skip(w->path, -ENAMETOOLONG, false, w->ctx);
		return 0;
	}
	sprintf(w->path + end, "%s%s", end ? "/" : "", entry->name);
	ret = read_entry_inode(w->tree, w->path, entry, &inode, &node, w->err);
	/*
	 * Its ".." vouches for every other directory; where the walk began, nobody has looked at
	 * that.
	 */
	if (ret == 0 && node.ino == w->levels[0].ino)
		return refuse(
			w->tree, w->path, w->err, "directory inode %u contains itself", node.ino);
	return ret < 0 ? ret : visit(w, &node, &ino);
}

static int walk(struct walk *w, const struct mlimg_itree_node *root)
{
	int ret = visit(w, root, NULL);

	while (ret == 0 && w->depth)
		ret = advance(w);
	for (; w->depth; w->depth--)
		mlimg_ext4_dir_done(&w->levels[w->depth - 1].dir);
	return ret;
}

int mlimg_itree_walk(const struct mlimg_itree *tree, const struct mlimg_itree_node *root,
	mlimg_itree_walk_fn *fn, void *ctx, struct mlimg_err *err)
{
	return mlimg_itree_walk_lenient(tree, root, fn, NULL, ctx, err);
}

int mlimg_itree_walk_lenient(const struct mlimg_itree *tree, const struct mlimg_itree_node *root,
	mlimg_itree_walk_fn *fn, mlimg_walk_skip_fn *skip, void *ctx, struct mlimg_err *err)
{
	mlimg_autofree struct walk *w = calloc(1, sizeof(*w));
	const char *outer;
	int ret;

	if (w)
		*w = (struct walk){.tree = tree, .fn = fn, .skip = skip, .ctx = ctx, .err = err};
	if (!w || !(w->attrs = tree->ops->attrs_new()))
		return mlimg_err_set(err, ENOMEM, "%.140s: walk", tree->name);
	outer = tree->ops->at(tree->image, w->path);
	ret = walk(w, root);
	tree->ops->at(tree->image, outer);
	tree->ops->attrs_free(w->attrs);
	free(w->levels);
	return ret;
}

int mlimg_itree_read(const struct mlimg_itree *tree, const struct mlimg_itree_node *node,
	mlimg_ext4_data_fn *fn, void *ctx, struct mlimg_err *err)
{
	return tree->ops->read(tree->image, node->inode, fn, ctx, err);
}

int mlimg_itree_read_text(const struct mlimg_itree *tree, const struct mlimg_itree_node *node,
	char **ret_text, struct mlimg_err *err)
{
	mlimg_autofree char *text = malloc(node->size_bytes + 1);
	char *next = text;
	int ret;

	if (!text)
		return mlimg_err_set(err, ENOMEM, "%.200s: read a file", tree->name);
	ret = mlimg_itree_read(tree, node, mlimg_data_to_memory, &next, err);
	if (ret < 0)
		return ret;
	*next = '\0';
	*ret_text = mlimg_steal(&text);
	return 0;
}

int mlimg_itree_used(const struct mlimg_itree *tree, const struct mlimg_itree_node *node,
	uint64_t *ret_bytes, struct mlimg_err *err)
{
	return tree->ops->used(tree->image, node->inode, ret_bytes, err);
}

int mlimg_itree_data(const struct mlimg_itree *tree, const struct mlimg_itree_node *node,
	struct mlimg_itree_run **ret_runs, size_t *ret_n, struct mlimg_err *err)
{
	return tree->ops->data(tree->image, node->inode, ret_runs, ret_n, err);
}
