/* SPDX-License-Identifier: MIT */
#include "tools/source-tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/le.h"

/* Tags of an ACL's entries and its version, from linux/posix_acl.h and posix_acl_xattr.h. */
enum acl_tag {
	ACL_USER_OBJ = 0x01,
	ACL_USER = 0x02,
	ACL_GROUP_OBJ = 0x04,
	ACL_GROUP = 0x08,
	ACL_MASK = 0x10,
	ACL_OTHER = 0x20,
};
#define ACL_VERSION 2
#define ACL_NO_ID UINT32_MAX
#define ACL_ENTRY_SIZE 8

struct acl_entry {
	uint16_t tag, perm;
	uint32_t id;
};

static int set_type(struct mlimg_entry *e, struct archive_entry *from, struct mlimg_err *err)
{
	switch (archive_entry_filetype(from)) {
	case AE_IFREG: e->type = MLIMG_FILE; return 0;
	case AE_IFDIR: e->type = MLIMG_DIR; return 0;
	case AE_IFIFO: e->type = MLIMG_FIFO; return 0;
	case AE_IFSOCK: e->type = MLIMG_SOCKET; return 0;
	case AE_IFLNK:
		e->type = MLIMG_LINK;
		e->mode = 0777; /* what Linux gives every link, whatever the archive says */
		e->link = (char *)archive_entry_symlink(from);
		return 0;
	case AE_IFCHR:
	case AE_IFBLK:
		e->type = archive_entry_filetype(from) == AE_IFCHR ? MLIMG_CHAR : MLIMG_BLOCK;
		e->dev_major = (uint32_t)archive_entry_rdevmajor(from);
		e->dev_minor = (uint32_t)archive_entry_rdevminor(from);
		return 0;
	default: return mlimg_err_refuse(err, "'%s': an entry of unknown type", e->path);
	}
}

static int set_owner(struct mlimg_entry *e, struct archive_entry *from, struct mlimg_err *err)
{
	int64_t uid = archive_entry_uid(from), gid = archive_entry_gid(from);

	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return mlimg_err_refuse(
			err, "'%s': its owner or group is no valid number", e->path);
	e->uid = (uint32_t)uid;
	e->gid = (uint32_t)gid;
	return 0;
}

static int reserve_xattrs(struct mlimg_tar_entry *te, size_t n, struct mlimg_err *err)
{
	struct mlimg_xattr *more;

	if (n <= te->xattrs_room)
		return 0;
	more = realloc(te->xattrs, n * sizeof(*more));
	if (!more)
		return mlimg_err_set(err, ENOMEM, "'%s'", te->entry.path);
	te->xattrs = more;
	te->xattrs_room = n;
	return 0;
}

static bool has_xattr(const struct mlimg_tar_entry *te, const char *name)
{
	for (uint32_t i = 0; i < te->entry.n_xattrs; i++)
		if (strcmp(te->xattrs[i].name, name) == 0)
			return true;
	return false;
}

/* The first to come counts: archives carry the same xattr in several forms. */
static void add_xattr(struct mlimg_tar_entry *te, const char *name, const void *value, size_t size)
{
	struct mlimg_entry *e = &te->entry;

	if (has_xattr(te, name))
		return;
	te->xattrs[e->n_xattrs++] =
		(struct mlimg_xattr){.name = (char *)name, .value = (uint8_t *)value, .size = size};
}

static uint16_t acl_tag(int tag)
{
	switch (tag) {
	case ARCHIVE_ENTRY_ACL_USER_OBJ: return ACL_USER_OBJ;
	case ARCHIVE_ENTRY_ACL_USER: return ACL_USER;
	case ARCHIVE_ENTRY_ACL_GROUP_OBJ: return ACL_GROUP_OBJ;
	case ARCHIVE_ENTRY_ACL_GROUP: return ACL_GROUP;
	case ARCHIVE_ENTRY_ACL_MASK: return ACL_MASK;
	case ARCHIVE_ENTRY_ACL_OTHER: return ACL_OTHER;
	default: return 0;
	}
}

static uint16_t acl_perm(int permset)
{
	return (uint16_t)((permset & ARCHIVE_ENTRY_ACL_READ ? 4 : 0) |
		(permset & ARCHIVE_ENTRY_ACL_WRITE ? 2 : 0) |
		(permset & ARCHIVE_ENTRY_ACL_EXECUTE ? 1 : 0));
}

