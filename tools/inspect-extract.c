/* SPDX-License-Identifier: MIT */
/* mlimg-inspect extract. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/cli.h"
#include "tools/extract.h"
#include "tools/inspect-commands.h"
#include "tools/inspect-layer.h"
#include "tools/inspect-print.h"

static json_t *failures_of(const struct mlimg_extract_result *result)
{
	json_t *list = json_array();
	char escaped[MLIMG_ESCAPED_SIZE], reason[4 * MLIMG_ERR_TEXT_SIZE];

	for (size_t i = 0; list && i < MLIMG_EXTRACT_NAMED_MAX && i < result->n_failed; i++) {
		const struct mlimg_extract_failure *f = &result->failures[i];
		json_t *object =
			json_pack("{s:s, s:s}", "path", mlimg_manifest_escape(f->path, escaped),
				"reason", mlimg_manifest_escape(f->reason, reason));

		if (json_array_append_new(list, object) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static int put_json(const struct mlimg_extract_result *result, struct mlimg_err *err)
{
	json_t *report = json_pack("{s:I, s:I, s:I, s:I, s:o}", "entries",
		(json_int_t)result->n_entries, "bytes", (json_int_t)result->n_bytes,
		"n_overlay_xattrs", (json_int_t)result->n_overlay, "n_failed",
		(json_int_t)result->n_failed, "failures", failures_of(result));

	return mlimg_inspect_put_report(report, "print the report", err);
}

static void put_failures(const struct mlimg_extract_result *result)
{
	for (size_t i = 0; i < MLIMG_EXTRACT_NAMED_MAX && i < result->n_failed; i++) {
		const struct mlimg_extract_failure *f = &result->failures[i];

		fprintf(stderr, MLIMG_INSPECT_PROG ": ");
		mlimg_cli_put_safe(stderr, f->path[0] ? f->path : ".");
		fputs(": ", stderr);
		mlimg_cli_put_safe(stderr, f->reason);
		fputc('\n', stderr);
	}
	if (result->n_failed > MLIMG_EXTRACT_NAMED_MAX)
		fprintf(stderr, MLIMG_INSPECT_PROG ": and %" PRIu64 " more\n",
			result->n_failed - MLIMG_EXTRACT_NAMED_MAX);
	if (result->n_overlay)
		mlimg_cli_warn(MLIMG_INSPECT_PROG,
			"%" PRIu64 " %s that overlayfs made for itself %s left out",
			result->n_overlay,
			mlimg_cli_noun(result->n_overlay, "attribute", "attributes"),
			mlimg_cli_noun(result->n_overlay, "is", "are"));
}

static int check_usage(const struct mlimg_inspect *in, struct mlimg_err *err)
{
	static const struct {
		enum mlimg_inspect_option option;
		const char *name;
	} not_with_tar[] = {{MLIMG_INSPECT_DIRECTORY, "--directory"},
		{MLIMG_INSPECT_FORCE, "--force"}, {MLIMG_INSPECT_NO_SAME_OWNER, "--no-same-owner"},
		{MLIMG_INSPECT_JSON, "--json"}};

	if (!mlimg_inspect_has(in, MLIMG_INSPECT_TAR)) {
		if (mlimg_inspect_has(in, MLIMG_INSPECT_LIMIT))
			return mlimg_err_usage(err,
				"'--limit' is for '--tar': a directory keeps holes as they are");
		return 0;
	}
	for (size_t i = 0; i < sizeof(not_with_tar) / sizeof(not_with_tar[0]); i++)
		if (mlimg_inspect_has(in, not_with_tar[i].option))
			return mlimg_err_usage(err, "options '--tar' and '%s' exclude each other",
				not_with_tar[i].name);
	if (isatty(STDOUT_FILENO))
		return mlimg_err_usage(
			err, "'--tar' writes to standard output, which is a terminal");
	return 0;
}

static int set_options(
	const struct mlimg_inspect *in, struct mlimg_extract_options *o, struct mlimg_err *err)
{
	bool is_tar = mlimg_inspect_has(in, MLIMG_INSPECT_TAR);
	const char *directory = in->options->values[MLIMG_INSPECT_DIRECTORY];

	*o = (struct mlimg_extract_options){
		.directory = is_tar ? NULL
			: directory ? directory
				    : ".",
		.tar_fd = STDOUT_FILENO,
		.paths = in->options->operands,
		.n_paths = (size_t)in->options->n_operands,
		.can_replace = mlimg_inspect_has(in, MLIMG_INSPECT_FORCE),
		.keeps_owners = is_tar ||
			(geteuid() == 0 && !mlimg_inspect_has(in, MLIMG_INSPECT_NO_SAME_OWNER)),
		.is_patch = in->info.kind == MLIMG_PATCH,
		.total_bytes = in->options->n_operands ? 0
			: in->stack                    ? in->stack->given_bytes
						       : in->info.size_bytes,
	};
	if (mlimg_inspect_limit(in, &o->tar_holes_max, err) < 0)
		return -EINVAL;
	for (size_t i = 0; i < o->n_paths; i++)
		if (mlimg_extract_normalize(o->paths[i], err) < 0)
			return -EINVAL;
	if (!o->keeps_owners && !mlimg_inspect_has(in, MLIMG_INSPECT_NO_SAME_OWNER))
		mlimg_cli_warn(MLIMG_INSPECT_PROG,
			"not root: owners, set-ID bits, and attributes in trusted.* and security.* "
			"are left out");
	return 0;
}

int mlimg_inspect_extract(struct mlimg_inspect *in, struct mlimg_err *err)
{
	struct mlimg_extract_options options;
	struct mlimg_extract_result result;
	int ret = check_usage(in, err);

	if (ret == 0)
		ret = set_options(in, &options, err);
	if (ret < 0)
		return ret;
	ret = mlimg_extract(&in->tree, &options, &result, err);
	put_failures(&result);
	if (ret == 0 && mlimg_inspect_has(in, MLIMG_INSPECT_JSON))
		ret = put_json(&result, err);
	if (ret == 0 && result.n_failed) {
		const char *noun = mlimg_cli_noun(result.n_failed, "failure", "failures");

		ret = result.is_refused
			? mlimg_err_refuse(err,
				  "%.200s: not everything was extracted: %" PRIu64 " %s",
				  in->options->image, result.n_failed, noun)
			: mlimg_err_set(err, 0,
				  "%.200s: not everything was extracted: %" PRIu64 " %s",
				  in->options->image, result.n_failed, noun);
	}
	mlimg_extract_result_done(&result);
	return ret;
}
