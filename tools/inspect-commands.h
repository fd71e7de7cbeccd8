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

/** How `diff` prints. */
struct mlimg_inspect_diff_options {
	bool is_json;
	bool is_summary; /**< packages and sums only */
	bool has_times;  /**< also what differs in nothing but its time; JSON always has that */
};

/**
 * `diff`: what has changed from one layer to another, by their stored manifests. Of contents dpkg's database alone is read.
 *
 * @param fs        the old image
 * @param info      its description
 * @param new_path  the new image
 * @param options   how to print
 * @param err       names the image; a user layer is wrong usage, since its manifest does not say what is in it
 * @return          0 or -errno
 */
int mlimg_inspect_diff(struct mlimg_ext4 *fs, const struct mlimg_layer_info *info,
	const char *new_path, const struct mlimg_inspect_diff_options *options,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
