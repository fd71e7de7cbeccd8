/* SPDX-License-Identifier: MIT */
#include "guest-agent/user-undo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/path-class.h"
#include "libmlimg/path.h"
#include "libmlimg/whiteout.h"

/* Looks at the directories above. */
static void look_above(
	const struct mlimg_manifest *upper, const char *path, struct mlimg_user_undo *ret)
{
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		char above[MLIMG_PATH_MAX + 1];
		const struct mlimg_entry *e;

		snprintf(above, sizeof(above), "%.*s", (int)(slash - path), path);
		e = mlimg_manifest_find(upper, above);
		if (e && e->type != MLIMG_DIR) {
			ret->has = MLIMG_USER_HAS_ABOVE;
			ret->entry = e;
			return;
		}
		if (e && mlimg_entry_is_opaque(e)) {
			ret->has = MLIMG_USER_HAS_OPAQUE;
			ret->entry = e;
		}
	}
}

/*
 * The upper without what is to go: the directories above with what they say of the layers. That of
 * @undo, where it is above, is left out or is opaque no more.
 */
static int keep_above(const struct mlimg_manifest *upper, const char *path,
	const struct mlimg_user_undo *undo, struct mlimg_manifest *ret)
{
	bool is_above = undo->has == MLIMG_USER_HAS_ABOVE || undo->has == MLIMG_USER_HAS_OPAQUE;

	for (const char *end = path; end; end = strchr(end + 1, '/')) {
		static const char *const names[] = {MLIMG_XATTR_OPAQUE, MLIMG_XATTR_REDIRECT};
		char above[MLIMG_PATH_MAX + 1];
		struct mlimg_xattr marks[2];
		const struct mlimg_entry *e;
		struct mlimg_entry copy;

		snprintf(above, sizeof(above), "%.*s", (int)(end - path), path);
		e = mlimg_manifest_find(upper, above);
		if (!e || e->type != MLIMG_DIR) {
			if (!e)
				continue;
			break;
		}
		copy = *e;
		copy.xattrs = marks;
		copy.n_xattrs = 0;
		for (size_t i = is_above && e == undo->entry; i < 2; i++) {
			const struct mlimg_xattr *x = mlimg_entry_xattr(e, names[i]);

			if (x)
				marks[copy.n_xattrs++] = *x;
		}
		if (!mlimg_manifest_add(ret, &copy))
			return -ENOMEM;
	}
	return 0;
}

/* Of the upper at the path and below. */
static int count(struct mlimg_view_cursor *cursor, const struct mlimg_manifest *upper,
	const char *path, const struct mlimg_path_classes *classes, struct mlimg_user_undo *ret,
	struct mlimg_err *err)
{
	mlimg_autofree char *is_counted = calloc(1, upper->n_entries + 1);
	struct mlimg_view_found found;

	if (!is_counted)
		return mlimg_err_set(err, ENOMEM, "look for '/%s'", path);
	for (size_t i = mlimg_manifest_first_from(upper, path); i < upper->n_entries; i++) {
		const struct mlimg_entry *e = &upper->entries[i];
		int r;

		if (!mlimg_path_is_within(e->path, path))
			break;
		r = mlimg_view_beneath(cursor, e->path, &found, err);
		if (r < 0)
			return r;
		ret->n_entries++;
		ret->n_own += !found.tree && !mlimg_entry_is_whiteout(e);
		if (!e->hardlink || e->hardlink > upper->n_entries || !is_counted[e->hardlink]++)
			ret->size_bytes += e->size_bytes;
		if (!ret->database && e->type != MLIMG_DIR &&
			mlimg_path_class_has_records(mlimg_path_class_of(classes, e->path)))
			ret->database = e;
	}
	return 0;
}

/* The same view, over an upper that has only what stays. */
struct looking {
	struct mlimg_view view;
	struct mlimg_manifest *upper;
	struct mlimg_view_cursor *cursor;
	struct mlimg_path_classes *classes;
};

static void looking_done(struct looking *l)
{
	mlimg_view_cursor_free(l->cursor);
	mlimg_manifest_free(l->upper);
	mlimg_path_classes_free(l->classes);
	free(l);
}

static struct looking *looking_new(
	const struct mlimg_view *view, const char *path, const struct mlimg_user_undo *undo)
{
	struct looking *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->view = *view;
	l->upper = mlimg_manifest_new();
	l->classes = mlimg_path_classes_new();
	if (l->upper && l->classes &&
		keep_above(view->trees[0].manifest, path, undo, l->upper) == 0) {
		l->view.trees[0].manifest = l->upper;
		l->cursor = mlimg_view_cursor_new(&l->view);
	}
	if (l->cursor)
		return l;
	looking_done(l);
	return NULL;
}

static int find_former_name(const struct mlimg_view *view, const char *path,
	struct mlimg_user_undo *ret, struct mlimg_err *err)
{
	struct mlimg_view_cursor *cursor;
	int r;

	if (ret->has != MLIMG_USER_HAS_ENTRY ||
		!mlimg_entry_xattr(ret->entry, MLIMG_XATTR_REDIRECT))
		return 0;
	cursor = mlimg_view_cursor_new(view);
	if (!cursor)
		return mlimg_err_set(err, ENOMEM, "look for '/%s'", path);
	r = mlimg_view_dir_beneath(cursor, path, ret->from, err);
	mlimg_view_cursor_free(cursor);
	return r;
}

int mlimg_user_undo_of(struct mlimg_view *view, const char *path, struct mlimg_user_undo *ret,
	struct mlimg_err *err)
{
	const struct mlimg_manifest *upper = view->trees[0].manifest;
	const struct mlimg_entry *e = mlimg_manifest_find(upper, path);
	struct looking *l;
	int r;

	*ret = (struct mlimg_user_undo){.has = MLIMG_USER_HAS_NOTHING};
	look_above(upper, path, ret);
	if (e && ret->has != MLIMG_USER_HAS_ABOVE) {
		ret->has =
			mlimg_entry_is_whiteout(e) ? MLIMG_USER_HAS_WHITEOUT : MLIMG_USER_HAS_ENTRY;
		ret->entry = e;
	}
	r = find_former_name(view, path, ret, err);
	if (r < 0)
		return r;
	l = looking_new(view, path, ret);
	if (!l)
		return mlimg_err_set(err, ENOMEM, "look for '/%s'", path);
	r = mlimg_view_beneath(l->cursor, path, &ret->beneath, err);
	if (r == 0 && ret->beneath.tree) {
		ret->beneath.tree = &view->trees[ret->beneath.tree - l->view.trees];
		ret->shows = mlimg_view_owner(view, &ret->beneath);
		ret->shows_type = ret->beneath.entry.type;
	}
	if (r == 0 && (ret->has == MLIMG_USER_HAS_ENTRY || ret->has == MLIMG_USER_HAS_WHITEOUT))
		r = count(l->cursor, upper, path, l->classes, ret, err);
	ret->beneath.entry.link = NULL;
	ret->beneath.entry.xattrs = NULL;
	looking_done(l);
	return r;
}
