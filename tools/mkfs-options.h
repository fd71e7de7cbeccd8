/* SPDX-License-Identifier: MIT */
/**
 * @file mkfs-options.h
 * The command line of mlimg-mkfs: its options and operands, and what may stand with what. Files are
 * only looked at to see whether two operands are the same one, and those of --over to see whether
 * they are images.
 */
#ifndef MLIMG_TOOLS_MKFS_OPTIONS_H
#define MLIMG_TOOLS_MKFS_OPTIONS_H

#include "libmlimg/stack.h"
#include "tools/mkfs-build.h"
#include "tools/mkfs-over-args.h"

#define MLIMG_MKFS "mlimg-mkfs" /**< the program's name, for messages */

/** What is asked for. What mlimg_mkfs_options_read() gets is zeroed, and owned by who calls. */
struct mlimg_mkfs_request {
	struct mlimg_build build;
	struct mlimg_layer_info info;
	struct mlimg_rules rules;
	struct mlimg_verity verity;
	struct mlimg_signer *signer;
	struct mlimg_profile *profile;
	size_t n_unknown; /* of its paths */
	const char *name, *version, *instance, *key, *cert, *profile_path;
	const char *bases[1 + MLIMG_STACK_PATCH_MAX];
	struct mlimg_over_args beneath;
	bool has_size, is_json;
};

/**
 * Read the command line.
 *
 * @param rq        filled in, but for what follows from other things than the command line
 * @param argc      main()'s
 * @param argv      main()'s; must live as long as @p rq
 * @param ret_exit  the exit code, when all is done already: the help was asked for, or an option
 *                  was wrong and that has been said
 * @param err       what is wrong, of the usage kind
 * @return          0 to go on, 1 when all is done, -errno
 */
int mlimg_mkfs_options_read(struct mlimg_mkfs_request *rq, int argc, char **argv, int *ret_exit,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
