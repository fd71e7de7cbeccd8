/* SPDX-License-Identifier: MIT */
/**
 * @file model-unionfs.h
 * An upper of the model of reconcile in unionfs-fuse's form, and plans of both forms.
 */
#ifndef MLIMG_TEST_MODEL_UNIONFS_H
#define MLIMG_TEST_MODEL_UNIONFS_H

#include "libmlimg/plan.h"
#include "libmlimg/unionfs.h"
#include "tests/lib/model-trees.h"

TEST_UNUSED static void add_marker(struct tree *raw, const char *path)
{
	struct mlimg_entry dir = {.type = MLIMG_DIR, .mode = 0755, .nlink = 1},
			   file = {.type = MLIMG_FILE, .mode = 0644, .nlink = 1};
	char *marker = model_path(MLIMG_UNIONFS_DIR, path), *name;

	for (char *slash = strchr(marker, '/'); slash; slash = strchr(slash + 1, '/'))
		tree_put(raw, mlimg_arena_strndup(model_memory, marker, (size_t)(slash - marker)),
			&dir);
	name = mlimg_arena_alloc(model_memory, strlen(marker) + sizeof(MLIMG_UNIONFS_TAG));
	strcpy(stpcpy(name, marker), MLIMG_UNIONFS_TAG);
	tree_put(raw, name, &file);
}

/* unionfs-fuse knows nothing of overlayfs' xattrs. */
TEST_UNUSED static void strip_marks(struct mlimg_entry *e)
{
	static const char prefix[] = "trusted.overlay.";

	for (uint32_t i = e->n_xattrs; i-- > 0;)
		if (strncmp(e->xattrs[i].name, prefix, sizeof(prefix) - 1) == 0)
			set_xattr(e, e->xattrs[i].name, NULL);
}

/**
 * The same changes as unionfs-fuse writes them: it makes no directory opaque that hides nothing.
 */
TEST_UNUSED static void make_raw(struct tree *base, const struct tree *upper, struct tree *raw)
{
	raw->n = 0;
	for (size_t i = 0; i < upper->n; i++) {
		struct mlimg_entry e = upper->e[i];
		bool is_opaque = xattr_text(&e, OPAQUE);

		if (is_a_whiteout(&e) || (is_opaque && tree_get(base, e.path)))
			add_marker(raw, e.path);
		strip_marks(&e);
		if (!is_a_whiteout(&e))
			tree_put(raw, e.path, &e);
	}
}

/*
 * The next operation but those by which a directory that is opaque is joined, of which there are
 * more in overlayfs' form, or another one becomes opaque, of which there are more in the other one.
 */
TEST_UNUSED static const struct mlimg_plan_op *next_op(const struct mlimg_plan *plan, size_t *at)
{
	while (*at < plan->n_ops &&
		(plan->ops[*at].verb == MLIMG_PLAN_JOIN || plan->ops[*at].verb == MLIMG_PLAN_CLOSE))
		++*at;
	return *at < plan->n_ops ? &plan->ops[(*at)++] : NULL;
}

/* Of a file that only gets attributes the planner may not have read the contents. */
TEST_UNUSED static bool is_same_entry(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	struct mlimg_entry x, y;

	if (!a || !b || a->has_digest || b->has_digest)
		return is_equal(a, b);
	x = *a;
	y = *b;
	x.size_bytes = y.size_bytes = 0;
	return a->size_bytes == b->size_bytes && is_equal(&x, &y);
}

TEST_UNUSED static bool is_same_op(const struct mlimg_plan_op *a, const struct mlimg_plan_op *b)
{
	return a && b && a->verb == b->verb && strcmp(a->path, b->path) == 0 &&
		is_same_entry(a->entry, b->entry);
}

/** @return where the plan of overlayfs' upper and that of unionfs-fuse's differ first, or NULL */
TEST_UNUSED static const char *find_other_op(
	const struct mlimg_plan *overlay, const struct mlimg_plan *raw)
{
	const struct mlimg_plan_op *x, *y;
	size_t at = 0, bt = 0;

	do {
		x = next_op(overlay, &at);
		y = next_op(raw, &bt);
		if ((x || y) && !is_same_op(x, y))
			return x ? x->path : y->path;
	} while (x);
	return NULL;
}

#endif
