/* SPDX-License-Identifier: MIT */
/* mlimg-inspect diff: finding what differs. inspect-diff-print.c says it. */
#include "tools/inspect-diff.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/merge.h"
#include "libmlimg/patch.h"
#include "tools/inspect-layer.h"
#include "tools/inspect-print.h"
#include "tools/manifest-diff.h"
#include "tools/records-read.h"

/* All of one top directory comes together, as manifests are ordered; "." is apart. */
static struct diff_sums *sums_of(struct diff *d, const struct mlimg_entry *entry, bool is_dir)
{
	int size = (int)strcspn(entry->path, "/");
	struct diff_sums *last = &d->sums[d->n_sums - 1];

	if (size == 0 || (entry->path[size] == '\0' && !is_dir))
		return &d->sums[0];
	if (last->name_size == size && memcmp(last->name, entry->path, (size_t)size) == 0)
		return last;
	if (d->n_sums == d->room) {
		void *sums = realloc(d->sums, 2 * d->room * sizeof(*d->sums));

		if (!sums)
			return NULL;
		d->sums = sums;
		d->room *= 2;
	}
	d->sums[d->n_sums] = (struct diff_sums){.name = entry->path, .name_size = size};
	return &d->sums[d->n_sums++];
}

/*
 * Where contents lie tells that they are equal, not that they differ: then size and time of
 * modification must do, as with rsync(1). What is handed on has no digests, since these are none.
 */
static unsigned judge_places(unsigned changes, const struct mlimg_entry **old_entry,
	const struct mlimg_entry **new_entry, struct mlimg_entry *old_copy,
	struct mlimg_entry *new_copy)
{
	if (*old_entry && *new_entry && (*old_entry)->type == MLIMG_FILE &&
		(*old_entry)->size_bytes == (*new_entry)->size_bytes &&
		!(changes & MLIMG_CHANGE_TIME))
		changes &= ~(unsigned)MLIMG_CHANGE_CONTENT;
	if (*old_entry) {
		*old_copy = **old_entry;
		old_copy->has_digest = false;
		*old_entry = old_copy;
	}
	if (*new_entry) {
		*new_copy = **new_entry;
		new_copy->has_digest = false;
		*new_entry = new_copy;
	}
	return changes;
}

static int take_difference(unsigned changes, const struct mlimg_entry *old_entry,
	const struct mlimg_entry *new_entry, void *ctx, struct mlimg_err *err)
{
	struct diff *d = ctx;
	struct mlimg_entry old_copy, new_copy;
	bool is_dir = (old_entry && old_entry->type == MLIMG_DIR) ||
		(new_entry && new_entry->type == MLIMG_DIR);
	struct diff_sums *sums = sums_of(d, old_entry ? old_entry : new_entry, is_dir);
	int ret = 0;

	if (!sums)
		return mlimg_err_set(err, ENOMEM, "compare layers");
	if (d->has_places) {
		changes = judge_places(changes, &old_entry, &new_entry, &old_copy, &new_copy);
		if (!changes)
			return 0;
	}
	sums->n_added += changes == MLIMG_CHANGE_ADDED;
	sums->n_removed += changes == MLIMG_CHANGE_REMOVED;
	sums->n_times += changes == MLIMG_CHANGE_TIME;
	sums->n_changed += old_entry && new_entry && changes != MLIMG_CHANGE_TIME;
	if (changes &
		(MLIMG_CHANGE_ADDED | MLIMG_CHANGE_REMOVED | MLIMG_CHANGE_TYPE |
			MLIMG_CHANGE_CONTENT)) {
		sums->old_bytes += old_entry ? old_entry->size_bytes : 0;
		sums->new_bytes += new_entry ? new_entry->size_bytes : 0;
	}
	if (d->options->is_summary)
		return 0;
	if (d->options->is_json) {
		ret = diff_json_entry(d, changes, old_entry, new_entry, err);
	} else if (changes != MLIMG_CHANGE_TIME || d->options->has_times) {
		diff_put_entry(changes, old_entry, new_entry);
	} else {
		return 0;
	}
	d->has_listed = true;
	return ret < 0 ? ret : mlimg_inspect_check_stdout(err);
}

static int compare(struct diff *d, struct mlimg_err *err)
{
	const struct mlimg_manifest *m = d->merged ? d->merged : d->new_side.manifest;
	struct mlimg_manifest_diff *diff =
		mlimg_manifest_diff_new(d->old_side.manifest, take_difference, d);
	int ret = 0;

	if (!diff)
		return mlimg_err_set(err, ENOMEM, "compare layers");
	for (size_t i = 0; i < m->n_entries && ret == 0; i++)
		ret = mlimg_manifest_diff_feed(diff, &m->entries[i], err);
	if (ret == 0)
		ret = mlimg_manifest_diff_end(diff, err);
	mlimg_manifest_diff_free(diff);
	return ret;
}

static int parse_packages(struct diff_side *side, struct mlimg_err *err)
{
	int ret = mlimg_dpkg_status_parse(side->status, &side->packages);

	return ret < 0 ? mlimg_err_set(err, ret, "compare packages") : 0;
}

