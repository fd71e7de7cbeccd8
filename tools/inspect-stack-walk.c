/* SPDX-License-Identifier: MIT */
/* The merged tree of an index as entries of a manifest. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "tools/data.h"
#include "tools/idmap.h"
#include "tools/inspect-stack.h"

/* A file with several names. */
struct group {
	uint8_t digest[MLIMG_SHA256_SIZE];
	bool has_digest;
};

struct stack_walk {
	struct mlimg_inspect_stack *stack;
	enum mlimg_inspect_digests digests;
	mlimg_inspect_stack_fn *fn;
	void *ctx;
	struct mlimg_inspect_merged merged; /* where digests come from manifests */
	struct mlimg_idmap groups;          /* inode -> number of its group */
	struct group *list;                 /* group 1 is the first */
	size_t n_groups, room;
	/*
	 * Bytes that may be digested, in the index and in layers: a file of holes costs its maker
	 * nothing, and blocks may be named many times.
	 */
	uint64_t own_left, layers_left;
	uint64_t holes_max, holes_left; /* in layers */
};

static int no_memory(struct mlimg_err *err)
{
	return mlimg_err_set(err, ENOMEM, "walk the index");
}

static int spend_holes(struct stack_walk *w, const struct mlimg_itree_node *node,
	const struct mlimg_entry *entry, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_itree_run *runs = NULL;
	uint64_t holes = entry->size_bytes;
	size_t n = 0;
	int ret = mlimg_itree_data(&w->stack->tree, node, &runs, &n, err);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < n; i++)
		holes -= runs[i].size;
	if (holes > w->holes_left)
		return mlimg_err_refuse(err,
			"%.200s: ./%s: with its holes, there are more than %" PRIu64
			" bytes of them in the tree; --limit allows more",
			mlimg_erofs_name(w->stack->image), entry->path, w->holes_max);
	w->holes_left -= holes;
	return 0;
}

static int digest_contents(struct stack_walk *w, const struct mlimg_itree_node *node, bool is_own,
	struct mlimg_entry *entry, struct mlimg_err *err)
{
	uint64_t *left = is_own ? &w->own_left : &w->layers_left;
	struct mlimg_sha256 sha;
	int ret;

	if (entry->size_bytes > *left)
		return mlimg_err_refuse(err, "%.200s: there is more in the tree than there may be",
			mlimg_erofs_name(w->stack->image));
	ret = is_own ? 0 : spend_holes(w, node, entry, err);
	if (ret < 0)
		return ret;
	*left -= entry->size_bytes;
	mlimg_sha256_init(&sha);
	ret = mlimg_itree_read(&w->stack->tree, node, mlimg_data_to_sha256, &sha, err);
	mlimg_sha256_end(&sha, entry->digest);
	entry->has_digest = ret == 0;
	return ret;
}

static void add_number(struct mlimg_sha256 *sha, uint64_t number)
{
	uint64_t le = htole64(number);

	mlimg_sha256_add(sha, &le, sizeof(le));
}

static int digest_places(struct stack_walk *w, const struct mlimg_itree_node *node,
	struct mlimg_entry *entry, struct mlimg_err *err)
{
	const struct mlimg_index *index = mlimg_erofs_index(w->stack->image);
	mlimg_autofree struct mlimg_erofs_run *runs = NULL;
	struct mlimg_sha256 sha;
	size_t n = 0;
	int ret = mlimg_erofs_runs(w->stack->image, node->inode, &runs, &n, err);

	mlimg_sha256_init(&sha);
	for (size_t i = 0; i < n; i++) {
		const struct mlimg_erofs_device *layer = &index->layers[runs[i].layer];

		mlimg_sha256_add(&sha, layer->tag, sizeof(layer->tag));
		mlimg_sha256_add(&sha, layer->places, sizeof(layer->places));
		add_number(&sha, runs[i].logical);
		add_number(&sha, runs[i].physical);
		add_number(&sha, runs[i].n_blocks);
	}
	mlimg_sha256_end(&sha, entry->digest);
	entry->has_digest = ret == 0;
	return ret;
}

