/* SPDX-License-Identifier: MIT */
/**
 * @file reconcile-kept.h
 * Databases that stay as the user has them, whatever happens: of class keep (path-class.h), or made
 * immutable. Such a one cannot be merged, nor can those that belong together with it, as the others
 * would speak of numbers and packages of which it knows nothing: passwd, group, shadow, gshadow,
 * subuid and subgid are one group; dpkg's status, its journal and the files in info another.
 */
#ifndef MLIMG_RECONCILE_KEPT_H
#define MLIMG_RECONCILE_KEPT_H

#include "libmlimg/manifest.h"
#include "libmlimg/path-class.h"

/** @return whether a thing of the upper at a database's path stays as it is */
bool mlimg_database_is_kept(
	const struct mlimg_path_classes *classes, const struct mlimg_entry *entry);

/**
 * Whether accounts can be merged, as far as that goes.
 *
 * @param classes  with what is declared
 * @param upper    in the neutral form (upper-source.h)
 * @param err      of kind MLIMG_ERR_REFUSED: names the file, and says what to do
 * @return         0, -EUCLEAN
 */
int mlimg_accounts_check_kept(const struct mlimg_path_classes *classes,
	const struct mlimg_manifest *upper, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The same of packages. */
int mlimg_packages_check_kept(const struct mlimg_path_classes *classes,
	const struct mlimg_manifest *upper, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
