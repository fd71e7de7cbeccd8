/* SPDX-License-Identifier: MIT */
/*
 * Databases that the user keeps as they are. They belong together: with one of them that may not
 * change, the others would say what it does not.
 */
#include "libmlimg/reconcile-kept.h"

#include <string.h>

#include "libmlimg/accounts.h"
#include "libmlimg/packages.h"
#include "libmlimg/reconcile-plan.h"
#include "libmlimg/whiteout.h"

bool mlimg_database_is_kept(
	const struct mlimg_path_classes *classes, const struct mlimg_entry *entry)
{
	return mlimg_entry_xattr(entry, MLIMG_XATTR_PROTATTR) ||
		mlimg_path_class_of_entry(classes, entry) == MLIMG_CLASS_KEEP;
}

static int check(const struct mlimg_path_classes *classes, const struct mlimg_entry *e,
	struct mlimg_err *err)
{
	bool is_protected = mlimg_entry_xattr(e, MLIMG_XATTR_PROTATTR);

	if (!mlimg_database_is_kept(classes, e))
		return 0;
	return mlimg_err_refuse(err, "/%s of the user is %s: go back, %s, and change again",
		e->path,
		is_protected ? "immutable or append-only" : "of class keep, which a pin gives it",
		is_protected ? "take that from it (chattr -ia)" : "unpin it (mlimg unpin)");
}

/* What dpkg has of which packages are there, and of their files. */
static bool is_of_status(const char *path)
{
	static const char info[] = "var/lib/dpkg/info/";

	return strcmp(path, "var/lib/dpkg/status") == 0 || mlimg_packages_is_update(path) ||
		strncmp(path, info, strlen(info)) == 0;
}

int mlimg_accounts_check_kept(const struct mlimg_path_classes *classes,
	const struct mlimg_manifest *upper, enum mlimg_accounts_file f, struct mlimg_err *err)
{
	const struct mlimg_entry *e = mlimg_manifest_find(upper, mlimg_accounts_path(f));

	return e ? check(classes, e, err) : 0;
}

void mlimg_accounts_leave_out(
	struct mlimg_accounts sides[MLIMG_N_MERGE_SIDES], enum mlimg_accounts_file f)
{
	enum mlimg_accounts_file first =
		f == MLIMG_SUBUID || f == MLIMG_SUBGID ? MLIMG_SUBUID : MLIMG_SHADOW;

	for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++)
		for (enum mlimg_accounts_file left = first; left <= first + 1; left++)
			sides[side].files[left] = (struct mlimg_records_text){NULL, 0};
}

int mlimg_packages_check_kept(const struct mlimg_path_classes *classes,
	const struct mlimg_manifest *upper, struct mlimg_err *err)
{
	static const char dir[] = "var/lib/dpkg/";
	int r = 0;

	for (size_t i = mlimg_manifest_first_from(upper, dir); i < upper->n_entries && r == 0;
		i++) {
		const struct mlimg_entry *e = &upper->entries[i];

		if (strncmp(e->path, dir, strlen(dir)) != 0)
			break;
		if (e->type != MLIMG_DIR && is_of_status(e->path))
			r = check(classes, e, err);
	}
	return r;
}
