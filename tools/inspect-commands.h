/* SPDX-License-Identifier: MIT */
/**
 * @file inspect-commands.h
 * The larger commands of mlimg-inspect. All print on standard output; who calls them closes it.
 */
#ifndef MLIMG_TOOLS_INSPECT_COMMANDS_H
#define MLIMG_TOOLS_INSPECT_COMMANDS_H

#include "tools/ext4-read.h"

/**
 * `verify`: the file system, the description, and every entry of the tree against the stored manifest; of a user layer, whose tree changes,
 * only the first two. Prints a report, in which the first 20 differences are named.
 *
 * @param fs       the image
 * @param info     its description
 * @param is_json  whether the report is JSON
 * @param err      names the image
 * @return         0; -EUCLEAN when refused: damaged, parts that disagree, or entries that differ; other -errno
 */
int mlimg_inspect_verify(struct mlimg_ext4 *fs, const struct mlimg_layer_info *info, bool is_json,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
