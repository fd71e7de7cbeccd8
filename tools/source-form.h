/* SPDX-License-Identifier: MIT */
/**
 * @file source-form.h
 * What a source is: told, or found out by looking at it.
 */
#ifndef MLIMG_TOOLS_SOURCE_FORM_H
#define MLIMG_TOOLS_SOURCE_FORM_H

#include "tools/oci-json.h"
#include "tools/source.h"

/** Forms of a source. */
enum mlimg_form {
	MLIMG_FORM_AUTO = 0,   /**< what it looks like */
	MLIMG_FORM_DIR,        /**< a directory */
	MLIMG_FORM_TAR,        /**< a tar */
	MLIMG_FORM_OCI,        /**< a container image: source-oci.h */
	MLIMG_FORM_LAYER,      /**< the image of a system or software layer: source-layer.h */
	MLIMG_FORM_USER,       /**< the image of a user layer */
	MLIMG_FORM_UPPER,      /**< an upper directory of overlayfs: source-upper.h */
	MLIMG_FORM_UPPER_USER, /**< one of an overlay mounted with userxattr */
	MLIMG_FORM_UNIONFS,    /**< a branch of unionfs-fuse: source-unionfs.h */
};

/** @return whether @p name is one, and which: "auto", "dir", "tar", "oci", "layer", "user", "upper", "upper-userxattr",
 * "unionfs" */
bool mlimg_form_of(const char *name, enum mlimg_form *ret_form);

/**
 * Read a source. What it is, unless told:
 *
 * - a directory with a file oci-layout: oci; one whose root has marks of overlayfs other than
 *   opacity: upper, or upper-userxattr; one with a directory .unionfs-fuse: unionfs; any other:
 *   dir;
 * - a file or block device with an ext4 superblock: user if the label says so, else layer; one that
 *   looks like an archive of container images: oci; any other: tar;
 * - standard input and pipes cannot be looked at twice: tar.
 *
 * @param path            a directory, a file, "-"
 * @param form            what it is
 * @param choice          which image of a container image's archive
 * @param to              where it goes
 * @param ret_is_partial  whether it holds additions only, and tells by whiteouts what is to be
 *                        gone: uppers, branches, and the images of software and user layers do; of
 *                        others that cannot be seen
 */
int mlimg_source_read(const char *path, enum mlimg_form form, const struct mlimg_oci_choice *choice,
	const struct mlimg_source_to *to, bool *ret_is_partial,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
