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
	MLIMG_FORM_AUTO = 0, /**< what it looks like */
	MLIMG_FORM_DIR,      /**< a directory */
	MLIMG_FORM_TAR,      /**< a tar */
	MLIMG_FORM_OCI,      /**< a container image: source-oci.h */
};

/** @return whether @p name is one, and which: "auto", "dir", "tar", "oci" */
bool mlimg_form_of(const char *name, enum mlimg_form *ret_form);

/**
 * Read a source. A file that looks like an archive of container images is taken for that, and a directory with a file
 * oci-layout; standard input cannot be looked at twice, so it is a tar unless told.
 *
 * @param path    a directory, a file, "-"
 * @param form    what it is
 * @param choice  which image of a container image's archive
 * @param to      where it goes
 */
int mlimg_source_read(const char *path, enum mlimg_form form, const struct mlimg_oci_choice *choice,
	const struct mlimg_source_to *to, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
