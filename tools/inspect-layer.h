/* SPDX-License-Identifier: MIT */
/**
 * @file inspect-layer.h
 * What mlimg-inspect's commands do with a layer first.
 */
#ifndef MLIMG_TOOLS_INSPECT_LAYER_H
#define MLIMG_TOOLS_INSPECT_LAYER_H

#include "tools/ext4-read.h"

/**
 * The stored manifest, parsed.
 *
 * @param fs            the image
 * @param info          its description
 * @param ret_manifest  mlimg_manifest_free() it
 * @param err           names the image
 * @return              0 or -errno
 */
int mlimg_inspect_read_manifest(struct mlimg_ext4 *fs, const struct mlimg_layer_info *info,
	struct mlimg_manifest **ret_manifest, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Refuse a layer whose layer.json is not what its manifest's header says. The build id vouches for
 * the manifest, nothing for layer.json.
 *
 * @param fs    the image
 * @param json  what layer.json says
 * @param m     its manifest
 * @param err   names the image and what does not fit
 * @return      0 or -errno
 */
int mlimg_inspect_agree(const struct mlimg_ext4 *fs, const struct mlimg_layer_info *json,
	const struct mlimg_manifest *m, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * @return the bytes of contents that may be read of a layer: one that is never written holds what
 *         its description says, a user layer grows
 */
uint64_t mlimg_inspect_data_max(const struct mlimg_layer_info *info);

#endif
