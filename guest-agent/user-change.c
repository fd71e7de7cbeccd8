/* SPDX-License-Identifier: MIT */
#include "guest-agent/user-change.h"

#include <errno.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/whiteout.h"

const char *mlimg_user_change_name(enum mlimg_user_change_kind kind)
{
	static const char *const names[] = {[MLIMG_USER_SAME] = "same",
		[MLIMG_USER_ADDED] = "added",
		[MLIMG_USER_CHANGED] = "changed",
		[MLIMG_USER_ATTRIBUTES] = "attributes",
		[MLIMG_USER_DELETED] = "deleted",
		[MLIMG_USER_REPLACED] = "replaced",
		[MLIMG_USER_RENAMED] = "renamed",
		[MLIMG_USER_OPAQUE] = "opaque"};

	return names[kind];
}

static int has_same_contents(const struct mlimg_view *view, const struct mlimg_entry *entry,
	const struct mlimg_view_found *beneath)
{
	mlimg_autoclose int mine = -1, theirs = -1;

	if (entry->size_bytes != beneath->entry.size_bytes)
		return 0;
	mine = mlimg_view_open_file(&view->trees[0], entry->path);
	if (mine < 0)
		return mine;
	theirs = mlimg_view_open_file(beneath->tree, beneath->path);
	return theirs < 0 ? theirs : mlimg_files_are_same(mine, theirs);
}

/* @return 1, 0, -errno */
static int has_same_content(const struct mlimg_view *view, const struct mlimg_entry *a,
	const struct mlimg_view_found *beneath)
{
	const struct mlimg_entry *b = &beneath->entry;

	switch (a->type) {
	case MLIMG_FILE: return has_same_contents(view, a, beneath);
	case MLIMG_LINK: return strcmp(a->link, b->link) == 0;
	case MLIMG_CHAR:
	case MLIMG_BLOCK: return a->dev_major == b->dev_major && a->dev_minor == b->dev_minor;
	default: return 1;
	}
}

/* Copies that unionfs-fuse makes have times in whole seconds. */
static bool has_same_time(
	const struct mlimg_view *view, const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	return a->mtime_s == b->mtime_s &&
		(a->mtime_ns == b->mtime_ns || (view->is_unionfs && a->mtime_ns == 0));
}

static unsigned compare_attributes(
	const struct mlimg_view *view, const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	unsigned changes = 0;

	if (a->mode != b->mode)
		changes |= MLIMG_CHANGE_MODE;
	if (a->uid != b->uid || a->gid != b->gid)
		changes |= MLIMG_CHANGE_OWNER;
	if (!mlimg_entry_has_same_xattrs(a, b))
		changes |= MLIMG_CHANGE_XATTR;
	if (a->type != MLIMG_DIR && !has_same_time(view, a, b))
		changes |= MLIMG_CHANGE_TIME;
	return changes;
}

static int compare(const struct mlimg_view *view, const struct mlimg_entry *entry,
	struct mlimg_user_change *ret, struct mlimg_err *err)
{
	int same = has_same_content(view, entry, &ret->beneath);

	if (same < 0)
		return mlimg_err_set(err, same, "compare '/%s'", entry->path);
	ret->changes = compare_attributes(view, entry, &ret->beneath.entry);
	if (!same)
		ret->changes = (ret->changes & ~(unsigned)MLIMG_CHANGE_TIME) | MLIMG_CHANGE_CONTENT;
	ret->kind = !same      ? MLIMG_USER_CHANGED
		: ret->changes ? MLIMG_USER_ATTRIBUTES
			       : MLIMG_USER_SAME;
	return 0;
}

int mlimg_user_change_of(const struct mlimg_view *view, struct mlimg_view_cursor *cursor,
	const struct mlimg_entry *entry, struct mlimg_user_change *ret, struct mlimg_err *err)
{
	int r = mlimg_view_beneath(cursor, entry->path, &ret->beneath, err);

	ret->kind = MLIMG_USER_SAME;
	ret->changes = 0;
	ret->from[0] = '\0';
	if (r < 0)
		return r;
	if (mlimg_entry_is_whiteout(entry)) {
		ret->kind = MLIMG_USER_DELETED;
		return 0;
	}
	if (ret->beneath.tree && ret->beneath.entry.type == entry->type)
		r = compare(view, entry, ret, err);
	else
		ret->kind = ret->beneath.tree ? MLIMG_USER_REPLACED : MLIMG_USER_ADDED;
	if (r < 0 || entry->type != MLIMG_DIR)
		return r;
	if (mlimg_entry_is_opaque(entry)) {
		if (ret->beneath.tree && ret->kind != MLIMG_USER_REPLACED)
			ret->kind = MLIMG_USER_OPAQUE;
	} else if (mlimg_entry_xattr(entry, MLIMG_XATTR_REDIRECT)) {
		/* Last, since it asks the cursor again: of what is beneath only the tree counts. */
		ret->kind = MLIMG_USER_RENAMED;
		r = mlimg_view_dir_beneath(cursor, entry->path, ret->from, err);
	}
	return r;
}
