/* SPDX-License-Identifier: MIT */
/* Entries into a tree: what may stand where, and what sources hide from each other. */
#include "tools/source-tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/whiteout.h"

static int xattr_cmp(const void *a, const void *b)
{
	return strcmp(((const struct mlimg_xattr *)a)->name, ((const struct mlimg_xattr *)b)->name);
}

/* The mark of opacity is the node's: see mlimg_tree_mark_opaque(). */
static bool is_stored(const char *name)
{
	return mlimg_source_keeps_xattr(name) && strcmp(name, MLIMG_XATTR_OPAQUE) != 0;
}

static bool copy_xattrs(
	struct mlimg_tree *tree, struct mlimg_inode *inode, const struct mlimg_entry *entry)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < entry->n_xattrs; i++)
		n += is_stored(entry->xattrs[i].name);
	inode->n_xattrs = 0;
	inode->xattrs = n ? mlimg_tree_alloc(tree, n * sizeof(*inode->xattrs)) : NULL;
	if (n && !inode->xattrs)
		return false;
	for (uint32_t i = 0; i < entry->n_xattrs; i++) {
		const struct mlimg_xattr *from = &entry->xattrs[i];
		struct mlimg_xattr *to = &inode->xattrs[inode->n_xattrs];

		if (!is_stored(from->name))
			continue;
		to->name = mlimg_arena_strndup(tree->arena, from->name, strlen(from->name));
		to->value = mlimg_tree_alloc(tree, from->size + 1);
		to->size = from->size;
		if (!to->name || !to->value)
			return false;
		if (from->size)
			memcpy(to->value, from->value, from->size);
		inode->n_xattrs++;
	}
	if (n)
		qsort(inode->xattrs, n, sizeof(*inode->xattrs), xattr_cmp);
	return true;
}

static bool copy_attributes(
	struct mlimg_tree *tree, struct mlimg_inode *inode, const struct mlimg_entry *entry)
{
	inode->type = entry->type;
	inode->mode = entry->mode;
	inode->uid = entry->uid;
	inode->gid = entry->gid;
	inode->mtime_s = entry->mtime_s;
	inode->mtime_ns = entry->mtime_ns;
	inode->is_implied = false;
	if (entry->type == MLIMG_CHAR || entry->type == MLIMG_BLOCK) {
		inode->dev[0] = entry->dev_major;
		inode->dev[1] = entry->dev_minor;
	}
	if (entry->type == MLIMG_FILE)
		inode->file = mlimg_tree_alloc(tree, sizeof(*inode->file));
	if (entry->type == MLIMG_LINK)
		inode->link = mlimg_arena_strndup(tree->arena, entry->link, strlen(entry->link));
	if ((entry->type == MLIMG_FILE && !inode->file) ||
		(entry->type == MLIMG_LINK && !inode->link))
		return false;
	return copy_xattrs(tree, inode, entry);
}

void mlimg_tree_begin_level(struct mlimg_tree *tree, bool has_beneath)
{
	tree->level += tree->has_level;
	tree->has_level = true;
	tree->has_beneath = has_beneath;
}

bool mlimg_node_is_closed(const struct mlimg_tree *tree, const struct mlimg_node *node)
{
	if (node->inode->type != MLIMG_DIR)
		return node->level != tree->level;
	return node->sealed && node->sealed != tree->level;
}

void mlimg_tree_seal(struct mlimg_tree *tree, struct mlimg_node *node)
{
	if (!node->sealed)
		node->sealed = tree->level;
}

bool mlimg_node_is_hiding(const struct mlimg_node *node)
{
	return node->hides && node->inode->type == MLIMG_CHAR;
}

static bool is_whiteout(const struct mlimg_inode *inode)
{
	return inode->type == MLIMG_CHAR && !inode->dev[0] && !inode->dev[1];
}

/*
 * Whiteouts are of use to a system layer only while there is something of its own sources beneath.
 */
static int check(
	const struct mlimg_tree *tree, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	bool is_above = tree->kind == MLIMG_SYSTEM && tree->has_beneath;

	return mlimg_source_check(entry, is_above ? MLIMG_SOFTWARE : tree->kind, err);
}

static bool set_attributes(
	struct mlimg_tree *tree, struct mlimg_node *node, const struct mlimg_entry *entry)
{
	if (node->level != tree->level && !node->inode->is_implied)
		return true;
	node->level = tree->level;
	return copy_attributes(tree, node->inode, entry);
}

int mlimg_tree_set(struct mlimg_tree *tree, struct mlimg_node *node,
	const struct mlimg_entry *entry, struct mlimg_err *err)
{
	int r = check(tree, entry, err);

	if (r == 0 && !mlimg_node_is_closed(tree, node) && !set_attributes(tree, node, entry))
		r = mlimg_err_set(err, ENOMEM, "'%s'", entry->path);
	return r;
}

