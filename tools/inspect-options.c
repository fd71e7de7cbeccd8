/* SPDX-License-Identifier: MIT */
/* What several commands make of their options. */
#include <errno.h>

#include "tools/cli.h"
#include "tools/inspect-commands.h"
#include "tools/layer-verify.h"

int mlimg_inspect_depth(const struct mlimg_inspect *in, uint64_t *ret_depth, struct mlimg_err *err)
{
	const char *text = in->options->values[MLIMG_INSPECT_DEPTH];

	*ret_depth = UINT64_MAX;
	if (!text)
		return 0;
	if (mlimg_cli_number(text, 0, MLIMG_PATH_MAX, ret_depth, err) < 0)
		return mlimg_err_wrap(err, -EINVAL, "--depth");
	return 0;
}

int mlimg_inspect_limit(
	const struct mlimg_inspect *in, uint64_t *ret_holes_max, struct mlimg_err *err)
{
	const char *text = in->options->values[MLIMG_INSPECT_LIMIT];

	*ret_holes_max = MLIMG_LAYER_HOLES_MAX;
	if (!text)
		return 0;
	if (mlimg_cli_size(text, ret_holes_max, err) < 0)
		return mlimg_err_wrap(err, -EINVAL, "--limit");
	return 0;
}

int mlimg_inspect_check_layers(const struct mlimg_inspect *in, struct mlimg_err *err)
{
	for (size_t i = 0; i < in->options->n_layers; i++)
		if (!in->is_used[i])
			return mlimg_err_refuse(err, "%.200s: is no layer of %.200s",
				in->options->layers[i], in->options->image);
	return 0;
}