/* In records, packages that are gone are there as not installed. */
static int read_records(struct diff_side *side, struct mlimg_err *err)
{
	for (size_t i = 0; i < side->info->n_records; i++) {
		const struct mlimg_layer_records *records = &side->info->records[i];
		size_t size;
		int ret;

		if (strcmp(records->path, MLIMG_DPKG_STATUS) != 0)
			continue;
		ret = mlimg_records_read(side->fs, records, &side->status, &size, err);
		side->has_records = true;
		return ret < 0 ? ret : parse_packages(side, err);
	}
	return 0;
}

static int read_packages(struct diff_side *side, struct mlimg_err *err)
{
	const struct mlimg_entry *entry = mlimg_manifest_find(side->manifest, MLIMG_DPKG_STATUS);
	size_t size;
	int ret;

	if (!entry)
		return read_records(side, err);
	if (entry->type != MLIMG_FILE || mlimg_entry_has_reference(entry))
		return 0;
	ret = mlimg_ext4_read_file(side->fs, mlimg_kind_tree(side->info->kind), MLIMG_DPKG_STATUS,
		MLIMG_DPKG_STATUS_MAX, &side->status, &size, err);
	return ret < 0 ? ret : parse_packages(side, err);
}

/*
 * Of an index, where the layer that has the database was given; without it packages are not
 * compared.
 */
static int read_index_packages(struct diff_side *side, struct mlimg_err *err)
{
	const struct mlimg_itree *tree = &side->stack->tree;
	struct mlimg_err why = MLIMG_ERR_INIT;
	struct mlimg_itree_room room;
	struct mlimg_itree_node node;
	int ret = mlimg_itree_lookup(tree, MLIMG_DPKG_STATUS, false, &room, &node, &why);

	if (ret == -ENOENT || ret == -ENOTDIR ||
		(ret == 0 && (node.type != MLIMG_FILE || node.size_bytes > MLIMG_DPKG_STATUS_MAX)))
		return 0;
	if (ret == 0)
		ret = mlimg_itree_read_text(tree, &node, &side->status, &why);
	if (ret == -ENOMEDIUM)
		return 0;
	if (ret < 0) {
		*err = why;
		return ret;
	}
	return parse_packages(side, err);
}

static int keep_entry(
	const struct mlimg_entry *entry, bool is_own, void *ctx, struct mlimg_err *err)
{
	return mlimg_manifest_add(ctx, entry) ? 0 : mlimg_err_set(err, ENOMEM, "compare layers");
}

static int read_index_side(struct diff_side *side, bool has_places, struct mlimg_err *err)
{
	int ret;

	side->manifest = mlimg_manifest_new();
	if (!side->manifest)
		return mlimg_err_set(err, ENOMEM, "compare layers");
	ret = mlimg_inspect_stack_walk(side->stack,
		has_places ? MLIMG_DIGESTS_PLACES : MLIMG_DIGESTS_STORED, 0, keep_entry,
		side->manifest, err);
	return ret == 0 ? read_index_packages(side, err) : ret;
}

static int read_side(struct diff_side *side, struct mlimg_err *err)
{
	int ret;

	if (side->info->kind == MLIMG_USER)
		return mlimg_err_usage(err,
			"%.200s: is a user layer; its manifest does not say what is in it now",
			mlimg_ext4_name(side->fs));
	ret = mlimg_inspect_read_manifest(side->fs, side->info, &side->manifest, err);
	if (ret == 0)
		ret = mlimg_inspect_agree(side->fs, side->info, side->manifest, err);
	return ret == 0 ? read_packages(side, err) : ret;
}

/* What a patch shows: with the system beneath it that is the new version. */
static int apply_patch(struct diff *d, struct mlimg_err *err)
{
	struct diff_side *patch = &d->new_side, beneath = d->old_side;
	const struct mlimg_manifest *layers[] = {d->old_side.manifest, patch->manifest};
	int ret;

	if (strcmp(d->old_side.info->build_id, patch->info->base) != 0)
		return mlimg_err_usage(err,
			"%.200s: is a patch for another system than %.200s (%.20s)",
			mlimg_ext4_name(patch->fs), mlimg_ext4_name(d->old_side.fs),
			patch->info->base);
	ret = mlimg_manifest_merge(layers, 2, &d->merged, err);
	if (ret < 0 || patch->status)
		return ret;
	/* It has not got a database of its own, so that of the old system shows. */
	beneath.status = NULL;
	beneath.packages = (struct mlimg_packages){0};
	ret = read_packages(&beneath, err);
	patch->status = beneath.status;
	patch->packages = beneath.packages;
	return ret;
}