static int set_digest(struct stack_walk *w, const struct mlimg_itree_node *node, bool is_own,
	struct mlimg_entry *entry, struct mlimg_err *err)
{
	const struct mlimg_entry *stored;

	if (is_own || w->digests == MLIMG_DIGESTS_COMPUTED)
		return digest_contents(w, node, is_own, entry, err);
	if (w->digests == MLIMG_DIGESTS_PLACES)
		return digest_places(w, node, entry, err);
	stored = w->merged.merged ? mlimg_manifest_find(w->merged.merged, entry->path) : NULL;
	if (stored && stored->type == MLIMG_FILE && stored->size_bytes == entry->size_bytes) {
		entry->has_digest = stored->has_digest;
		memcpy(entry->digest, stored->digest, sizeof(entry->digest));
	}
	return 0;
}

/* Groups are numbered by first appearance; the link count is the layer's. */
static int join_group(struct stack_walk *w, const struct mlimg_itree_node *node,
	struct mlimg_entry *entry, bool *ret_is_new, struct mlimg_err *err)
{
	*ret_is_new = true;
	if (node->type == MLIMG_DIR || node->nlink < 2) {
		entry->nlink = 1;
		return 0;
	}
	entry->nlink = node->nlink;
	if (mlimg_idmap_find(&w->groups, node->ino, &entry->hardlink)) {
		*ret_is_new = false;
		return 0;
	}
	if (mlimg_buffer_reserve(&w->list, &w->room, (w->n_groups + 1) * sizeof(*w->list)) < 0 ||
		mlimg_idmap_set(&w->groups, node->ino, (uint32_t)w->n_groups + 1) < 0)
		return no_memory(err);
	w->list[w->n_groups++] = (struct group){.has_digest = false};
	entry->hardlink = (uint32_t)w->n_groups;
	return 0;
}

static int visit(const struct mlimg_entry *plain, const struct mlimg_itree_node *node, void *ctx,
	struct mlimg_err *err)
{
	const struct mlimg_erofs_inode *inode = node->inode;
	struct mlimg_entry entry = *plain;
	struct stack_walk *w = ctx;
	bool is_file = node->type == MLIMG_FILE, is_new;
	bool is_own = is_file && !inode->n_chunks && node->size_bytes > 0;
	struct group *group;
	int ret = join_group(w, node, &entry, &is_new, err);

	if (ret < 0)
		return ret;
	group = entry.hardlink ? &w->list[entry.hardlink - 1] : NULL;
	if (is_file && is_new) {
		ret = set_digest(w, node, is_own, &entry, err);
	} else if (is_file) {
		entry.has_digest = group->has_digest;
		memcpy(entry.digest, group->digest, sizeof(entry.digest));
	}
	if (group && is_new) {
		group->has_digest = entry.has_digest;
		memcpy(group->digest, entry.digest, sizeof(entry.digest));
	}
	return ret < 0 ? ret : w->fn(&entry, is_own, w->ctx, err);
}

int mlimg_inspect_stack_walk(struct mlimg_inspect_stack *stack, enum mlimg_inspect_digests digests,
	uint64_t holes_max, mlimg_inspect_stack_fn *fn, void *ctx, struct mlimg_err *err)
{
	struct stack_walk w = {.stack = stack,
		.digests = digests,
		.holes_max = holes_max,
		.holes_left = holes_max,
		.fn = fn,
		.ctx = ctx};
	struct mlimg_itree_room room;
	struct mlimg_itree_node root;
	uint64_t unused;
	int ret = 0;

	if (digests == MLIMG_DIGESTS_STORED && mlimg_inspect_stack_is_complete(stack))
		ret = mlimg_inspect_stack_merge(stack, &w.merged, err);
	w.own_left = mlimg_erofs_size(stack->image, &unused);
	w.layers_left = stack->given_bytes;
	if (ret == 0)
		ret = mlimg_itree_lookup(&stack->tree, "", false, &room, &root, err);
	if (ret == 0)
		ret = mlimg_itree_walk(&stack->tree, &root, visit, &w, err);
	mlimg_inspect_merged_done(&w.merged);
	mlimg_idmap_done(&w.groups);
	free(w.list);
	return ret;
}
