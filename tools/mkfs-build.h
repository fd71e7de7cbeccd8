/* SPDX-License-Identifier: MIT */
/**
 * @file mkfs-build.h
 * A layer image from its sources: the tree with what belongs around it, manifest, build id,
 * layer.json. What mlimg-mkfs does when its command line has been read.
 */
#ifndef MLIMG_TOOLS_MKFS_BUILD_H
#define MLIMG_TOOLS_MKFS_BUILD_H

#include <stdbool.h>
#include <stdint.h>

#include "libmlimg/layer.h"
#include "libmlimg/verity.h"
#include "tools/mkfs-over.h"
#include "tools/mkfs-rules.h"
#include "tools/owner-map.h"
#include "tools/profile.h"
#include "tools/source-form.h"
#include "tools/verity-sign.h"

#define MLIMG_SOURCES_MAX 64 /**< sources of one layer */

/** What is wanted. */
struct mlimg_build {
	char *const *sources; /**< bottom first */
	size_t n_sources;     /**< 0: an empty layer (user layers) */
	enum mlimg_form form; /**< of all of them */
	/** Filled in; NULL: no hash tree. */
	struct mlimg_verity *verity;
	/** Signs the root hash; NULL: nobody. */
	const struct mlimg_signer *signer;
	struct mlimg_oci_choice choice; /**< of container images */
	/** Those that are lifted are given, the rest is filled in; NULL: no rules. */
	struct mlimg_rules *rules;
	struct mlimg_owner_map *owners; /**< of the sources' entries; or NULL */
	/** What the layer lies over, for what sources only refer to; NULL: not known. */
	const struct mlimg_beneath *beneath;
	/**
	 * Of a software layer, with rules and beneath: only what differs from beneath; filled in.
	 * NULL: all of it.
	 */
	struct mlimg_over *over;
	/** Of a patch: images of the old system, bottom first. */
	const char *const *bases;
	size_t n_bases;                      /**< 0 for other kinds */
	bool trusts_times;                   /**< do not read files that look as they do beneath */
	const struct mlimg_profile *profile; /**< what comes first in the image; or NULL */
	size_t *ret_unknown;                 /**< paths of the profile that are no regular files */
	uint64_t limit_bytes;                /**< that packed sources may hold in all */
	const char *image;                   /**< the target */
	uint64_t size_bytes;                 /**< of the image; 0: as small as can be */
	bool is_deduped;                     /**< files with the same contents share blocks */
	bool can_replace;                    /**< an image that is there already */
	bool is_quiet;                       /**< no progress bar */
	bool has_time;                       /**< @p time_s is given */
	int64_t time_s; /**< else: newest time in the sources; of an empty layer, now */
};

/**
 * Make the image, and what belongs beside it (sidecar.h). It is there whole and durable on success,
 * and not at all else.
 *
 * @param build           what is wanted
 * @param info            kind, name, version, over, instance are given; the rest is filled in. Of a
 *                        patch, name and version of the new system
 * @param ret_size_bytes  of the image, hash tree included
 */
int mlimg_build_layer(const struct mlimg_build *build, struct mlimg_layer_info *info,
	uint64_t *ret_size_bytes, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
