/* SPDX-License-Identifier: MIT */
/* mlimg-inspect verify. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/patch.h"
#include "tools/cli.h"
#include "tools/ext4-check.h"
#include "tools/inspect-commands.h"
#include "tools/inspect-differences.h"
#include "tools/inspect-layer.h"
#include "tools/inspect-print.h"
#include "tools/inspect-verity.h"
#include "tools/progress.h"
#include "tools/records-read.h"

struct verify {
	struct mlimg_manifest_diff *diff;
	struct mlimg_progress progress;
	struct mlimg_ext4_usage usage;
	struct mlimg_ext4 *fs;
	const struct mlimg_manifest *manifest;
	struct mlimg_differences differences;
	uint64_t done_bytes, n_entries, n_references;
	size_t n_records; /* files of them */
	uint64_t holes_max;
	uint32_t last_group; /* of hard links */
	bool is_compared;
};

static int take_difference(unsigned changes, const struct mlimg_entry *old_entry,
	const struct mlimg_entry *new_entry, void *ctx, struct mlimg_err *err)
{
	struct verify *v = ctx;

	return mlimg_differences_add(
		&v->differences, changes, new_entry ? new_entry->path : old_entry->path, err);
}

/*
 * What a reader is sent to from here must be contents beneath a patch, and no others may be here.
 */
static int check_reference(const struct verify *v, const struct mlimg_entry *entry,
	const struct mlimg_ext4_inode *inode, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_ext4_extent *extents = NULL;
	char buf[MLIMG_REDIRECT_MAX];
	const char *path;
	size_t n = 0;
	int ret;

	if (mlimg_ext4_super(v->fs)->kind != MLIMG_PATCH)
		return mlimg_err_refuse(err,
			"%.200s: './%s' has an xattr that sends readers elsewhere, which only a "
			"patch layer may have",
			mlimg_ext4_name(v->fs), entry->path);
	ret = mlimg_reference_path(entry, &path, buf, err);
	if (ret < 0)
		return mlimg_err_wrap(err, ret, "%.200s", mlimg_ext4_name(v->fs));
	ret = mlimg_ext4_extents(v->fs, inode, &extents, &n, err);
	if (ret == 0 && n)
		ret = mlimg_err_refuse(err,
			"%.200s: './%s' refers to contents beneath, but has some of its own",
			mlimg_ext4_name(v->fs), entry->path);
	return ret;
}

/* Its contents lie beneath: who merges the stack compares their digest with the manifest's. */
static int take_reference(struct verify *v, const struct mlimg_entry *entry,
	const struct mlimg_ext4_inode *inode, struct mlimg_err *err)
{
	const struct mlimg_entry *listed = mlimg_manifest_find(v->manifest, entry->path);
	struct mlimg_entry reference = *entry;
	int ret = check_reference(v, entry, inode, err);

	if (ret < 0)
		return ret;
	v->n_references++;
	if (listed && listed->has_digest) {
		reference.has_digest = true;
		memcpy(reference.digest, listed->digest, sizeof(reference.digest));
	}
	return mlimg_manifest_diff_feed(v->diff, &reference, err);
}

static int take_entry(const struct mlimg_entry *entry, const struct mlimg_ext4_inode *inode,
	void *ctx, struct mlimg_err *err)
{
	struct verify *v = ctx;

	v->n_entries++;
	if (mlimg_entry_has_reference(entry))
		return take_reference(v, entry, inode, err);
	/* All names of a group have the same contents, which are read once. */
	if (!entry->hardlink || entry->hardlink > v->last_group)
		v->done_bytes += entry->size_bytes;
	if (entry->hardlink > v->last_group)
		v->last_group = entry->hardlink;
	mlimg_progress_update(&v->progress, v->done_bytes);
	/* A file without a digest in the manifest differs too: it cannot be verified. */
	return mlimg_manifest_diff_feed(v->diff, entry, err);
}

static int compare_tree(struct verify *v, struct mlimg_ext4 *fs,
	const struct mlimg_layer_info *info, const struct mlimg_manifest *manifest,
	struct mlimg_err *err)
{
	int ret;

	v->fs = fs;
	v->manifest = manifest;
	v->diff = mlimg_manifest_diff_new(manifest, take_difference, v);
	if (!v->diff)
		return mlimg_err_set(err, ENOMEM, "verify");
	mlimg_progress_init(&v->progress, "verifying contents", info->size_bytes);
	ret = mlimg_ext4_manifest_walk(
		fs, mlimg_inspect_data_max(info), v->holes_max, take_entry, v, err);
	mlimg_progress_end(&v->progress);
	if (ret == 0)
		ret = mlimg_manifest_diff_end(v->diff, err);
	mlimg_manifest_diff_free(v->diff);
	return ret;
}

