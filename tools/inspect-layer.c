/* SPDX-License-Identifier: MIT */
#include "tools/inspect-layer.h"

#include <string.h>

static int check_text(const char *what, const char *json, const char *manifest,
	const struct mlimg_ext4 *fs, struct mlimg_err *err)
{
	if (strcmp(json, manifest) == 0)
		return 0;
	return mlimg_err_refuse(err, "%.200s: its layer.json says %s '%s', its manifest '%s'",
		mlimg_ext4_name(fs), what, json, manifest);
}

int mlimg_inspect_agree(const struct mlimg_ext4 *fs, const struct mlimg_layer_info *json,
	const struct mlimg_manifest *m, struct mlimg_err *err)
{
	struct mlimg_layer_info header = {0};
	int ret = mlimg_layer_parse_header(m, &header, err);

	if (ret < 0)
		return mlimg_err_wrap(err, ret, "%.200s: /mlimg/manifest", mlimg_ext4_name(fs));
	ret = check_text(
		"kind", mlimg_kind_name(json->kind), mlimg_kind_name(header.kind), fs, err);
	if (ret == 0)
		ret = check_text("name", json->name, header.name, fs, err);
	if (ret == 0)
		ret = check_text("version", json->version, header.version, fs, err);
	if (ret == 0)
		ret = check_text("instance", json->instance, header.instance, fs, err);
	if (ret == 0)
		ret = check_text("base", json->base, header.base, fs, err);
	if (ret == 0)
		ret = check_text("result", json->result, header.result, fs, err);
	if (ret == 0 &&
		(json->n_over != header.n_over ||
			(json->n_over &&
				memcmp(json->over, header.over,
					json->n_over * sizeof(*json->over)) != 0)))
		ret = mlimg_err_refuse(err,
			"%.200s: its layer.json and its manifest differ in 'over'",
			mlimg_ext4_name(fs));
	if (ret == 0 && !mlimg_layer_has_same_lists(json, &header))
		ret = mlimg_err_refuse(err,
			"%.200s: its layer.json and its manifest differ in 'records' or 'rebuild'",
			mlimg_ext4_name(fs));
	if (ret == 0 && json->entries != m->n_entries)
		ret = mlimg_err_refuse(err,
			"%.200s: its layer.json says %llu entries, its manifest has %zu",
			mlimg_ext4_name(fs), (unsigned long long)json->entries, m->n_entries);
	mlimg_layer_info_done(&header);
	return ret;
}

int mlimg_inspect_read_manifest(struct mlimg_ext4 *fs, const struct mlimg_layer_info *info,
	struct mlimg_manifest **ret_manifest, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int ret = mlimg_ext4_manifest_stored(fs, info->build_id, &text, &size, err);

	if (ret < 0)
		return ret;
	ret = mlimg_manifest_parse(text, size, ret_manifest, err);
	return ret < 0 ? mlimg_err_wrap(err, ret, "%.200s: /mlimg/manifest", mlimg_ext4_name(fs))
		       : 0;
}

uint64_t mlimg_inspect_data_max(const struct mlimg_layer_info *info)
{
	if (info->kind == MLIMG_USER)
		return UINT64_MAX;
	return info->size_bytes ? info->size_bytes : 1; /* empty files have digests too */
}
