/* SPDX-License-Identifier: MIT */
/**
 * @file reconcile-kept.h
 * Databases that stay as the user has them, whatever happens: of class keep (path-class.h), or made
 * immutable. Such a one cannot be merged, nor can those that belong together with it, as the others
 * would speak of numbers and packages of which it knows nothing: passwd, group and all that goes by
 * their names are one group; dpkg's status, its journal and the files in info another. But numbers
 * are passwd's and group's alone: without shadow and gshadow, or subuid and subgid, which stay as
 * they are then, the rest is merged.
 */
#ifndef MLIMG_RECONCILE_KEPT_H
#define MLIMG_RECONCILE_KEPT_H

#include "libmlimg/accounts.h"
#include "libmlimg/manifest.h"
#include "libmlimg/path-class.h"

/** @return whether a thing of the upper at a database's path stays as it is */
bool mlimg_database_is_kept(
	const struct mlimg_path_classes *classes, const struct mlimg_entry *entry);

/**
 * Whether a file of accounts can be merged, as far as that goes.
 *
 * @param classes  with what is declared
 * @param upper    in the neutral form (upper-source.h)
 * @param f        which
 * @param err      of kind MLIMG_ERR_REFUSED: names the file, and says what to do
 * @return         0, -EUCLEAN
 */
int mlimg_accounts_check_kept(const struct mlimg_path_classes *classes,
	const struct mlimg_manifest *upper, enum mlimg_accounts_file f,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return whether passwd and group can be merged without that file */
static inline bool mlimg_accounts_can_do_without(enum mlimg_accounts_file f)
{
	return f != MLIMG_PASSWD && f != MLIMG_GROUP;
}

/** Take a file that can be done without, and its like for groups, out of all sides. */
void mlimg_accounts_leave_out(
	struct mlimg_accounts sides[MLIMG_N_MERGE_SIDES], enum mlimg_accounts_file f);

/** Whether packages can be merged, as far as that goes. @return 0, -EUCLEAN */
int mlimg_packages_check_kept(const struct mlimg_path_classes *classes,
	const struct mlimg_manifest *upper, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
