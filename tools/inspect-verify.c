/* SPDX-License-Identifier: MIT */
/* mlimg-inspect verify. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/inspect-commands.h"
#include "tools/inspect-print.h"
#include "tools/inspect-verity.h"
#include "tools/layer-verify.h"

static void put_report(const struct mlimg_layer_verified *v)
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
		mlimg_cli_format_size(v->read_bytes, size));
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
static int put_json(const struct mlimg_layer_verified *v, const struct mlimg_inspect_verity *verity,
	struct mlimg_err *err)
{
	json_t *report = json_pack("{s:b, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:o}", "is_sound",
		v->differences.n == 0 && verity->flaws.n == 0, "names",
		(json_int_t)v->usage.n_names, "blocks", (json_int_t)v->usage.n_blocks,
		"is_compared", v->is_compared, "entries", (json_int_t)v->n_entries, "bytes",
		(json_int_t)v->read_bytes, "references", (json_int_t)v->n_references,
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

/* What has been printed, in short. */
static int judge(const struct mlimg_layer_verified *v, const struct mlimg_inspect_verity *verity,
	const char *image, struct mlimg_err *err)
{
	int ret = mlimg_layer_verified_judge(v, image, err);

	if (ret == 0 && verity->flaws.n)
		return mlimg_err_refuse(err,
			"%.200s: %" PRIu64 " of its blocks %s not as in its hash tree", image,
			verity->flaws.n, mlimg_cli_noun(verity->flaws.n, "is", "are"));
	return ret;
}

static int verify(struct mlimg_layer_verified *v, struct mlimg_inspect *in,
	struct mlimg_inspect_verity *verity, struct mlimg_err *err)
{
	uint64_t holes_max;
	int ret = mlimg_inspect_limit(in, &holes_max, err);

	if (ret == 0)
		ret = mlimg_inspect_verity_find(in, verity, err);
	if (ret == 0)
		ret = mlimg_inspect_verity_check_tree(in, verity, err);
	if (ret == 0)
		ret = mlimg_layer_verify(in->fs, &in->info, holes_max, v, err);
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
	mlimg_cleanup(mlimg_layer_verified_done) struct mlimg_layer_verified v = {0};

	return verify(&v, in, &verity, err);
}
