/* SPDX-License-Identifier: MIT */
#include "libmlimg/whiteout.h"

#include <string.h>

bool mlimg_entry_is_whiteout(const struct mlimg_entry *entry)
{
	return entry->type == MLIMG_CHAR && entry->dev_major == 0 && entry->dev_minor == 0;
}

bool mlimg_entry_is_opaque(const struct mlimg_entry *entry)
{
	const struct mlimg_xattr *x;

	if (entry->type != MLIMG_DIR)
		return false;
	x = mlimg_entry_xattr(entry, MLIMG_XATTR_OPAQUE);
	return x && x->size == 1 && x->value[0] == 'y';
}

bool mlimg_xattr_is_overlay(const char *name)
{
	return strncmp(name, MLIMG_XATTR_OVERLAY, strlen(MLIMG_XATTR_OVERLAY)) == 0 ||
		strncmp(name, MLIMG_XATTR_USER_OVERLAY, strlen(MLIMG_XATTR_USER_OVERLAY)) == 0;
}

const struct mlimg_xattr *mlimg_entry_xattr(const struct mlimg_entry *entry, const char *name)
{
	for (uint32_t i = 0; i < entry->n_xattrs; i++)
		if (strcmp(entry->xattrs[i].name, name) == 0)
			return &entry->xattrs[i];
	return NULL;
}
