/* SPDX-License-Identifier: MIT */
/* An inode as an entry: link target and xattrs, inline and shared. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/erofs-read-impl.h"

/* More than one inode of ext4 can have, so than a layer can. */
#define XATTRS_ROOM 512
#define BYTES_ROOM 131072

struct erofs_attrs {
	char link[MLIMG_LINK_MAX + 1];
	struct mlimg_xattr xattrs[XATTRS_ROOM];
	uint8_t bytes[BYTES_ROOM];
	size_t n, used;
};

struct erofs_attrs *erofs_attrs_new(void)
{
	return malloc(sizeof(struct erofs_attrs));
}

/* The ACLs' names are whole without what follows. */
static const char *prefix_of(uint8_t index, bool *ret_is_whole)
{
	*ret_is_whole = index == EROFS_XATTR_ACL_ACCESS || index == EROFS_XATTR_ACL_DEFAULT;
	switch (index) {
	case EROFS_XATTR_USER: return "user.";
	case EROFS_XATTR_ACL_ACCESS: return "system.posix_acl_access";
	case EROFS_XATTR_ACL_DEFAULT: return "system.posix_acl_default";
	case EROFS_XATTR_TRUSTED: return "trusted.";
	case EROFS_XATTR_SECURITY: return "security.";
	}
	return NULL;
}

static uint8_t *reserve(struct erofs_attrs *attrs, size_t size)
{
	uint8_t *p = attrs->bytes + attrs->used;

	if (size > BYTES_ROOM - attrs->used)
		return NULL;
	attrs->used += size;
	return p;
}

static int bad_xattr(struct mlimg_erofs_image *image, const struct mlimg_erofs_inode *inode,
	const char *what, struct mlimg_err *err)
{
	return erofs_refuse(image, err, "inode %u: xattrs: %s", inode->nid, what);
}

/* The xattr at byte `at`, before `end`. */
static int read_xattr(struct mlimg_erofs_image *image, const struct mlimg_erofs_inode *inode,
	struct erofs_attrs *attrs, uint64_t at, uint64_t end, uint64_t *ret_next,
	struct mlimg_err *err)
{
	struct mlimg_xattr *x = &attrs->xattrs[attrs->n];
	struct erofs_xattr_entry raw;
	const char *prefix;
	size_t prefix_size, value_size;
	bool is_whole;
	int ret;

	if (end - at < sizeof(raw))
		return bad_xattr(image, inode, "one does not fit", err);
	ret = erofs_read_at(image, at, &raw, sizeof(raw), err);
	if (ret < 0)
		return ret;
	at += sizeof(raw);
	prefix = prefix_of(raw.e_name_index, &is_whole);
	value_size = le16toh(raw.e_value_size);
	if (!prefix || is_whole != (raw.e_name_len == 0))
		return bad_xattr(image, inode, "a name is not valid", err);
	if (raw.e_name_len + value_size > end - at)
		return bad_xattr(image, inode, "one does not fit", err);
	prefix_size = strlen(prefix);
	x->size = value_size;
	if (attrs->n == XATTRS_ROOM ||
		!(x->name = (char *)reserve(attrs, prefix_size + raw.e_name_len + 1)) ||
		!(x->value = reserve(attrs, value_size)))
		return bad_xattr(image, inode, "there are too many", err);
	memcpy(x->name, prefix, prefix_size);
	x->name[prefix_size + raw.e_name_len] = '\0';
	ret = erofs_read_at(image, at, x->name + prefix_size, raw.e_name_len, err);
	if (ret == 0)
		ret = erofs_read_at(image, at + raw.e_name_len, x->value, value_size, err);
	if (ret == 0 && strlen(x->name) != prefix_size + raw.e_name_len)
		return bad_xattr(image, inode, "a name is not valid", err);
	attrs->n++;
	*ret_next = (at + raw.e_name_len + value_size + 3) & ~(uint64_t)3;
	return ret;
}

static int by_name(const void *a, const void *b)
{
	const struct mlimg_xattr *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int read_xattrs(struct mlimg_erofs_image *image, const struct mlimg_erofs_inode *inode,
	struct erofs_attrs *attrs, struct mlimg_err *err)
{
	uint64_t at = inode->xattr_at, end = at + inode->xattr_size, next;
	struct erofs_xattr_header header;
	int ret = erofs_read_at(image, at, &header, sizeof(header), err);

	at += sizeof(header);
	if (ret == 0 && header.h_shared_count > (end - at) / sizeof(uint32_t))
		return bad_xattr(image, inode, "shared ones do not fit", err);
	for (unsigned i = 0; ret == 0 && i < header.h_shared_count; i++, at += sizeof(uint32_t)) {
		uint32_t id;

		ret = erofs_read_at(image, at, &id, sizeof(id), err);
		if (ret == 0 && image->xattrs_at + 4 * (uint64_t)le32toh(id) > image->size_bytes)
			ret = bad_xattr(image, inode, "a shared one lies outside the image", err);
		if (ret == 0)
			ret = read_xattr(image, inode, attrs,
				image->xattrs_at + 4 * (uint64_t)le32toh(id), image->size_bytes,
				&next, err);
	}
	for (; ret == 0 && at < end; at = next)
		ret = read_xattr(image, inode, attrs, at, end, &next, err);
	if (ret < 0)
		return ret;
	qsort(attrs->xattrs, attrs->n, sizeof(attrs->xattrs[0]), by_name);
	for (size_t i = 1; i < attrs->n; i++)
		if (strcmp(attrs->xattrs[i - 1].name, attrs->xattrs[i].name) == 0)
			return bad_xattr(image, inode, "one is there twice", err);
	return 0;
}

static int read_link(struct mlimg_erofs_image *image, const struct mlimg_erofs_inode *inode,
	struct erofs_attrs *attrs, struct mlimg_err *err)
{
	int ret = erofs_read_own(image, inode, 0, attrs->link, inode->size_bytes, err);

	if (ret == 0 && memchr(attrs->link, '\0', inode->size_bytes))
		return erofs_refuse(image, err, "inode %u: its target has a NUL", inode->nid);
	attrs->link[inode->size_bytes] = '\0';
	return ret;
}

int erofs_entry(struct mlimg_erofs_image *image, const struct mlimg_erofs_inode *inode,
	struct erofs_attrs *attrs, struct mlimg_entry *ret_entry, struct mlimg_err *err)
{
	int ret = 0;

	attrs->n = attrs->used = 0;
	if (inode->type == MLIMG_LINK)
		ret = read_link(image, inode, attrs, err);
	if (ret == 0 && inode->xattr_size)
		ret = read_xattrs(image, inode, attrs, err);
	if (ret < 0)
		return ret;
	*ret_entry = (struct mlimg_entry){
		.link = inode->type == MLIMG_LINK ? attrs->link : NULL,
		.xattrs = attrs->n ? attrs->xattrs : NULL,
		.n_xattrs = (uint32_t)attrs->n,
		.size_bytes = inode->type == MLIMG_FILE ? inode->size_bytes : 0,
		.mtime_s = inode->mtime_s,
		.mtime_ns = inode->mtime_ns,
		.uid = inode->uid,
		.gid = inode->gid,
		.dev_major = inode->dev_major,
		.dev_minor = inode->dev_minor,
		.mode = inode->mode,
		.type = inode->type,
	};
	return 0;
}
