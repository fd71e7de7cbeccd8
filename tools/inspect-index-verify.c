/* SPDX-License-Identifier: MIT */
/* mlimg-inspect verify, of an index. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/cli.h"
#include "tools/idmap.h"
#include "tools/inspect-commands.h"
#include "tools/inspect-differences.h"
#include "tools/inspect-print.h"
#include "tools/progress.h"

struct verify {
	struct mlimg_inspect_stack *stack;
	struct mlimg_itree all;
	struct mlimg_idmap seen;
	struct mlimg_manifest_diff *diff;
	struct mlimg_progress progress;
	struct mlimg_differences differences;
	uint64_t n_names, n_inodes, n_entries, n_composed, done_bytes;
	uint64_t holes_max;
	uint32_t last_group; /* of hard links */
	bool is_compared, is_own;
	bool is_composed; /* the index says what is composed */
};

/* ---- the image itself ---- */

static int count_inode(const struct mlimg_entry *entry, const struct mlimg_itree_node *node,
	void *ctx, struct mlimg_err *err)
{
	struct verify *v = ctx;
	uint64_t unused;
	uint32_t seen;

	v->n_names += entry->path[0] != '\0';
	if (mlimg_idmap_find(&v->seen, node->ino, &seen))
		return 0;
	if (mlimg_idmap_set(&v->seen, node->ino, 1) < 0)
		return mlimg_err_set(err, ENOMEM, "verify");
	v->n_inodes++;
	/* Where its contents lie is looked at too. */
	return mlimg_itree_used(&v->all, node, &unused, err);
}

static int check_image(struct verify *v, struct mlimg_err *err)
{
	struct mlimg_itree_room room;
	struct mlimg_itree_node root;
	uint64_t n_inodes;
	int ret;

	v->all = mlimg_erofs_tree(v->stack->image, "/");
	ret = mlimg_itree_lookup(&v->all, "", false, &room, &root, err);
	if (ret == 0)
		ret = mlimg_itree_walk(&v->all, &root, count_inode, v, err);
	mlimg_erofs_size(v->stack->image, &n_inodes);
	if (ret == 0 && v->n_inodes != n_inodes)
		ret = mlimg_err_refuse(err,
			"%.200s: its superblock says %" PRIu64 " inodes, there are %" PRIu64,
			v->all.name, n_inodes, v->n_inodes);
	return ret;
}

/* ---- the tree and the layers ---- */

static int take_difference(unsigned changes, const struct mlimg_entry *old_entry,
	const struct mlimg_entry *new_entry, void *ctx, struct mlimg_err *err)
{
	struct verify *v = ctx;

	/*
	 * In the index itself are files of no layer's; unless the index says which, any of them may
	 * be.
	 */
	if (new_entry && v->is_own && !v->is_composed) {
		v->n_composed++;
		return 0;
	}
	return mlimg_differences_add(
		&v->differences, changes, new_entry ? new_entry->path : old_entry->path, err);
}

static int take_entry(
	const struct mlimg_entry *entry, bool is_own, void *ctx, struct mlimg_err *err)
{
	struct verify *v = ctx;

	v->n_entries++;
	if (!entry->hardlink || entry->hardlink > v->last_group)
		v->done_bytes += entry->size_bytes;
	if (entry->hardlink > v->last_group)
		v->last_group = entry->hardlink;
	mlimg_progress_update(&v->progress, v->done_bytes);
	v->is_own = is_own;
	v->n_composed += is_own && v->is_composed;
	return mlimg_manifest_diff_feed(v->diff, entry, err);
}

