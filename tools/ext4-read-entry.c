/* SPDX-License-Identifier: MIT */
/*
 * An inode as an entry: link target and xattrs, both where ext4 keeps them in the inode and in a
 * block of their own.
 */
#include <errno.h>
#include <stdlib.h>

#include "tools/data.h"
#include "tools/ext4-read-impl.h"

#define XATTRS_ROOM 512  /* an entry takes 20 bytes at least, of an inode and a block */
#define BYTES_ROOM 65536 /* names get their prefix back, and ACLs grow to twice their size */
#define XATTR_ENTRY 16
#define XATTR_BLOCK_HEADER 32

#define ACL_VERSION_DISK 1  /* EXT4_ACL_VERSION */
#define ACL_VERSION_XATTR 2 /* POSIX_ACL_XATTR_VERSION */
#define ACL_USER 0x02
#define ACL_GROUP 0x08

struct mlimg_ext4_attrs {
	char link[MLIMG_EXT4_BLOCK];
	uint8_t block[MLIMG_EXT4_BLOCK];
	struct mlimg_xattr xattrs[XATTRS_ROOM];
	uint8_t bytes[BYTES_ROOM];
	size_t n, used;
};

struct mlimg_ext4_attrs *mlimg_ext4_attrs_new(void)
{
	return malloc(sizeof(struct mlimg_ext4_attrs));
}

void mlimg_ext4_attrs_free(struct mlimg_ext4_attrs *attrs)
{
	free(attrs);
}

/* fs/ext4/xattr.h: EXT4_XATTR_INDEX_*. The ACLs' names are whole without what follows. */
static const char *prefix_of(uint8_t index)
{
	static const char *const prefixes[] = {NULL, "user.", "system.posix_acl_access",
		"system.posix_acl_default", "trusted.", NULL, "security."};

	return index < sizeof(prefixes) / sizeof(prefixes[0]) ? prefixes[index] : NULL;
}

static bool is_acl_index(uint8_t index)
{
	return index == 2 || index == 3;
}

static uint8_t *reserve(struct mlimg_ext4_attrs *attrs, size_t size)
{
	uint8_t *p = attrs->bytes + attrs->used;

	if (size > BYTES_ROOM - attrs->used)
		return NULL;
	attrs->used += size;
	return p;
}

/*
 * On disk (fs/ext4/acl.h) only entries for a named user or group carry an id; in the xattr
 * (linux/posix_acl_xattr.h) all do. Returns false when it is no ACL.
 */
static bool decode_acl(const uint8_t *disk, size_t size, uint8_t *value, size_t *ret_size)
{
	size_t out = 4;

	if (size < 4 || mlimg_get_le32(disk) != ACL_VERSION_DISK)
		return false;
	mlimg_put_le32(value, ACL_VERSION_XATTR);
	for (size_t at = 4; at < size; out += 8) {
		uint16_t tag;
		size_t length;

		if (size - at < 4)
			return false;
		tag = mlimg_get_le16(disk + at);
		length = tag == ACL_USER || tag == ACL_GROUP ? 8 : 4;
		if (size - at < length)
			return false;
		mlimg_put_le16(value + out, tag);
		mlimg_put_le16(value + out + 2, mlimg_get_le16(disk + at + 2));
		mlimg_put_le32(
			value + out + 4, length == 8 ? mlimg_get_le32(disk + at + 4) : 0xffffffffu);
		at += length;
	}
	*ret_size = out;
	return true;
}

/* Returns NULL, or what is wrong. */
static const char *add_xattr(
	struct mlimg_ext4_attrs *attrs, const uint8_t *entry, const uint8_t *value, size_t size)
{
	uint8_t name_length = entry[0], index = entry[1];
	const char *prefix = prefix_of(index);
	struct mlimg_xattr *x = &attrs->xattrs[attrs->n];
	size_t prefix_length;

	if (attrs->n == XATTRS_ROOM)
		return "there are too many";
	if (!prefix)
		return "a name has an unknown prefix";
	if (is_acl_index(index) ? name_length != 0 : name_length == 0)
		return "a name is not valid";
	if (memchr(entry + XATTR_ENTRY, '\0', name_length))
		return "a name is not valid";
	prefix_length = strlen(prefix);
	x->name = (char *)reserve(attrs, prefix_length + name_length + 1);
	/* Twice is what an ACL can grow to. */
	x->value = reserve(attrs, is_acl_index(index) ? 2 * size : size);
	if (!x->name || !x->value)
		return "there are too many";
	memcpy(x->name, prefix, prefix_length);
	memcpy(x->name + prefix_length, entry + XATTR_ENTRY, name_length);
	x->name[prefix_length + name_length] = '\0';
	x->size = size;
	if (!is_acl_index(index))
		memcpy(x->value, value, size);
	else if (!decode_acl(value, size, x->value, &x->size))
		return "an ACL is not valid";
	attrs->n++;
	return NULL;
}

/*
 * Entries begin at `start` of the area and end with four zero bytes; values lie at offsets from
 * `base` of it. Returns NULL, or what is wrong.
 */