int diff_packages(const struct diff *d, diff_package_fn *fn, void *ctx, struct mlimg_err *err)
{
	const struct mlimg_packages *a = &d->old_side.packages, *b = &d->new_side.packages;
	size_t i = 0, j = 0;
	int ret = 0;

	while (ret == 0 && (i < a->n_packages || j < b->n_packages)) {
		const struct mlimg_package *x = i < a->n_packages ? &a->packages[i] : NULL;
		const struct mlimg_package *y = j < b->n_packages ? &b->packages[j] : NULL;
		int order = !x ? 1 : !y ? -1 : mlimg_package_cmp(x, y);

		i += order <= 0;
		j += order >= 0;
		if (order != 0 || strcmp(x->version, y->version) != 0)
			ret = fn(order <= 0 ? x : NULL, order >= 0 ? y : NULL, ctx, err);
	}
	return ret;
}

static int read_layers(struct diff *d, struct mlimg_err *err)
{
	int ret = read_side(&d->old_side, err);

	if (ret == 0)
		ret = read_side(&d->new_side, err);
	if (ret == 0 && d->old_side.info->kind == MLIMG_PATCH)
		ret = mlimg_err_usage(err,
			"%.200s: is a patch; only a system and a patch for it can be compared",
			mlimg_ext4_name(d->old_side.fs));
	if (ret == 0 && d->new_side.info->kind == MLIMG_PATCH)
		ret = apply_patch(d, err);
	return ret;
}

static int read_indexes(struct diff *d, struct mlimg_err *err)
{
	int ret;

	d->has_places = !mlimg_inspect_stack_is_complete(d->old_side.stack) ||
		!mlimg_inspect_stack_is_complete(d->new_side.stack);
	ret = read_index_side(&d->old_side, d->has_places, err);
	return ret == 0 ? read_index_side(&d->new_side, d->has_places, err) : ret;
}

/* A version of a software layer without any package has no records of them. */
static bool has_no_packages(const struct diff_side *side, const struct diff_side *other)
{
	return !side->status && side->info && side->info->kind == MLIMG_SOFTWARE &&
		!mlimg_manifest_find(side->manifest, MLIMG_DPKG_STATUS) && other->has_records;
}

/* All packages of a tree and those of which a layer has records cannot be compared. */
static bool have_packages(const struct diff_side *a, const struct diff_side *b)
{
	return (a->status && b->status && a->has_records == b->has_records) ||
		has_no_packages(a, b) || has_no_packages(b, a);
}

static int diff(struct diff *d, struct mlimg_err *err)
{
	bool is_json = d->options->is_json;
	int ret = d->old_side.stack ? read_indexes(d, err) : read_layers(d, err);

	if (ret == 0)
		d->has_packages = have_packages(&d->old_side, &d->new_side);
	d->room = 16;
	d->sums = calloc(d->room, sizeof(*d->sums));
	if (ret == 0 && !d->sums)
		return mlimg_err_set(err, ENOMEM, "compare layers");
	if (ret < 0)
		return ret;
	d->sums[0] = (struct diff_sums){.name = ".", .name_size = 1};
	d->n_sums = 1;
	if (is_json)
		ret = diff_json_head(d, err);
	else
		diff_put_head(d);
	if (ret == 0)
		ret = compare(d, err);
	if (ret == 0)
		ret = is_json ? diff_json_tail(d, err) : diff_put_tail(d, err);
	return ret;
}

static void side_done(struct diff_side *side)
{
	mlimg_manifest_free(side->manifest);
	free(side->packages.packages);
	free(side->status);
}

static int open_new_side(const struct mlimg_inspect *in, struct diff_side *side,
	struct mlimg_layer_info *info, struct mlimg_err *err)
{
	const char *path = mlimg_inspect_operand(in, 0);
	bool is_index = mlimg_inspect_is_index(path);
	int ret;

	side->info = info;
	if (is_index != (in->stack != NULL))
		return mlimg_err_usage(err,
			"one of '%.140s' and '%.140s' is an index, the other a layer",
			in->options->image, path);
	if (is_index) {
		ret = mlimg_inspect_stack_open(path, in->options->layers, in->options->n_layers,
			in->is_used, &side->stack, err);
		return ret == 0 ? mlimg_inspect_check_layers(in, err) : ret;
	}
	ret = mlimg_ext4_open(path, &side->fs, err);
	return ret == 0 ? mlimg_ext4_layer_info(side->fs, info, err) : ret;
}

int mlimg_inspect_diff(struct mlimg_inspect *in, struct mlimg_err *err)
{
	const struct diff_options options = {
		.is_json = mlimg_inspect_has(in, MLIMG_INSPECT_JSON),
		.is_summary = mlimg_inspect_has(in, MLIMG_INSPECT_SUMMARY),
		.has_times = mlimg_inspect_has(in, MLIMG_INSPECT_TIMES),
	};
	struct mlimg_layer_info new_info = {0};
	struct diff d = {.options = &options,
		.old_side = {.fs = in->fs, .info = &in->info, .stack = in->stack}};
	int ret = open_new_side(in, &d.new_side, &new_info, err);

	if (ret == 0)
		ret = diff(&d, err);
	free(d.sums);
	mlimg_manifest_free(d.merged);
	side_done(&d.old_side);
	side_done(&d.new_side);
	mlimg_ext4_close(d.new_side.fs);
	mlimg_inspect_stack_close(d.new_side.stack);
	mlimg_layer_info_done(&new_info);
	return ret;
}
