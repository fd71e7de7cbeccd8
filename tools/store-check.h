/* SPDX-License-Identifier: MIT */
/**
 * @file store-check.h
 * What lies in the directory of a store and no row tells of.
 */
#ifndef MLIMG_TOOLS_STORE_CHECK_H
#define MLIMG_TOOLS_STORE_CHECK_H

#include "tools/store-impl.h"

/**
 * Look at layers/, tenants/ and bases/: what no row tells of is MLIMG_STORE_ORPHAN, or
 * MLIMG_STORE_FOREIGN where it is no layer's image.
 *
 * @param store  the store
 * @param fn     told of each
 * @param ctx    handed to @p fn
 * @param err    names what could not be read
 * @return       0, what @p fn returned when negative, or -errno
 */
int mlimg_store_check_files(struct mlimg_store *store, mlimg_store_finding_fn *fn, void *ctx,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
