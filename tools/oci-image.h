/* SPDX-License-Identifier: MIT */
/**
 * @file oci-image.h
 * Which image of a store is meant, and what its layers are. Every document on the way from
 * index.json to the configuration is checked against the digest and size by which the one before
 * names it.
 */
#ifndef MLIMG_TOOLS_OCI_IMAGE_H
#define MLIMG_TOOLS_OCI_IMAGE_H

#include "tools/oci-json.h"
#include "tools/oci-layer.h"
#include "tools/oci-store.h"

/** An image that was chosen. Zero it to begin with. */
struct mlimg_oci_image {
	struct mlimg_oci_layer *layers; /**< bottom first */
	size_t n_layers;
};

/**
 * Choose an image. An OCI layout comes before manifest.json where both are there, as `docker save`
 * has them.
 *
 * @param store      the store
 * @param choice     platform and tag
 * @param ret_image  mlimg_oci_image_done() when done; zeroed on failure
 * @param err        names the store and what does not fit: no image or several images of that
 *                   platform and tag, a blob that is missing or has another digest, what oci-json.h
 *                   refuses
 * @return           0; -EUCLEAN; other -errno
 */
int mlimg_oci_image_choose(struct mlimg_oci_store *store, const struct mlimg_oci_choice *choice,
	struct mlimg_oci_image *ret_image, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_oci_image_done(struct mlimg_oci_image *image);

#endif