static int merge_dir(struct mlimg_tree *tree, struct mlimg_node *node,
	const struct mlimg_entry *entry, struct mlimg_err *err)
{
	if (!set_attributes(tree, node, entry))
		return mlimg_err_set(err, ENOMEM, "'%s'", entry->path);
	if (mlimg_entry_is_opaque(entry))
		mlimg_tree_seal(tree, node);
	return 0;
}

/* One name less; contents that nobody names any more, and no other file has, are forgotten. */
static void drop_name(struct mlimg_inode *inode)
{
	struct mlimg_file *file = inode->type == MLIMG_FILE ? inode->file : NULL;

	inode->nlink--;
	if (inode->nlink || !file)
		return;
	file->is_dropped = true;
	if (file->is_shared)
		return;
	free(file->extents);
	file->extents = NULL;
	file->n_extents = 0;
}

/* The node at parent/name, new or one that may be given another inode. */
static int claim(struct mlimg_tree *tree, struct mlimg_node *parent, const char *name,
	const char *path, struct mlimg_node **ret_node, struct mlimg_err *err)
{
	struct mlimg_node *node = mlimg_tree_child(tree, parent, name, strlen(name));

	if (node && node->inode->type == MLIMG_DIR && node->inode->entries)
		return mlimg_err_refuse(
			err, "'%s': would replace a directory that is not empty", path);
	if (!node && tree->n_nodes >= MLIMG_ENTRIES_MAX)
		return mlimg_err_refuse(err, "'%s': more than %d entries", path, MLIMG_ENTRIES_MAX);
	if (!node)
		node = mlimg_tree_node_new(tree, parent, name);
	if (!node)
		return mlimg_err_set(err, ENOMEM, "'%s'", path);
	*ret_node = node;
	return 0;
}

static void give_inode(struct mlimg_tree *tree, struct mlimg_node *node, struct mlimg_inode *inode)
{
	inode->nlink++;
	if (node->inode)
		drop_name(node->inode);
	node->inode = inode;
	node->level = tree->level;
	node->sealed = 0;
	if (node->hides && inode->type == MLIMG_DIR)
		mlimg_tree_seal(tree, node);
}

void mlimg_tree_choose(
	struct mlimg_tree *tree, const struct mlimg_node *top, mlimg_choose_fn *choose, void *ctx)
{
	tree->choose = choose;
	tree->choose_ctx = ctx;
	tree->choose_top = top;
}

static void choose(const struct mlimg_tree *tree, const struct mlimg_node *node)
{
	char path[MLIMG_PATH_MAX + 1];

	if (tree->choose && node->inode->type == MLIMG_FILE)
		node->inode->file->is_apart = tree->choose(tree->choose_ctx,
			mlimg_node_path(node, tree->choose_top, path, sizeof(path)));
}

static int put_own(struct mlimg_tree *tree, struct mlimg_node *parent, const char *name,
	const struct mlimg_entry *entry, struct mlimg_node **ret_node, struct mlimg_err *err)
{
	struct mlimg_inode *inode = mlimg_tree_alloc(tree, sizeof(*inode));
	struct mlimg_node *node;
	int r;

	if (!inode || !copy_attributes(tree, inode, entry))
		return mlimg_err_set(err, ENOMEM, "'%s'", entry->path);
	r = claim(tree, parent, name, entry->path, &node, err);
	if (r < 0)
		return r;
	give_inode(tree, node, inode);
	choose(tree, node);
	if (mlimg_entry_is_opaque(entry))
		mlimg_tree_seal(tree, node);
	*ret_node = node;
	return 0;
}

/*
 * Something that is no directory, where a source above has @node. A directory of which the source
 * above has nothing but entries in it would take attributes that nobody gave it.
 */
static int end_beneath(struct mlimg_tree *tree, struct mlimg_node *node, bool is_gone,
	const char *path, struct mlimg_err *err)
{
	if (mlimg_node_is_closed(tree, node))
		return 0;
	if (node->inode->is_implied && !is_gone)
		return mlimg_err_refuse(
			err, "'%s' is not a directory, but a source above has entries in it", path);
	mlimg_tree_seal(tree, node);
	return 0;
}

static int put(struct mlimg_tree *tree, struct mlimg_node *parent, const char *name,
	const struct mlimg_entry *entry, struct mlimg_node **ret_node, struct mlimg_err *err)
{
	struct mlimg_node *node = mlimg_tree_child(tree, parent, name, strlen(name));
	bool is_dir = entry->type == MLIMG_DIR;

	if (mlimg_node_is_closed(tree, parent) || (node && mlimg_node_is_closed(tree, node)))
		return 0;
	if (node && is_dir && node->inode->type == MLIMG_DIR) {
		*ret_node = node;
		return merge_dir(tree, node, entry, err);
	}
	if (node && node->level != tree->level)
		return end_beneath(tree, node, mlimg_entry_is_whiteout(entry), entry->path, err);
	return put_own(tree, parent, name, entry, ret_node, err);
}

