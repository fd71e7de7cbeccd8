/* SPDX-License-Identifier: MIT */
#include "tools/layer-verify.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "libmlimg/patch.h"
#include "tools/cli.h"
#include "tools/inspect-layer.h"
#include "tools/progress.h"
#include "tools/records-read.h"

struct verify {
	struct mlimg_layer_verified *found;
	struct mlimg_manifest_diff *diff;
	struct mlimg_progress progress;
	struct mlimg_ext4 *fs;
	const struct mlimg_manifest *manifest;
	uint32_t last_group; /* of hard links */
};

static int take_difference(unsigned changes, const struct mlimg_entry *old_entry,
	const struct mlimg_entry *new_entry, void *ctx, struct mlimg_err *err)
{
	struct verify *v = ctx;

	return mlimg_differences_add(&v->found->differences, changes,
		new_entry ? new_entry->path : old_entry->path, err);
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
	v->found->n_references++;
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

	v->found->n_entries++;
	if (mlimg_entry_has_reference(entry))
		return take_reference(v, entry, inode, err);
	/* All names of a group have the same contents, which are read once. */
	if (!entry->hardlink || entry->hardlink > v->last_group)
		v->found->read_bytes += entry->size_bytes;
	if (entry->hardlink > v->last_group)
		v->last_group = entry->hardlink;
	mlimg_progress_update(&v->progress, v->found->read_bytes);
	/* A file without a digest in the manifest differs too: it cannot be verified. */
	return mlimg_manifest_diff_feed(v->diff, entry, err);
}

static int compare_tree(struct verify *v, const struct mlimg_layer_info *info, uint64_t holes_max,
	struct mlimg_err *err)
{
	int ret;

	v->diff = mlimg_manifest_diff_new(v->manifest, take_difference, v);
	if (!v->diff)
		return mlimg_err_set(err, ENOMEM, "verify");
	mlimg_progress_init(&v->progress, "verifying contents", info->size_bytes);
	ret = mlimg_ext4_manifest_walk(
		v->fs, mlimg_inspect_data_max(info), holes_max, take_entry, v, err);
	mlimg_progress_end(&v->progress);
	if (ret == 0)
		ret = mlimg_manifest_diff_end(v->diff, err);
	mlimg_manifest_diff_free(v->diff);
	return ret;
}

static int check(struct mlimg_ext4 *fs, const struct mlimg_layer_info *info, uint64_t holes_max,
	struct mlimg_layer_verified *found, struct mlimg_err *err)
{
	struct mlimg_manifest *manifest = NULL;
	int ret = mlimg_ext4_check(fs, &found->usage, err);

	if (ret == 0)
		ret = mlimg_inspect_read_manifest(fs, info, &manifest, err);
	if (ret == 0)
		ret = mlimg_inspect_agree(fs, info, manifest, err);
	if (ret == 0)
		ret = mlimg_records_check(fs, info, err);
	found->n_records = info->n_records;
	found->is_compared = info->kind != MLIMG_USER;
	if (ret == 0 && found->is_compared) {
		struct verify v = {.found = found, .fs = fs, .manifest = manifest};

		ret = compare_tree(&v, info, holes_max, err);
	}
	mlimg_manifest_free(manifest);
	return ret;
}

int mlimg_layer_verify(struct mlimg_ext4 *fs, const struct mlimg_layer_info *info,
	uint64_t holes_max, struct mlimg_layer_verified *ret_verified, struct mlimg_err *err)
{
	/* Without what the journal holds, sound images look damaged. */
	if (mlimg_ext4_super(fs)->is_dirty)
		return mlimg_err_set(err, EBUSY,
			"%.200s: cannot be verified: its journal holds changes (a guest is using "
			"it, or stopped without unmounting it; then 'e2fsck -p' writes them)",
			mlimg_ext4_name(fs));
	return check(fs, info, holes_max, ret_verified, err);
}

int mlimg_layer_verified_judge(
	const struct mlimg_layer_verified *verified, const char *image, struct mlimg_err *err)
{
	if (verified->differences.n == 0)
		return 0;
	return mlimg_err_refuse(err, "%.200s: its tree differs from its manifest in %" PRIu64 " %s",
		image, verified->differences.n,
		mlimg_cli_noun(verified->differences.n, "entry", "entries"));
}

void mlimg_layer_verified_done(struct mlimg_layer_verified *verified)
{
	mlimg_differences_done(&verified->differences);
}
