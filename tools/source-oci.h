/* SPDX-License-Identifier: MIT */
/**
 * @file source-oci.h
 * A container image as source: an OCI image layout in a directory, an archive of one, or what
 * `docker save` writes.
 */
#ifndef MLIMG_TOOLS_SOURCE_OCI_H
#define MLIMG_TOOLS_SOURCE_OCI_H

#include "tools/oci-json.h"
#include "tools/source.h"

/**
 * Read an image; each of its layers is a level. Layers follow the OCI image-spec's layer.md:
 * ".wh.NAME" hides NAME, ".wh..wh..opq" all of its directory, in the layers beneath. Refused,
 * beside what mlimg_source_read_tar() refuses: what oci-image.h and oci-layer.h refuse, a marker of
 * what cannot be a name, overlayfs' own marks.
 *
 * @param path    a directory, an archive, "-"
 * @param choice  which image
 * @param to      where it goes
 */
int mlimg_source_read_oci(const char *path, const struct mlimg_oci_choice *choice,
	const struct mlimg_source_to *to, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