void mlimg_tree_judge(struct mlimg_tree *tree, mlimg_judge_fn *judge, void *ctx)
{
	tree->judge = judge;
	tree->judge_ctx = ctx;
}

static enum mlimg_verdict judge(
	const struct mlimg_tree *tree, const struct mlimg_entry *entry, bool is_asked)
{
	return tree->judge ? tree->judge(tree->judge_ctx, entry, is_asked) : MLIMG_TAKE;
}

/* The reader passes the contents over, so nobody else computes the digest. */
static int put_empty(struct mlimg_tree *tree, struct mlimg_node *parent, const char *name,
	const struct mlimg_entry *entry, struct mlimg_err *err)
{
	struct mlimg_node *node = NULL;
	int r = put(tree, parent, name, entry, &node, err);

	if (r == 0 && node)
		mlimg_sha256_of("", 0, node->inode->file->digest);
	return r;
}

bool mlimg_tree_leaves_out(const struct mlimg_tree *tree, const char *path)
{
	const struct mlimg_entry entry = {
		.path = (char *)path, .type = MLIMG_FILE, .size_bytes = UINT64_MAX, .nlink = 1};

	return judge(tree, &entry, true) == MLIMG_LEAVE_OUT;
}

int mlimg_tree_put(struct mlimg_tree *tree, struct mlimg_node *parent, const char *name,
	const struct mlimg_entry *entry, struct mlimg_node **ret_node, struct mlimg_err *err)
{
	int r = check(tree, entry, err);

	if (r < 0)
		return r;
	*ret_node = NULL;
	switch (judge(tree, entry, false)) {
	case MLIMG_LEAVE_OUT: return 0;
	case MLIMG_EMPTY: return put_empty(tree, parent, name, entry, err);
	case MLIMG_CAPTURE:
		r = put(tree, parent, name, entry, ret_node, err);
		if (r == 0 && *ret_node)
			(*ret_node)->inode->file->is_captured = true;
		return r;
	default: return put(tree, parent, name, entry, ret_node, err);
	}
}

int mlimg_tree_link(struct mlimg_tree *tree, struct mlimg_node *parent, const char *name,
	struct mlimg_inode *inode, const char *path, struct mlimg_err *err)
{
	struct mlimg_node *node = mlimg_tree_child(tree, parent, name, strlen(name));
	/* What a judged name shares with others, these keep. */
	const struct mlimg_entry entry = {.path = (char *)path,
		.type = inode->type,
		.mode = 0444,
		.size_bytes = UINT64_MAX,
		.mtime_s = inode->mtime_s,
		.mtime_ns = inode->mtime_ns,
		.nlink = 1};
	enum mlimg_verdict verdict;
	int r;

	if (mlimg_node_is_closed(tree, parent))
		return 0;
	verdict = judge(tree, &entry, false);
	if (verdict == MLIMG_LEAVE_OUT || verdict == MLIMG_EMPTY)
		return verdict == MLIMG_EMPTY ? put_empty(tree, parent, name, &entry, err) : 0;
	if (node && node->level != tree->level)
		return end_beneath(tree, node, is_whiteout(inode), path, err);
	if (inode->nlink >= MLIMG_LINKS_MAX)
		return mlimg_err_refuse(
			err, "'%s': a file with more than %d names", path, MLIMG_LINKS_MAX);
	r = claim(tree, parent, name, path, &node, err);
	if (r < 0)
		return r;
	give_inode(tree, node, inode);
	return 0;
}

int mlimg_tree_hide(struct mlimg_tree *tree, struct mlimg_node *parent, const char *name,
	const struct mlimg_entry *marker, struct mlimg_err *err)
{
	struct mlimg_node *node = mlimg_tree_child(tree, parent, name, strlen(name));
	struct mlimg_entry whiteout = {.path = marker->path,
		.type = MLIMG_CHAR,
		.mtime_s = marker->mtime_s,
		.mtime_ns = marker->mtime_ns,
		.nlink = 1};
	int r = mlimg_source_check(&whiteout, MLIMG_SOFTWARE, err);

	if (r < 0 || mlimg_node_is_closed(tree, parent) ||
		(node && mlimg_node_is_closed(tree, node)))
		return r;
	if (!node)
		r = put_own(tree, parent, name, &whiteout, &node, err);
	if (r < 0)
		return r;
	node->hides |= node->level == tree->level;
	if (node->inode->type == MLIMG_DIR)
		mlimg_tree_seal(tree, node);
	return 0;
}

