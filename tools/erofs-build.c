/* SPDX-License-Identifier: MIT */
/*
 * What the caller adds: inodes, names, extents, xattrs. Checked here, so that layout and writing
 * need not.
 */
#include "tools/erofs-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INODES_MAX (1u << 24)
#define NAMES_MAX (1u << 25)
#define DATA_MAX (64u << 20)

void *mlimg_erofs_grow(void *vec, size_t elem_size)
{
	VEC(char) *v = vec;

	if (v->size == v->room) {
		size_t room = v->room ? v->room + v->room / 2 : 64;
		char *at = reallocarray(v->at, room, elem_size);

		if (!at)
			return NULL;
		v->at = at;
		v->room = room;
	}
	return memset(v->at + elem_size * v->size++, 0, elem_size);
}

/* Append to a pool of bytes. Its offset is the address: pools move when they grow. */
static int append(struct bytes *pool, const void *data, size_t size, uint64_t *ret_off)
{
	if (pool->room - pool->size < size) {
		size_t room = pool->room + pool->room / 2 + size + 4096;
		char *at = realloc(pool->at, room);

		if (!at)
			return -ENOMEM;
		pool->at = at;
		pool->room = room;
	}
	if (size)
		memcpy(pool->at + pool->size, data, size);
	*ret_off = pool->size;
	pool->size += size;
	return 0;
}

int mlimg_erofs_new(struct mlimg_erofs **ret_image, struct mlimg_err *err)
{
	struct mlimg_erofs *image = calloc(1, sizeof(*image));

	if (!image)
		return mlimg_err_set(err, ENOMEM, "index");
	*ret_image = image;
	return 0;
}

void mlimg_erofs_free(struct mlimg_erofs *image)
{
	if (!image)
		return;
	free(image->inodes.at);
	free(image->extents.at);
	free(image->names.at);
	free(image->refs.at);
	free(image->xattrs.at);
	free(image->devices.at);
	free(image->text.at);
	free(image->data.at);
	free(image->xattr_bytes.at);
	free(image->xattr_table);
	free(image);
}

int mlimg_erofs_add_device(struct mlimg_erofs *image, const char *tag,
	const uint8_t places[MLIMG_PLACES_SIZE], uint64_t blocks, struct mlimg_err *err)
{
	size_t tag_size = strlen(tag);
	struct device *device;

	if (tag_size > sizeof(device->tag))
		return mlimg_err_set(err, EINVAL, "device tag of %zu bytes", tag_size);
	if (blocks >= EROFS_NULL_ADDR)
		return mlimg_err_set(
			err, EOVERFLOW, "device of %llu blocks", (unsigned long long)blocks);
	if (image->devices.size == UINT16_MAX - 1)
		return mlimg_err_set(err, E2BIG, "more than %u devices", UINT16_MAX - 1);
	device = mlimg_erofs_grow(&image->devices, sizeof(*device));
	if (!device)
		return mlimg_err_set(err, ENOMEM, "device");
	memcpy(device->tag, tag, tag_size);
	memcpy(device->places, places, sizeof(device->places));
	device->blocks = (uint32_t)blocks;
	return (int)image->devices.size;
}

int mlimg_erofs_join(struct mlimg_erofs *image, const uint64_t *rooms, struct mlimg_err *err)
{
	for (size_t i = 0; i < image->devices.size; i++) {
		if (rooms[i] < image->devices.at[i].blocks)
			return mlimg_err_set(err, EINVAL, "room of device %zu", i + 1);
		image->devices.at[i].room = rooms[i];
	}
	image->is_joined = true;
	return 0;
}

void mlimg_erofs_leave_room(struct mlimg_erofs *image)
{
	image->has_tree = true;
}

/*
 * As the kernel's new_encode_dev(): 8 bits of the minor, 12 of the major, the other 12 of the
 * minor.
 */
static uint32_t encode_dev(uint32_t major, uint32_t minor)
{
	return (minor & 0xff) | (major << 8) | ((minor & ~0xffu) << 12);
}

int mlimg_erofs_add_inode(struct mlimg_erofs *image, const struct mlimg_erofs_attr *attr,
	uint32_t *ret_ino, struct mlimg_err *err)
{
	struct inode *inode;

	if (image->inodes.size == INODES_MAX)
		return mlimg_err_refuse(
			err, "is the %uth inode, which is one too many", INODES_MAX + 1);
	if (attr->dev_major > 0xfff || attr->dev_minor > 0xfffff)
		return mlimg_err_refuse(
			err, "has the device number %u:%u", attr->dev_major, attr->dev_minor);
	inode = mlimg_erofs_grow(&image->inodes, sizeof(*inode));
	if (!inode)
		return mlimg_err_set(err, ENOMEM, "inode");
	inode->mode = (uint16_t)attr->mode;
	inode->uid = attr->uid;
	inode->gid = attr->gid;
	inode->nlink = S_ISDIR(attr->mode) ? 2 : attr->nlink;
	inode->size_bytes = S_ISREG(attr->mode) ? attr->size_bytes : 0;
	inode->mtime_s = attr->mtime_s;
	inode->mtime_ns = attr->mtime_ns;
	inode->rdev = encode_dev(attr->dev_major, attr->dev_minor);
	inode->first_extent = inode->last_extent = inode->first_xattr = NONE;
	inode->parent = NONE;
	*ret_ino = (uint32_t)image->inodes.size - 1;
	return 0;
}

