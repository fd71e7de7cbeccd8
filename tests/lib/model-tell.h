/* SPDX-License-Identifier: MIT */
/**
 * @file model-tell.h
 * What differs between two trees of the model of reconcile, and what is in none of them.
 */
#ifndef MLIMG_TEST_MODEL_TELL_H
#define MLIMG_TEST_MODEL_TELL_H

#include "libmlimg/text.h"
#include "tests/lib/model-oracle.h"

TEST_UNUSED static void print_entry(const char *what, const struct mlimg_entry *e)
{
	struct mlimg_text text = {0};

	if (e)
		mlimg_manifest_put_entry(e, mlimg_text_put, &text);
	fprintf(stderr, "  %-8s%s", what, e ? text.data : "-\n");
	free(text.data);
}

TEST_UNUSED static void print_tree(const char *what, const struct tree *t)
{
	fprintf(stderr, "%s:\n", what);
	for (size_t i = 0; i < t->n; i++)
		print_entry("", &t->e[i]);
}

/** @return whether both trees are equal in all but times; what is not is told */
TEST_UNUSED static bool is_same_tree(const char *what, struct tree *wanted, struct tree *found)
{
	bool is_same = true;

	for (int turn = 0; turn < 2; turn++) {
		struct tree *t = turn ? found : wanted, *other = turn ? wanted : found;

		for (size_t i = 0; i < t->n; i++) {
			struct mlimg_entry *e = tree_get(other, t->e[i].path);

			if (is_equal(e, &t->e[i]) || (turn && e))
				continue;
			fprintf(stderr, "%s: '%s'\n", what, t->e[i].path);
			print_entry("wanted", turn ? e : &t->e[i]);
			print_entry("found", turn ? &t->e[i] : e);
			is_same = false;
		}
	}
	return is_same;
}

TEST_UNUSED static bool has_content(const struct tree *t, const char *path, int content)
{
	const struct mlimg_entry *e = tree_get((struct tree *)(uintptr_t)t, path);

	return e && e->type == MLIMG_FILE && content_of(e) == content;
}

/** @return whether some file of the tree has these contents */
TEST_UNUSED static bool has_anywhere(const struct tree *t, int content)
{
	for (size_t i = 0; i < t->n; i++)
		if (has_content(t, t->e[i].path, content))
			return true;
	return false;
}

/* @return whether a text of the user's says nothing that the new stack's at the same path does not */
TEST_UNUSED static bool is_merged_in(
	struct tree *base, struct tree *next, const char *path, int content)
{
	const struct mlimg_entry *b = tree_get(base, path), *n = tree_get(next, path);

	return b && n && b->type == MLIMG_FILE && n->type == MLIMG_FILE &&
		merge_contents(content_of(b), content_of(n), content) == content_of(n);
}

/**
 * What the user had written, and is neither to be seen nor set aside. Contents that the stacks have
 * may go; to undo, those may that became part of a merged text. A NAME.mlimg-new is a file as any other.
 *
 * @param undo  what is in undo; NULL: it is not known
 * @return      a path of the upper, or NULL
 */
TEST_UNUSED static const char *find_lost(struct tree *base, struct tree *next, struct tree *upper,
	struct tree *seen, struct tree *aside, struct tree *undo)
{
	for (size_t i = 0; i < upper->n; i++) {
		const struct mlimg_entry *e = &upper->e[i];
		int content = e->type == MLIMG_FILE ? content_of(e) : 0;

		if (!content || has_anywhere(base, content) || has_anywhere(next, content) ||
			has_content(seen, e->path, content) || has_content(aside, e->path, content))
			continue;
		if ((!undo || has_content(undo, e->path, content)) &&
			oracle_class(e->path) == MLIMG_CLASS_CONFIG &&
			!strstr(e->path, ".mlimg-new") &&
			(tree_get(seen, e->path) || is_merged_in(base, next, e->path, content)))
			continue;
		return e->path;
	}
	return NULL;
}

#endif