static int compare_tree(struct verify *v, struct mlimg_err *err)
{
	struct mlimg_inspect_merged merged = {0};
	int ret = mlimg_inspect_stack_merge(v->stack, &merged, err);

	if (ret < 0)
		return ret;
	v->is_composed = merged.composed;
	ret = mlimg_inspect_stack_recompose(v->stack, &merged, err);
	v->diff = mlimg_manifest_diff_new(merged.merged, take_difference, v);
	if (ret == 0 && !v->diff)
		ret = mlimg_err_set(err, ENOMEM, "verify");
	mlimg_progress_init(&v->progress, "verifying contents", v->stack->given_bytes);
	if (ret == 0)
		ret = mlimg_inspect_stack_walk(
			v->stack, MLIMG_DIGESTS_COMPUTED, v->holes_max, take_entry, v, err);
	mlimg_progress_end(&v->progress);
	v->is_own = false;
	if (ret == 0)
		ret = mlimg_manifest_diff_end(v->diff, err);
	mlimg_manifest_diff_free(v->diff);
	mlimg_inspect_merged_done(&merged);
	return ret;
}

/* ---- the report ---- */

static void put_report(const struct verify *v)
{
	char size[MLIMG_CLI_SIZE_TEXT];

	printf("%-12s agrees in superblock, device table and stack.json\n", "description");
	printf("%-12s sound: %" PRIu64 " %s, %" PRIu64 " %s\n", "file system", v->n_names,
		mlimg_cli_noun(v->n_names, "name", "names"), v->n_inodes,
		mlimg_cli_noun(v->n_inodes, "inode", "inodes"));
	printf("%-12s %zu of %zu given\n", "layers", v->stack->n_given, v->stack->infos.n_layers);
	if (!v->is_compared) {
		printf("%-12s not compared with the layers: that takes all of them (--layer)\n",
			"tree");
		return;
	}
	printf("%-12s %" PRIu64 " %s, %s read: ", "tree", v->n_entries,
		mlimg_cli_noun(v->n_entries, "entry", "entries"),
		mlimg_cli_format_size(v->done_bytes, size));
	if (v->differences.n == 0)
		puts("as in the layers' manifests");
	else
		printf("%" PRIu64 " %s not as in the layers' manifests\n", v->differences.n,
			mlimg_cli_noun(v->differences.n, "is", "are"));
	mlimg_differences_put(&v->differences);
	if (v->n_composed)
		printf("%-12s %" PRIu64 " %s of no single layer\n", "composed", v->n_composed,
			mlimg_cli_noun(v->n_composed, "file", "files"));
}

static int put_json(const struct verify *v, struct mlimg_err *err)
{
	json_t *report = json_pack("{s:b, s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:o}", "is_sound",
		v->differences.n == 0, "names", (json_int_t)v->n_names, "inodes",
		(json_int_t)v->n_inodes, "layers_given", (json_int_t)v->stack->n_given,
		"is_compared", v->is_compared, "entries", (json_int_t)v->n_entries, "bytes",
		(json_int_t)v->done_bytes, "composed", (json_int_t)v->n_composed, "n_differences",
		(json_int_t)v->differences.n, "differences",
		mlimg_differences_json(&v->differences));

	return mlimg_inspect_put_report(report, "print the report", err);
}

static int verify(struct verify *v, bool is_json, struct mlimg_err *err)
{
	int ret = check_image(v, err);

	v->is_compared = mlimg_inspect_stack_is_complete(v->stack);
	if (ret == 0 && v->is_compared)
		ret = compare_tree(v, err);
	if (ret < 0)
		return ret;
	if (is_json)
		ret = put_json(v, err);
	else
		put_report(v);
	if (ret == 0 && v->differences.n)
		ret = mlimg_err_refuse(err,
			"%.200s: its tree differs from its layers' in %" PRIu64 " %s",
			mlimg_erofs_name(v->stack->image), v->differences.n,
			mlimg_cli_noun(v->differences.n, "entry", "entries"));
	return ret;
}

int mlimg_inspect_index_verify(struct mlimg_inspect *in, struct mlimg_err *err)
{
	struct verify v = {.stack = in->stack};
	int ret = mlimg_inspect_limit(in, &v.holes_max, err);

	if (ret == 0)
		ret = verify(&v, mlimg_inspect_has(in, MLIMG_INSPECT_JSON), err);
	mlimg_differences_done(&v.differences);
	mlimg_idmap_done(&v.seen);
	return ret;
}
