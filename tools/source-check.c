/* SPDX-License-Identifier: MIT */
/* What an entry of a source may be. */
#include "tools/source.h"

#include <string.h>

#include "libmlimg/le.h"
#include "libmlimg/path.h"
#include "libmlimg/whiteout.h"

#define XATTR_NAME_MAX 255 /* bytes with the prefix: the VFS' limit */
#define ACL_VERSION 2      /* POSIX_ACL_XATTR_VERSION of linux/posix_acl_xattr.h */
#define ACL_HEADER_SIZE 4
#define ACL_ENTRY_SIZE 8
/* One block and what an inode holds beside its fields: more never fits (e2fsprogs: no ea_inode). */
#define XATTRS_BLOCK_SIZE (4096 - 32 - 4)
#define XATTRS_INODE_SIZE (256 - 128 - 32 - 4 - 4)
#define XATTR_ENTRY_SIZE 16 /* struct ext4_xattr_entry without the name */

/* Marks of overlayfs in an upper that bind it to its lowers; a layer is free of them. */
static const char *const binding_marks[] = {
	"origin", "impure", "nlink", "uuid", "upper", "protattr"};

static bool has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool mlimg_overlay_mark_is_binding(const char *mark)
{
	for (size_t i = 0; i < sizeof(binding_marks) / sizeof(binding_marks[0]); i++)
		if (strcmp(mark, binding_marks[i]) == 0)
			return true;
	return false;
}

bool mlimg_source_keeps_xattr(const char *name)
{
	return !has_prefix(name, MLIMG_XATTR_OVERLAY) ||
		!mlimg_overlay_mark_is_binding(name + strlen(MLIMG_XATTR_OVERLAY));
}

/* Rank of an ACL entry's tag in the order that the kernel wants (posix_acl_valid()), 0: no tag. */
static int acl_rank(uint32_t tag)
{
	switch (tag) {
	case 0x01: return 1; /* user::  */
	case 0x02: return 2; /* user:U: */
	case 0x04: return 3; /* group::  */
	case 0x08: return 4; /* group:G: */
	case 0x10: return 5; /* mask  */
	case 0x20: return 6; /* other */
	default: return 0;
	}
}

/*
 * Whether the kernel would take this ACL. libext2fs converts it without looking, and the kernel
 * calls the inode corrupt if it is wrong.
 */
static bool is_acl(const uint8_t *value, size_t size)
{
	int counts[7] = {0}, rank = 0;

	if (size < ACL_HEADER_SIZE || (size - ACL_HEADER_SIZE) % ACL_ENTRY_SIZE != 0 ||
		mlimg_get_le32(value) != ACL_VERSION)
		return false;
	for (size_t at = ACL_HEADER_SIZE; at < size; at += ACL_ENTRY_SIZE) {
		int next = acl_rank(mlimg_get_le16(value + at));

		if (next == 0 || next < rank || mlimg_get_le16(value + at + 2) > 7)
			return false;
		/* Of a user or group that the user name space of whoever made it did not have. */
		if ((next == 2 || next == 4) && mlimg_get_le32(value + at + 4) == UINT32_MAX)
			return false;
		rank = next;
		counts[rank]++;
	}
	if (counts[1] != 1 || counts[3] != 1 || counts[6] != 1 || counts[5] > 1)
		return false;
	return counts[5] == 1 || (counts[2] == 0 && counts[4] == 0);
}

static int check_overlay_mark(const struct mlimg_entry *entry, const struct mlimg_xattr *x,
	enum mlimg_kind kind, struct mlimg_err *err)
{
	if (kind == MLIMG_SYSTEM)
		return mlimg_err_refuse(err,
			"'%s': %s in a system layer, which has nothing beneath it", entry->path,
			x->name);
	if (!mlimg_source_keeps_xattr(x->name))
		return 0;
	if (strcmp(x->name, MLIMG_XATTR_OPAQUE) != 0)
		return mlimg_err_refuse(
			err, "'%s': %s cannot be kept in a layer", entry->path, x->name);
	if (entry->type != MLIMG_DIR || x->size != 1 || x->value[0] != 'y')
		return mlimg_err_refuse(
			err, "'%s': %s that is not \"y\" on a directory", entry->path, x->name);
	return 0;
}