/* The kernel wants them by tag, and users and groups by number. */
static int acl_cmp(const void *a, const void *b)
{
	const struct acl_entry *x = a, *y = b;

	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* struct posix_acl_xattr_header and its entries. */
static uint8_t *pack_acl(const struct acl_entry *entries, int n)
{
	uint8_t *value = malloc(MLIMG_ACL_SIZE(n)), *at = value;

	if (!value)
		return NULL;
	mlimg_put_le32(at, ACL_VERSION);
	at += 4;
	for (int i = 0; i < n; i++, at += ACL_ENTRY_SIZE) {
		mlimg_put_le16(at, entries[i].tag);
		mlimg_put_le16(at + 2, entries[i].perm);
		mlimg_put_le32(at + 4, entries[i].id);
	}
	return value;
}

static int get_acl_entries(struct archive_entry *from, int type, const char *path,
	struct acl_entry *entries, int n, struct mlimg_err *err)
{
	int entry_type, permset, tag, id, count = 0;
	const char *name;

	while (count < n &&
		archive_entry_acl_next(from, type, &entry_type, &permset, &tag, &id, &name) ==
			ARCHIVE_OK) {
		struct acl_entry *a = &entries[count++];

		*a = (struct acl_entry){
			.tag = acl_tag(tag), .perm = acl_perm(permset), .id = ACL_NO_ID};
		if (a->tag == ACL_USER || a->tag == ACL_GROUP) {
			if (id < 0)
				return mlimg_err_refuse(err,
					"'%s': its ACL names '%s' without a number; tar's "
					"--xattrs-include='*' keeps numbers",
					path, name ? name : "");
			a->id = (uint32_t)id;
		}
	}
	return count;
}

/* An ACL in libarchive's form as an xattr. One that only repeats the mode has three entries. */
static int add_acl(struct mlimg_tar_entry *te, struct archive_entry *from, int type,
	const char *name, uint8_t **value, struct mlimg_err *err)
{
	int n = archive_entry_acl_reset(from, type), count;
	struct acl_entry *entries;

	if (n == 0 || (type == ARCHIVE_ENTRY_ACL_TYPE_ACCESS && n <= 3) || has_xattr(te, name))
		return 0;
	entries = calloc((size_t)n, sizeof(*entries));
	if (!entries)
		return mlimg_err_set(err, ENOMEM, "'%s'", te->entry.path);
	count = get_acl_entries(from, type, te->entry.path, entries, n, err);
	free(*value);
	*value = NULL;
	if (count >= 0) {
		qsort(entries, (size_t)count, sizeof(*entries), acl_cmp);
		*value = pack_acl(entries, count);
	}
	free(entries);
	if (count < 0)
		return count;
	if (!*value)
		return mlimg_err_set(err, ENOMEM, "'%s'", te->entry.path);
	add_xattr(te, name, *value, MLIMG_ACL_SIZE(count));
	return 0;
}

static int xattr_cmp(const void *a, const void *b)
{
	return strcmp(((const struct mlimg_xattr *)a)->name, ((const struct mlimg_xattr *)b)->name);
}

/*
 * The mode that goes with an access ACL: its group bits are the mask. libarchive puts what the
 * owning group may do there.
 */
static void set_mode_of_acl(struct mlimg_entry *e, const struct mlimg_xattr *acl)
{
	uint16_t mode = e->mode & 07000, group = 0;

	if (acl->size % ACL_ENTRY_SIZE != 4) /* refused later */
		return;
	for (size_t at = 4; at < acl->size; at += ACL_ENTRY_SIZE) {
		uint16_t perm = acl->value[at + 2] & 7;

		switch (acl->value[at]) {
		case ACL_USER_OBJ: mode |= (uint16_t)(perm << 6); break;
		case ACL_GROUP_OBJ:
		case ACL_MASK: group = perm; break; /* the mask comes later */
		case ACL_OTHER: mode |= perm; break;
		default: break;
		}
	}
	e->mode = (uint16_t)(mode | group << 3);
}

static int set_xattrs(struct mlimg_tar_entry *te, struct archive_entry *from, struct mlimg_err *err)
{
	int n = archive_entry_xattr_reset(from);
	const char *name;
	const void *value;
	size_t size;
	int r;

	if (n > MLIMG_XATTRS_MAX)
		return mlimg_err_refuse(
			err, "'%s': more than %d xattrs", te->entry.path, MLIMG_XATTRS_MAX);
	r = reserve_xattrs(te, (size_t)n + 2, err);
	if (r < 0)
		return r;
	while (archive_entry_xattr_next(from, &name, &value, &size) == ARCHIVE_OK)
		add_xattr(te, name, value, size);
	r = add_acl(te, from, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, "system.posix_acl_access",
		&te->acls[0], err);
	if (r == 0)
		r = add_acl(te, from, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, "system.posix_acl_default",
			&te->acls[1], err);
	te->entry.xattrs = te->xattrs;
	for (uint32_t i = 0; i < te->entry.n_xattrs; i++)
		if (strcmp(te->xattrs[i].name, "system.posix_acl_access") == 0)
			set_mode_of_acl(&te->entry, &te->xattrs[i]);
	qsort(te->xattrs, te->entry.n_xattrs, sizeof(*te->xattrs), xattr_cmp);
	return r;
}

int mlimg_tar_entry_fill(struct mlimg_tar_entry *te, struct archive_entry *from, const char *path,
	struct mlimg_err *err)
{
	struct mlimg_entry *e = &te->entry;
	int r;

	*e = (struct mlimg_entry){
		.path = (char *)path,
		.mtime_s = archive_entry_mtime(from),
		.mtime_ns = (uint32_t)archive_entry_mtime_nsec(from),
		.mode = archive_entry_perm(from) & 07777,
		.nlink = 1,
	};
	r = set_type(e, from, err);
	if (r == 0 && e->type == MLIMG_FILE && archive_entry_size(from) > 0)
		e->size_bytes = (uint64_t)archive_entry_size(from);
	if (r == 0)
		r = set_owner(e, from, err);
	return r < 0 ? r : set_xattrs(te, from, err);
}

void mlimg_tar_entry_done(struct mlimg_tar_entry *te)
{
	free(te->xattrs);
	free(te->acls[0]);
	free(te->acls[1]);
}