static const char *parse_xattrs(
	struct mlimg_ext4_attrs *attrs, const uint8_t *area, size_t size, size_t start, size_t base)
{
	size_t at = start;

	for (;;) {
		size_t value_at, value_size, next;
		const uint8_t *entry = area + at;
		const char *wrong;

		if (size - at < 4)
			return "the list has no end";
		if (mlimg_get_le32(entry) == 0)
			return NULL;
		if (size - at < XATTR_ENTRY)
			return "an entry does not fit";
		next = at + ((XATTR_ENTRY + (size_t)entry[0] + 3) & ~(size_t)3);
		value_at = base + mlimg_get_le16(entry + 2);
		value_size = mlimg_get_le32(entry + 8);
		if (next > size || value_at > size || value_size > size - value_at)
			return "an entry does not fit";
		if (mlimg_get_le32(entry + 4) != 0)
			return "a value lies in an inode of its own";
		wrong = add_xattr(attrs, entry, area + value_at, value_size);
		if (wrong)
			return wrong;
		at = next;
	}
}

static int by_name(const void *a, const void *b)
{
	const struct mlimg_xattr *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int read_xattr_block(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode,
	struct mlimg_ext4_attrs *attrs, const char **ret_wrong, struct mlimg_err *err)
{
	struct ext2_ext_attr_header *header = (struct ext2_ext_attr_header *)attrs->block;
	int ret = ext4_read_blocks(fs, inode->xattr_block, 1, attrs->block, err);

	if (ret < 0)
		return ret;
	if (mlimg_get_le32(attrs->block) != EXT2_EXT_ATTR_MAGIC ||
		mlimg_get_le32(attrs->block + 8) != 1)
		*ret_wrong = "their block is damaged";
	else if (!ext2fs_ext_attr_block_csum_verify(
			 fs->ext2, inode->ino, inode->xattr_block, header))
		*ret_wrong = "the checksum of their block is wrong";
	else
		*ret_wrong =
			parse_xattrs(attrs, attrs->block, MLIMG_EXT4_BLOCK, XATTR_BLOCK_HEADER, 0);
	return 0;
}

int ext4_read_xattrs(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode,
	struct mlimg_ext4_attrs *attrs, struct mlimg_entry *entry, struct mlimg_err *err)
{
	const char *wrong = NULL;
	int ret = 0;

	attrs->n = attrs->used = 0;
	if (inode->inline_size >= 4 && mlimg_get_le32(inode->inline_xattrs) == EXT2_EXT_ATTR_MAGIC)
		wrong = parse_xattrs(attrs, inode->inline_xattrs, inode->inline_size, 4, 4);
	if (!wrong && inode->xattr_block)
		ret = read_xattr_block(fs, inode, attrs, &wrong, err);
	if (ret < 0)
		return ret;
	qsort(attrs->xattrs, attrs->n, sizeof(attrs->xattrs[0]), by_name);
	for (size_t i = 1; i < attrs->n && !wrong; i++)
		if (strcmp(attrs->xattrs[i - 1].name, attrs->xattrs[i].name) == 0)
			wrong = "a name is there twice";
	if (wrong)
		return ext4_refuse(fs, err, "inode %u: xattrs: %s", inode->ino, wrong);
	entry->xattrs = attrs->n ? attrs->xattrs : NULL;
	entry->n_xattrs = (uint32_t)attrs->n;
	return 0;
}

static int read_link(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode,
	struct mlimg_ext4_attrs *attrs, struct mlimg_err *err)
{
	char *next = attrs->link;
	int ret = 0;

	if (inode->size_bytes <= EXT4_FAST_LINK_MAX)
		memcpy(attrs->link, inode->block, inode->size_bytes);
	else
		ret = mlimg_ext4_read(fs, inode, mlimg_data_to_memory, &next, err);
	if (ret < 0)
		return ret;
	attrs->link[inode->size_bytes] = '\0';
	/* A hole in it has left NULs. */
	if (strlen(attrs->link) != inode->size_bytes)
		return ext4_refuse(
			fs, err, "inode %u: target of the symbolic link is damaged", inode->ino);
	return 0;
}

int mlimg_ext4_entry(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode,
	struct mlimg_ext4_attrs *attrs, struct mlimg_entry *ret_entry, struct mlimg_err *err)
{
	struct mlimg_entry entry = {
		.size_bytes = inode->type == MLIMG_FILE ? inode->size_bytes : 0,
		.mtime_s = inode->mtime_s,
		.mtime_ns = inode->mtime_ns,
		.uid = inode->uid,
		.gid = inode->gid,
		.dev_major = inode->dev_major,
		.dev_minor = inode->dev_minor,
		.nlink = 1,
		.mode = inode->mode,
		.type = inode->type,
	};
	int ret = ext4_read_xattrs(fs, inode, attrs, &entry, err);

	if (ret == 0 && inode->type == MLIMG_LINK) {
		ret = read_link(fs, inode, attrs, err);
		entry.link = attrs->link;
	}
	if (ret == 0)
		*ret_entry = entry;
	return ret;
}
