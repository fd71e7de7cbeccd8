/* SPDX-License-Identifier: MIT */
/**
 * @file layer-verify.h
 * Whether a layer image is what its build id says: the file system is sound, the description is the
 * manifest's, the databases' records are those that it names, and every entry of the tree has the
 * content and the attributes that it lists. Hash trees are verity-check.h's.
 */
#ifndef MLIMG_TOOLS_LAYER_VERIFY_H
#define MLIMG_TOOLS_LAYER_VERIFY_H

#include "tools/ext4-check.h"
#include "tools/inspect-differences.h"

/** As mlimg-mkfs has it: zeros that take a minute or so to read, and more than sound trees have. */
#define MLIMG_LAYER_HOLES_MAX (UINT64_C(64) << 30)

/** What was found. Zero it to begin with. */
struct mlimg_layer_verified {
	struct mlimg_ext4_usage usage;
	struct mlimg_differences differences; /**< of the tree */
	uint64_t read_bytes;                  /**< contents */
	uint64_t n_entries;
	uint64_t
		n_references; /**< of a patch: files whose contents lie beneath, and are not read */
	size_t n_records;     /**< files of databases' records */
	bool is_compared;     /**< the tree with the manifest; not a user layer's, which changes */
};

/**
 * Verify a layer; all its contents are read. Refused is one whose journal holds changes that have
 * not reached their places, without which a sound image looks damaged (-EBUSY, no refusal), and
 * whatever is not sound. Differences between tree and manifest are told in @p ret_verified and are
 * no error.
 *
 * @param fs            the image
 * @param info          its description
 * @param holes_max     bytes of holes that are read at most
 * @param ret_verified  mlimg_layer_verified_done() when done, also after a failure
 * @param err           names the image
 * @return              0, -EUCLEAN, other -errno
 */
int mlimg_layer_verify(struct mlimg_ext4 *fs, const struct mlimg_layer_info *info,
	uint64_t holes_max, struct mlimg_layer_verified *ret_verified,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * @return 0 when the tree is as in the manifest, else -EUCLEAN
 *
 * @param verified  by mlimg_layer_verify()
 * @param image     what the message begins with
 * @param err       how many entries differ
 */
int mlimg_layer_verified_judge(const struct mlimg_layer_verified *verified, const char *image,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_layer_verified_done(struct mlimg_layer_verified *verified);

#endif