static const struct {
	const char *prefix;
	uint8_t index;
	bool is_whole; /* the prefix is the whole name */
} xattr_prefixes[] = {
	{"user.", EROFS_XATTR_USER, false},
	{"trusted.", EROFS_XATTR_TRUSTED, false},
	{"security.", EROFS_XATTR_SECURITY, false},
	{"system.posix_acl_access", EROFS_XATTR_ACL_ACCESS, true},
	{"system.posix_acl_default", EROFS_XATTR_ACL_DEFAULT, true},
};

static const char *split_xattr_name(const char *name, uint8_t *ret_index)
{
	for (size_t i = 0; i < sizeof(xattr_prefixes) / sizeof(xattr_prefixes[0]); i++) {
		size_t n = strlen(xattr_prefixes[i].prefix);

		if (strncmp(name, xattr_prefixes[i].prefix, n) ||
			(name[n] != '\0') == xattr_prefixes[i].is_whole)
			continue;
		*ret_index = xattr_prefixes[i].index;
		return name + n;
	}
	return NULL;
}

/* FNV-1a (Fowler, Noll, Vo), 32 bits. */
static uint32_t hash_bytes(const char *data, size_t size)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (uint8_t)data[i]) * 16777619u;
	return hash;
}

static int grow_xattr_table(struct mlimg_erofs *image)
{
	size_t size = image->xattr_table_size ? image->xattr_table_size * 2 : 256;
	uint32_t *table = malloc(size * sizeof(*table));

	if (!table)
		return -ENOMEM;
	memset(table, 0xff, size * sizeof(*table));
	for (uint32_t id = 0; id < image->xattrs.size; id++) {
		size_t slot = image->xattrs.at[id].hash & (size - 1);

		while (table[slot] != NONE)
			slot = (slot + 1) & (size - 1);
		table[slot] = id;
	}
	free(image->xattr_table);
	image->xattr_table = table;
	image->xattr_table_size = size;
	return 0;
}

/* The entry at the end of xattr_bytes is looked up; if it is known, it is taken off again. */
static int intern_last(struct mlimg_erofs *image, uint64_t off, uint32_t size, uint32_t *ret_id)
{
	const char *bytes = image->xattr_bytes.at + off;
	uint32_t hash = hash_bytes(bytes, size);
	struct xattr *xattr;
	size_t slot;

	if (image->xattrs.size * 2 >= image->xattr_table_size && grow_xattr_table(image) < 0)
		return -ENOMEM;
	slot = hash & (image->xattr_table_size - 1);
	for (; image->xattr_table[slot] != NONE;
		slot = (slot + 1) & (image->xattr_table_size - 1)) {
		xattr = &image->xattrs.at[image->xattr_table[slot]];
		if (xattr->hash == hash && xattr->size == size &&
			!memcmp(image->xattr_bytes.at + xattr->off, bytes, size)) {
			image->xattr_bytes.size = off;
			xattr->refs++;
			*ret_id = image->xattr_table[slot];
			return 0;
		}
	}
	xattr = mlimg_erofs_grow(&image->xattrs, sizeof(*xattr));
	if (!xattr)
		return -ENOMEM;
	*xattr = (struct xattr){.off = off, .size = size, .refs = 1, .hash = hash};
	*ret_id = image->xattr_table[slot] = (uint32_t)image->xattrs.size - 1;
	return 0;
}

int mlimg_erofs_add_xattr(struct mlimg_erofs *image, uint32_t ino, const char *name,
	const void *value, size_t size, struct mlimg_err *err)
{
	static const char zeros[4];
	struct erofs_xattr_entry head = {0};
	struct xattr_ref *ref;
	const char *suffix = split_xattr_name(name, &head.e_name_index);
	size_t suffix_size, whole;
	uint64_t off, unused;
	uint32_t id;

	if (!suffix)
		return mlimg_err_refuse(
			err, "has the xattr %s, for which EROFS has no place", name);
	suffix_size = strlen(suffix);
	if (suffix_size > UINT8_MAX || size > UINT16_MAX)
		return mlimg_err_refuse(err, "has the xattr %s of %zu bytes: EROFS takes %u", name,
			size, UINT16_MAX);
	head.e_name_len = (uint8_t)suffix_size;
	head.e_value_size = (uint16_t)size;
	whole = (sizeof(head) + suffix_size + size + 3) & ~(size_t)3;
	if (append(&image->xattr_bytes, &head, sizeof(head), &off) < 0 ||
		append(&image->xattr_bytes, suffix, suffix_size, &unused) < 0 ||
		append(&image->xattr_bytes, value, size, &unused) < 0 ||
		append(&image->xattr_bytes, zeros, whole - sizeof(head) - suffix_size - size,
			&unused) < 0 ||
		intern_last(image, off, (uint32_t)whole, &id) < 0)
		return mlimg_err_set(err, ENOMEM, "xattr");
	ref = mlimg_erofs_grow(&image->refs, sizeof(*ref));
	if (!ref)
		return mlimg_err_set(err, ENOMEM, "xattr");
	ref->id = id;
	ref->next = image->inodes.at[ino].first_xattr;
	image->inodes.at[ino].first_xattr = (uint32_t)image->refs.size - 1;
	return 0;
}