int mlimg_tree_fill(struct mlimg_tree *tree, struct mlimg_inode *inode,
	const struct mlimg_entry *entry, struct mlimg_err *err)
{
	int r = check(tree, entry, err);

	if (r == 0 && !copy_attributes(tree, inode, entry))
		r = mlimg_err_set(err, ENOMEM, "'%s'", entry->path);
	return r;
}

int mlimg_tree_mark_opaque(struct mlimg_tree *tree, struct mlimg_node *node,
	const struct mlimg_node *top, struct mlimg_err *err)
{
	struct mlimg_inode *inode = node->inode;
	struct mlimg_xattr mark = {
		.name = (char *)MLIMG_XATTR_OPAQUE, .value = (uint8_t *)"y", .size = 1};
	char path[MLIMG_PATH_MAX + 1];
	struct mlimg_entry entry = {.type = MLIMG_DIR, .n_xattrs = inode->n_xattrs + 1};

	/* An opaque root means nothing to overlayfs. */
	if (!node->sealed || node == top || tree->kind == MLIMG_SYSTEM)
		return 0;
	entry.path = (char *)mlimg_node_path(node, top, path, sizeof(path));
	entry.xattrs = mlimg_tree_alloc(tree, entry.n_xattrs * sizeof(*entry.xattrs));
	if (!entry.xattrs)
		return mlimg_err_set(err, ENOMEM, "'%s'", entry.path);
	if (inode->n_xattrs)
		memcpy(entry.xattrs, inode->xattrs, inode->n_xattrs * sizeof(*entry.xattrs));
	entry.xattrs[inode->n_xattrs] = mark;
	qsort(entry.xattrs, entry.n_xattrs, sizeof(*entry.xattrs), xattr_cmp);
	inode->xattrs = entry.xattrs;
	inode->n_xattrs = entry.n_xattrs;
	return mlimg_source_check(&entry, tree->kind, err);
}

int mlimg_tree_mark_redirect(struct mlimg_tree *tree, struct mlimg_node *node,
	const struct mlimg_xattr *redirect, struct mlimg_err *err)
{
	struct mlimg_inode *inode = node->inode;
	uint32_t n = inode->n_xattrs;
	struct mlimg_xattr *xattrs = mlimg_tree_alloc(tree, (n + 1) * sizeof(*xattrs));
	uint8_t *value = mlimg_tree_alloc(tree, redirect->size + 1);

	if (!xattrs || !value)
		return mlimg_err_set(err, ENOMEM, "'%s'", node->name);
	if (n)
		memcpy(xattrs, inode->xattrs, n * sizeof(*xattrs));
	memcpy(value, redirect->value, redirect->size);
	xattrs[n] = (struct mlimg_xattr){
		.name = (char *)MLIMG_XATTR_REDIRECT, .value = value, .size = redirect->size};
	qsort(xattrs, n + 1, sizeof(*xattrs), xattr_cmp);
	inode->xattrs = xattrs;
	inode->n_xattrs = n + 1;
	return 0;
}

/* A directory that the source has entries in, but not itself. */
static int imply(struct mlimg_tree *tree, struct mlimg_node *dir, const char *name,
	const char *path, struct mlimg_node **ret_node, struct mlimg_err *err)
{
	struct mlimg_entry implied = {
		.path = (char *)path, .type = MLIMG_DIR, .mode = 0755, .nlink = 1};
	int r = mlimg_tree_put(tree, dir, name, &implied, ret_node, err);

	if (r == 0)
		(*ret_node)->inode->is_implied = true;
	return r;
}

int mlimg_tree_parent(const struct mlimg_source_to *to, const char *source, char *path,
	struct mlimg_node **ret_parent, const char **ret_name, struct mlimg_err *err)
{
	struct mlimg_tree *tree = to->tree;
	struct mlimg_node *dir = to->top;
	char *slash;

	*ret_name = path;
	*ret_parent = NULL;
	while ((slash = strchr(*ret_name, '/')) && !mlimg_node_is_closed(tree, dir)) {
		struct mlimg_node *node =
			mlimg_tree_child(tree, dir, *ret_name, (size_t)(slash - *ret_name));
		int r = 0;

		if (node && mlimg_node_is_closed(tree, node))
			return 0;
		if (node && node->inode->type != MLIMG_DIR && !mlimg_node_is_hiding(node))
			return mlimg_err_refuse(err,
				"'%s': entry '%s' lies below '%.*s', which is not a directory",
				source, path, (int)(slash - path), path);
		*slash = '\0';
		if (!node || node->inode->type != MLIMG_DIR)
			r = imply(tree, dir, *ret_name, path, &node, err);
		*slash = '/';
		if (r < 0)
			return r;
		dir = node;
		*ret_name = slash + 1;
	}
	if (!mlimg_node_is_closed(tree, dir))
		*ret_parent = dir;
	return 0;
}
