/* SPDX-License-Identifier: MIT */
/*
 * Whose something is. Where layers are mounted themselves it is the tree's that has it; of an index
 * only their manifests tell, which lie beside its tree.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/composed.h"
#include "guest-agent/view.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/whiteout.h"

static struct mlimg_view_tree *add(struct mlimg_view_layers *l, enum mlimg_view_kind kind,
	const struct mlimg_manifest *manifest, const char *label)
{
	struct mlimg_view_tree *tree = &l->trees[l->n++];

	*tree = (struct mlimg_view_tree){.kind = kind, .fd = -1, .manifest = manifest};
	snprintf(tree->label, sizeof(tree->label), "%s", label);
	return tree;
}

static int add_composed(
	struct mlimg_view_layers *l, const struct mlimg_mounted *layer, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_composed_stack_done) struct mlimg_composed_stack composed = {0};
	int r = mlimg_composed_of_index(layer, &composed, err);

	if (r < 0 || !composed.composed.manifest)
		return r;
	l->manifests[MLIMG_BOOT_LAYERS_MAX] = mlimg_steal(&composed.composed.manifest);
	add(l, MLIMG_VIEW_COMPOSED, l->manifests[MLIMG_BOOT_LAYERS_MAX], "all layers");
	return 0;
}

static int read_layers(const struct mlimg_view *view, const struct mlimg_mounted *mounted,
	struct mlimg_view_layers *l, struct mlimg_err *err)
{
	const struct mlimg_boot_stack *stack = &view->stack;
	int r = 0;

	/* In a boot that loses changes, what the user layer had before. */
	if (view->trees[1].kind == MLIMG_VIEW_KEPT)
		l->trees[l->n++] = view->trees[1];
	r = add_composed(l, &mounted[0], err);
	for (size_t i = stack->n_layers; i-- > 0 && r == 0;) {
		char label[MLIMG_VIEW_LABEL_SIZE];

		snprintf(label, sizeof(label), "%s %s %s", mlimg_kind_name(stack->layers[i].kind),
			stack->layers[i].name, stack->layers[i].version);
		r = mlimg_mounted_manifest(&mounted[i], &l->manifests[i], err);
		if (r == 0)
			add(l, MLIMG_VIEW_LAYER, l->manifests[i], label)->layer = &stack->layers[i];
	}
	return r;
}

static int read_index(struct mlimg_view *view, struct mlimg_err *err)
{
	size_t n = view->stack.n_layers;
	mlimg_autofree struct mlimg_mounted *mounted = calloc(n, sizeof(*mounted));
	mlimg_autofree struct mlimg_expected *expected = calloc(n, sizeof(*expected));
	int r;

	view->layers = calloc(1, sizeof(*view->layers));
	if (!mounted || !expected || !view->layers)
		return mlimg_err_set(err, ENOMEM, "read the layers of the index");
	for (size_t i = 0; i < n; i++) {
		expected[i].kind = view->stack.layers[i].kind;
		expected[i].id = view->stack.layers[i].build_id;
	}
	r = mlimg_mounted_open_index(view->root_fd, expected, n, mounted, err);
	if (r < 0)
		return r;
	r = read_layers(view, mounted, view->layers, err);
	for (size_t i = 0; i < n; i++)
		mlimg_mounted_close(&mounted[i]);
	return r;
}

int mlimg_view_layers(
	struct mlimg_view *view, const struct mlimg_view_tree **ret_trees, struct mlimg_err *err)
{
	int r = 0;

	/* Manifests are root's alone. */
	if (view->trees[view->n_trees - 1].kind != MLIMG_VIEW_INDEX || view->sent) {
		*ret_trees = view->trees + 1;
		return (int)view->n_trees - 1;
	}
	if (!view->layers)
		r = read_index(view, err);
	*ret_trees = view->layers ? view->layers->trees : NULL;
	return r < 0 ? r : (int)view->layers->n;
}

const struct mlimg_view_tree *mlimg_view_owner(
	struct mlimg_view *view, const struct mlimg_view_found *found)
{
	const struct mlimg_view_tree *trees;
	int n;

	if (found->tree->kind != MLIMG_VIEW_INDEX || view->sent)
		return found->tree;
	n = mlimg_view_layers(view, &trees, NULL);
	/* It shows, so no layer above the topmost that has it hides it. */
	for (int i = 0; i < n; i++) {
		const struct mlimg_entry *e = trees[i].kind == MLIMG_VIEW_KEPT
			? NULL
			: mlimg_manifest_find(trees[i].manifest, found->path);

		if (e && !mlimg_entry_is_whiteout(e))
			return &trees[i];
	}
	return found->tree;
}