/* Whether the blocks go on where the extent ends, in the file and on the device. */
static bool continues(const struct extent *e, uint64_t file_block, int device, uint64_t dev_block)
{
	return e->device == device && e->file_block + e->n_blocks == file_block &&
		(uint64_t)e->dev_block + e->n_blocks == dev_block;
}

int mlimg_erofs_add_extent(struct mlimg_erofs *image, uint32_t ino, uint64_t file_block,
	uint64_t n_blocks, int device, uint64_t dev_block, struct mlimg_err *err)
{
	struct inode *inode = &image->inodes.at[ino];
	struct extent *e, *last;

	if (!S_ISREG(inode->mode) || inode->has_data || !n_blocks || device < 1 ||
		(size_t)device > image->devices.size)
		return mlimg_err_set(err, EINVAL, "extent");
	if (dev_block >= EROFS_NULL_ADDR || n_blocks > EROFS_NULL_ADDR - dev_block ||
		file_block > UINT64_MAX - n_blocks)
		return mlimg_err_set(
			err, EOVERFLOW, "extent at block %llu", (unsigned long long)dev_block);
	last = inode->last_extent == NONE ? NULL : &image->extents.at[inode->last_extent];
	if (last && last->file_block + last->n_blocks > file_block)
		return mlimg_err_set(err, EINVAL, "extents overlap");
	if (last && continues(last, file_block, device, dev_block) &&
		last->n_blocks <= UINT32_MAX - n_blocks) {
		last->n_blocks += (uint32_t)n_blocks;
		return 0;
	}
	e = mlimg_erofs_grow(&image->extents, sizeof(*e));
	if (!e)
		return mlimg_err_set(err, ENOMEM, "extent");
	*e = (struct extent){.file_block = file_block,
		.n_blocks = (uint32_t)n_blocks,
		.dev_block = (uint32_t)dev_block,
		.next = NONE,
		.device = (uint16_t)device};
	if (inode->last_extent == NONE)
		inode->first_extent = (uint32_t)image->extents.size - 1;
	else
		image->extents.at[inode->last_extent].next = (uint32_t)image->extents.size - 1;
	inode->last_extent = (uint32_t)image->extents.size - 1;
	return 0;
}

int mlimg_erofs_set_data(struct mlimg_erofs *image, uint32_t ino, const void *data, size_t size,
	struct mlimg_err *err)
{
	struct inode *inode = &image->inodes.at[ino];

	if (S_ISLNK(inode->mode) ? (!size || size > 4095)
				 : (!S_ISREG(inode->mode) || size > DATA_MAX))
		return mlimg_err_set(err, EINVAL, "data of %zu bytes", size);
	if (inode->has_data || inode->first_extent != NONE)
		return mlimg_err_set(err, EINVAL, "data of one inode given twice");
	if (append(&image->data, data, size, &inode->data_off) < 0)
		return mlimg_err_set(err, ENOMEM, "data");
	inode->has_data = true;
	inode->size_bytes = size;
	return 0;
}

static bool name_is_valid(const char *name, size_t size)
{
	if (!size || size > EROFS_NAME_MAX || memchr(name, '/', size) || memchr(name, '\0', size))
		return false;
	return !(size == 1 && name[0] == '.') && !(size == 2 && name[0] == '.' && name[1] == '.');
}

int mlimg_erofs_add_name(struct mlimg_erofs *image, uint32_t dir, const char *name,
	size_t name_size, uint32_t ino, struct mlimg_err *err)
{
	struct inode *inodes = image->inodes.at;
	struct name *entry;
	uint64_t off;

	if (!name_is_valid(name, name_size) || !S_ISDIR(inodes[dir].mode) || ino == 0)
		return mlimg_err_set(err, EINVAL, "name '%.*s'", (int)name_size, name);
	if (S_ISDIR(inodes[ino].mode) && inodes[ino].parent != NONE)
		return mlimg_err_set(
			err, EINVAL, "a second name '%.*s' of a directory", (int)name_size, name);
	if (image->names.size == NAMES_MAX)
		return mlimg_err_refuse(
			err, "is the %uth name, which is one too many", NAMES_MAX + 1);
	entry = mlimg_erofs_grow(&image->names, sizeof(*entry));
	if (!entry || append(&image->text, name, name_size, &off) < 0)
		return mlimg_err_set(err, ENOMEM, "name");
	*entry = (struct name){.dir = dir, .ino = ino, .at = off << 8 | name_size};
	if (S_ISDIR(inodes[ino].mode)) {
		inodes[ino].parent = dir;
		inodes[dir].nlink++;
	}
	return 0;
}