static int check_namespace(
	const struct mlimg_entry *entry, const struct mlimg_xattr *x, struct mlimg_err *err)
{
	static const char *const prefixes[] = {"user.", "trusted.", "security."};

	if (has_prefix(x->name, "user.") && entry->type != MLIMG_FILE && entry->type != MLIMG_DIR)
		return mlimg_err_refuse(err, "'%s': %s on what is neither file nor directory",
			entry->path, x->name);
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (has_prefix(x->name, prefixes[i]) && x->name[strlen(prefixes[i])])
			return 0;
	if (strcmp(x->name, "system.posix_acl_access") != 0 &&
		strcmp(x->name, "system.posix_acl_default") != 0)
		return mlimg_err_refuse(err, "'%s': ext4 has no xattr %s", entry->path, x->name);
	if (entry->type == MLIMG_LINK || !is_acl(x->value, x->size) ||
		(strcmp(x->name, "system.posix_acl_default") == 0 && entry->type != MLIMG_DIR))
		return mlimg_err_refuse(err, "'%s': %s is not a valid ACL", entry->path, x->name);
	return 0;
}

size_t mlimg_xattr_stored_size(const struct mlimg_xattr *x)
{
	const char *dot = strchr(x->name, '.');
	size_t name_size = dot ? strlen(dot + 1) : strlen(x->name);

	if (has_prefix(x->name, "system.posix_acl_"))
		name_size = 0;
	return XATTR_ENTRY_SIZE + ((name_size + 3) & ~(size_t)3) + ((x->size + 3) & ~(size_t)3);
}

static int check_xattrs(
	const struct mlimg_entry *entry, enum mlimg_kind kind, struct mlimg_err *err)
{
	size_t total = 0;

	for (uint32_t i = 0; i < entry->n_xattrs; i++) {
		const struct mlimg_xattr *x = &entry->xattrs[i];
		int r = 0;

		if (strlen(x->name) > XATTR_NAME_MAX)
			return mlimg_err_refuse(err,
				"'%s': name of an xattr is longer than %d bytes", entry->path,
				XATTR_NAME_MAX);
		if (has_prefix(x->name, MLIMG_XATTR_OVERLAY))
			r = check_overlay_mark(entry, x, kind, err);
		else
			r = check_namespace(entry, x, err);
		if (r < 0)
			return r;
		if (mlimg_xattr_stored_size(x) > XATTRS_BLOCK_SIZE)
			return mlimg_err_refuse(err,
				"'%s': xattr %s of %zu bytes is too large for ext4", entry->path,
				x->name, x->size);
		total += mlimg_xattr_stored_size(x);
	}
	if (total > XATTRS_BLOCK_SIZE + XATTRS_INODE_SIZE)
		return mlimg_err_refuse(err, "'%s': xattrs of %zu bytes are too large for ext4",
			entry->path, total);
	return 0;
}

static int check_numbers(
	const struct mlimg_entry *entry, enum mlimg_kind kind, struct mlimg_err *err)
{
	bool is_device = entry->type == MLIMG_CHAR || entry->type == MLIMG_BLOCK;

	if (entry->mtime_s < MLIMG_EXT4_TIME_MIN || entry->mtime_s > MLIMG_EXT4_TIME_MAX)
		return mlimg_err_refuse(err, "'%s': ext4 cannot hold its time", entry->path);
	if (entry->uid == UINT32_MAX || entry->gid == UINT32_MAX)
		return mlimg_err_refuse(
			err, "'%s': its owner or group is no valid number", entry->path);
	if (is_device && (entry->dev_major > 0xfff || entry->dev_minor > 0xfffff))
		return mlimg_err_refuse(err, "'%s': device %u,%u: number too large", entry->path,
			entry->dev_major, entry->dev_minor);
	if (kind == MLIMG_SYSTEM && mlimg_entry_is_whiteout(entry))
		return mlimg_err_refuse(err,
			"'%s': whiteout in a system layer, which has nothing beneath it",
			entry->path);
	return 0;
}

int mlimg_source_check(const struct mlimg_entry *entry, enum mlimg_kind kind, struct mlimg_err *err)
{
	size_t name_size = strlen(mlimg_path_name(entry->path));
	int r;

	if (name_size > MLIMG_NAME_MAX)
		return mlimg_err_refuse(
			err, "'%s': name is longer than %d bytes", entry->path, MLIMG_NAME_MAX);
	if (strlen(entry->path) > MLIMG_PATH_MAX)
		return mlimg_err_refuse(
			err, "'%s': path is longer than %d bytes", entry->path, MLIMG_PATH_MAX);
	if (entry->type == MLIMG_LINK && (!entry->link || !entry->link[0]))
		return mlimg_err_refuse(err, "'%s': symbolic link without a target", entry->path);
	if (entry->type == MLIMG_LINK && strlen(entry->link) > MLIMG_LINK_MAX)
		return mlimg_err_refuse(err, "'%s': target of the link is longer than %d bytes",
			entry->path, MLIMG_LINK_MAX);
	r = check_numbers(entry, kind, err);
	return r < 0 ? r : check_xattrs(entry, kind, err);
}
