/* SPDX-License-Identifier: MIT */
/*
 * Hard links of a tar. The target is a name of the same level. If a level above hides that name, or
 * the tree's judge left it out, its contents were passed over, and the link, which may show all the
 * same, gets them in a second reading.
 */
#include "tools/source-tar.h"

#include <archive_entry.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

/* A target that was not there when a link to it came. */
struct wanted {
	struct mlimg_inode *inode; /* the links' */
	char *target, *link;       /* paths; of the first link */
	bool is_found;
};

static int wanted_cmp(const void *a, const void *b)
{
	return strcmp(((const struct wanted *)a)->target, ((const struct wanted *)b)->target);
}

static void wanted_free(void *p)
{
	struct wanted *w = p;

	if (!w)
		return;
	free(w->target);
	free(w->link);
	free(w);
}

static int not_there(const struct mlimg_tar_reader *rd, const char *link, const char *target,
	struct mlimg_err *err)
{
	return mlimg_err_refuse(err, "'%s': hard link '%s' to '%s', which is not there",
		rd->tar->name, link, target);
}

/* An empty file for now. */
static int put_placeholder(struct mlimg_tar_reader *rd, struct mlimg_node *parent, const char *name,
	struct mlimg_node **ret_node, struct mlimg_err *err)
{
	struct mlimg_entry entry = {.path = rd->path,
		.type = MLIMG_FILE,
		.mode = 0444,
		.size_bytes = UINT64_MAX,
		.nlink = 1};

	return mlimg_tree_put(rd->to->tree, parent, name, &entry, ret_node, err);
}

static int want(struct mlimg_tar_reader *rd, struct mlimg_node *parent, const char *name,
	const char *target, struct mlimg_err *err)
{
	struct wanted key = {.target = (char *)target}, *w, **found;
	struct mlimg_node *node;
	int r;

	found = tfind(&key, &rd->wanted, wanted_cmp);
	if (found)
		return mlimg_tree_link(rd->to->tree, parent, name, (*found)->inode, rd->path, err);
	r = put_placeholder(rd, parent, name, &node, err);
	if (r < 0 || !node)
		return r;
	w = calloc(1, sizeof(*w));
	if (w) {
		w->inode = node->inode;
		w->target = strdup(target);
		w->link = strdup(rd->path);
	}
	if (!w || !w->target || !w->link || !tsearch(w, &rd->wanted, wanted_cmp)) {
		wanted_free(w);
		return mlimg_err_set(err, ENOMEM, "read '%s'", rd->tar->name);
	}
	rd->n_missing++;
	return 0;
}

int mlimg_tar_link(struct mlimg_tar_reader *rd, const char *target, struct mlimg_err *err)
{
	struct mlimg_tree *tree = rd->to->tree;
	char target_path[MLIMG_PATH_MAX + 1];
	struct mlimg_node *node, *parent;
	const char *name;
	int r = mlimg_tar_normalise(rd->tar->name, target, "hard link to", target_path, err);

	if (r < 0)
		return r;
	node = mlimg_tar_lookup(rd, target_path);
	if (!node && !mlimg_tree_has_above(tree) && !mlimg_tree_leaves_out(tree, target_path))
		return not_there(rd, rd->path, target, err);
	if (node && node->inode->type == MLIMG_DIR && !mlimg_tree_has_above(tree))
		return mlimg_err_refuse(err, "'%s': hard link '%s' to '%s', which is a directory",
			rd->tar->name, rd->path, target);
	r = mlimg_tree_parent(rd->to, rd->tar->name, rd->path, &parent, &name, err);
	if (r < 0 || !parent)
		return r;
	/* A directory from above hides a file of that name. */
	if (!node || node->inode->type == MLIMG_DIR)
		return want(rd, parent, name, target_path, err);
	return mlimg_tree_link(tree, parent, name, node->inode, rd->path, err);
}

int mlimg_tar_wanted(struct mlimg_tar_reader *rd, struct archive_entry *from, struct mlimg_err *err)
{
	struct wanted key = {.target = rd->path}, *w, **found;
	int r;

	r = mlimg_tar_normalise(
		rd->tar->name, archive_entry_pathname(from), "entry", rd->path, err);
	if (r < 0)
		return r;
	found = tfind(&key, &rd->wanted, wanted_cmp);
	if (!found || (*found)->is_found)
		return 0;
	w = *found;
	if (archive_entry_hardlink(from) || archive_entry_filetype(from) == AE_IFDIR)
		return mlimg_err_refuse(err,
			"'%s': hard link '%s' to '%s', which is itself a hard link or a directory",
			rd->tar->name, w->link, w->target);
	w->is_found = true;
	rd->n_missing--;
	if (!w->inode->nlink)
		return 0; /* a later entry has taken the link's place */
	r = mlimg_tar_fill(rd, from, err);
	if (r == 0)
		r = mlimg_tree_fill(rd->to->tree, w->inode, &rd->entry.entry, err);
	if (r == 0 && w->inode->type == MLIMG_FILE)
		r = mlimg_tar_contents(rd, from, w->inode->file, err);
	return r;
}

/* The first in order that never came. */
static void find_missing(const void *node, VISIT visit, void *closure)
{
	const struct wanted *w = *(struct wanted *const *)node, **ret = closure;

	if ((visit == postorder || visit == leaf) && !w->is_found && !*ret)
		*ret = w;
}

int mlimg_tar_links_check(struct mlimg_tar_reader *rd, struct mlimg_err *err)
{
	const struct wanted *missing = NULL;

	twalk_r(rd->wanted, find_missing, &missing);
	return missing ? not_there(rd, missing->link, missing->target, err) : 0;
}

void mlimg_tar_links_done(struct mlimg_tar_reader *rd)
{
	tdestroy(rd->wanted, wanted_free);
}
