/* SPDX-License-Identifier: MIT */
#include "libmlimg/whiteout.h"

#include <errno.h>
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

int mlimg_entry_mark(
	struct mlimg_arena *arena, struct mlimg_entry *entry, const char *name, const char *value)
{
	struct mlimg_xattr *xattrs;
	uint32_t n = 0;

	if (mlimg_entry_xattr(entry, name))
		return 0;
	xattrs = mlimg_arena_alloc(arena, (entry->n_xattrs + 1) * sizeof(*xattrs));
	if (!xattrs)
		return -ENOMEM;
	while (n < entry->n_xattrs && strcmp(entry->xattrs[n].name, name) < 0)
		n++;
	if (n)
		memcpy(xattrs, entry->xattrs, n * sizeof(*xattrs));
	if (entry->n_xattrs > n)
		memcpy(xattrs + n + 1, entry->xattrs + n, (entry->n_xattrs - n) * sizeof(*xattrs));
	xattrs[n] = (struct mlimg_xattr){
		(char *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(value)};
	entry->xattrs = xattrs;
	entry->n_xattrs++;
	return 0;
}

int mlimg_entry_mark_flags(
	struct mlimg_arena *arena, struct mlimg_entry *entry, bool is_append, bool is_immutable)
{
	if (!is_append && !is_immutable)
		return 0;
	/* In the order in which the kernel writes them: fs/overlayfs/util.c, ovl_set_protattr(). */
	return mlimg_entry_mark(arena, entry, MLIMG_XATTR_PROTATTR,
		!is_append             ? "i"
			: is_immutable ? "ai"
				       : "a");
}
