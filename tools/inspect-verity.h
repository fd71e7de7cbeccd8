/* SPDX-License-Identifier: MIT */
/**
 * @file inspect-verity.h
 * What mlimg-inspect says of an image's hash tree, root hash and signature.
 */
#ifndef MLIMG_TOOLS_INSPECT_VERITY_H
#define MLIMG_TOOLS_INSPECT_VERITY_H

#include "tools/inspect-commands.h"
#include "tools/sidecar.h"
#include "tools/verity-check.h"

/** All that is known of it. Zeroed, it is nothing. */
struct mlimg_inspect_verity {
	struct mlimg_verity tree;     /**< data_blocks is 0 when there is none */
	struct mlimg_sidecar sidecar; /**< what lies beside the image */
	bool is_known;                /**< the root hash came from elsewhere than the image */
	struct mlimg_verity_flaws flaws;
	char *owners
		[MLIMG_VERITY_SHOWN_MAX]; /**< of the flaws' blocks: paths, escaped; NULL: no file's */
	char *signer;                     /**< whose signature is good; NULL: not checked */
};

/**
 * Find out what there is, without reading much, and see that it fits: superblock of the tree,
 * sidecar, signature in its file, and what the options want.
 *
 * @param in          the image
 * @param ret_verity  mlimg_inspect_verity_done() when done
 * @param err         names the file
 * @return            0, -EUCLEAN, other -errno
 */
int mlimg_inspect_verity_find(struct mlimg_inspect *in, struct mlimg_inspect_verity *ret_verity,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Check the hash tree in itself, root hash and signature: reads less than a hundredth of the image.
 *
 * @param in      the image
 * @param verity  found; the rest is filled in
 * @param err     names image or file
 * @return        0, -EUCLEAN, other -errno
 */
int mlimg_inspect_verity_check_tree(struct mlimg_inspect *in, struct mlimg_inspect_verity *verity,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Check every block of the file system against the tree, and find out whose those are that are not
 * as in it.
 *
 * @param in      the image
 * @param verity  with the tree checked
 * @param err     names the image. Blocks that are not as in the tree are no error
 * @return        0 or -errno
 */
int mlimg_inspect_verity_check_data(struct mlimg_inspect *in, struct mlimg_inspect_verity *verity,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Print what was found (`show`); nothing where there is no hash tree. */
void mlimg_inspect_verity_put_found(const struct mlimg_inspect_verity *verity);

/** @return the same as JSON, json_decref() it; NULL when there is no memory */
struct json_t *mlimg_inspect_verity_found_json(const struct mlimg_inspect_verity *verity);

/** Print what was checked (`verify`). */
void mlimg_inspect_verity_put_checked(const struct mlimg_inspect_verity *verity);

/** @return the same as JSON, json_decref() it; NULL when there is no memory */
struct json_t *mlimg_inspect_verity_checked_json(const struct mlimg_inspect_verity *verity);

/** Free what it owns; accepts NULL and a zeroed one. */
void mlimg_inspect_verity_done(struct mlimg_inspect_verity *verity);

#endif