static void put_report(const struct verify *v)
{
	char size[MLIMG_CLI_SIZE_TEXT];

	printf("%-12s agrees in label, UUID, layer.json and manifest\n", "description");
	if (v->n_records)
		printf("%-12s %zu %s of records, as in the manifest\n", "databases", v->n_records,
			mlimg_cli_noun(v->n_records, "file", "files"));
	printf("%-12s sound: %" PRIu64 " %s, %" PRIu64 " %s in use\n", "file system",
		v->usage.n_names, mlimg_cli_noun(v->usage.n_names, "name", "names"),
		v->usage.n_blocks, mlimg_cli_noun(v->usage.n_blocks, "block", "blocks"));
	if (!v->is_compared) {
		printf("%-12s a user layer's, which changes: not compared\n", "tree");
		return;
	}
	printf("%-12s %" PRIu64 " %s, %s read: ", "tree", v->n_entries,
		mlimg_cli_noun(v->n_entries, "entry", "entries"),
		mlimg_cli_format_size(v->done_bytes, size));
	if (v->differences.n == 0)
		puts("as in the manifest");
	else
		printf("%" PRIu64 " %s not as in the manifest\n", v->differences.n,
			mlimg_cli_noun(v->differences.n, "is", "are"));
	mlimg_differences_put(&v->differences);
	if (v->n_references)
		printf("%-12s %" PRIu64 " %s beneath: not read\n", "references", v->n_references,
			mlimg_cli_noun(v->n_references, "file has its contents",
				"files have their contents"));
}

/* json_pack() fails when one of its parts is not there. */
static int put_json(
	const struct verify *v, const struct mlimg_inspect_verity *verity, struct mlimg_err *err)
{
	json_t *report = json_pack("{s:b, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:o}", "is_sound",
		v->differences.n == 0 && verity->flaws.n == 0, "names",
		(json_int_t)v->usage.n_names, "blocks", (json_int_t)v->usage.n_blocks,
		"is_compared", v->is_compared, "entries", (json_int_t)v->n_entries, "bytes",
		(json_int_t)v->done_bytes, "references", (json_int_t)v->n_references,
		"n_differences", (json_int_t)v->differences.n, "differences",
		mlimg_differences_json(&v->differences));

	if (report && verity->tree.data_blocks &&
		json_object_set_new(report, "verity", mlimg_inspect_verity_checked_json(verity)) <
			0) {
		json_decref(report);
		report = NULL;
	}
	return mlimg_inspect_put_report(report, "print the report", err);
}

static int check(struct verify *v, struct mlimg_ext4 *fs, const struct mlimg_layer_info *info,
	struct mlimg_err *err)
{
	struct mlimg_manifest *manifest = NULL;
	int ret = mlimg_ext4_check(fs, &v->usage, err);

	if (ret == 0)
		ret = mlimg_inspect_read_manifest(fs, info, &manifest, err);
	if (ret == 0)
		ret = mlimg_inspect_agree(fs, info, manifest, err);
	if (ret == 0)
		ret = mlimg_records_check(fs, info, err);
	v->n_records = info->n_records;
	v->is_compared = info->kind != MLIMG_USER;
	if (ret == 0 && v->is_compared)
		ret = compare_tree(v, fs, info, manifest, err);
	mlimg_manifest_free(manifest);
	return ret;
}

/* What has been printed, in short. */
static int judge(const struct verify *v, const struct mlimg_inspect_verity *verity,
	const char *image, struct mlimg_err *err)
{
	if (v->differences.n)
		return mlimg_err_refuse(err,
			"%.200s: its tree differs from its manifest in %" PRIu64 " %s", image,
			v->differences.n, mlimg_cli_noun(v->differences.n, "entry", "entries"));
	if (verity->flaws.n)
		return mlimg_err_refuse(err,
			"%.200s: %" PRIu64 " of its blocks %s not as in its hash tree", image,
			verity->flaws.n, mlimg_cli_noun(verity->flaws.n, "is", "are"));
	return 0;
}

static int verify(struct verify *v, struct mlimg_inspect *in, struct mlimg_inspect_verity *verity,
	struct mlimg_err *err)
{
	int ret = mlimg_inspect_verity_find(in, verity, err);

	if (ret == 0)
		ret = mlimg_inspect_verity_check_tree(in, verity, err);
	if (ret == 0)
		ret = check(v, in->fs, &in->info, err);
	if (ret == 0)
		ret = mlimg_inspect_verity_check_data(in, verity, err);
	if (ret < 0)
		return ret;
	if (mlimg_inspect_has(in, MLIMG_INSPECT_JSON)) {
		ret = put_json(v, verity, err);
	} else {
		put_report(v);
		mlimg_inspect_verity_put_checked(verity);
	}
	return ret < 0 ? ret : judge(v, verity, mlimg_ext4_name(in->fs), err);
}

int mlimg_inspect_verify(struct mlimg_inspect *in, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_inspect_verity_done) struct mlimg_inspect_verity verity = {0};
	struct verify v = {.n_entries = 0};
	int ret;

	/* Without what the journal holds, sound images look damaged. */
	if (mlimg_ext4_super(in->fs)->is_dirty)
		return mlimg_err_set(err, EBUSY,
			"%.200s: cannot be verified: its journal holds changes (a guest is using "
			"it, or stopped without unmounting it; then 'e2fsck -p' writes them)",
			mlimg_ext4_name(in->fs));
	ret = mlimg_inspect_limit(in, &v.holes_max, err);
	if (ret == 0)
		ret = verify(&v, in, &verity, err);
	mlimg_differences_done(&v.differences);
	return ret;
}
