/* SPDX-License-Identifier: MIT */
/* Turns a laid-out image into bytes, through a mapping of the file. */
#include "tools/erofs-internal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libmlimg/crc32c.h"

static void put_xattrs(const struct mlimg_erofs *image, const struct inode *inode, uint8_t *at)
{
	struct erofs_xattr_header *header = (void *)at;
	uint8_t *shared = at + sizeof(*header), *inline_at;
	unsigned n_shared = 0;

	for (uint32_t i = inode->first_xattr; i != NONE; i = image->refs.at[i].next) {
		const struct xattr *xattr = &image->xattrs.at[image->refs.at[i].id];
		uint32_t id = htole32(xattr->shared_id);

		if (xattr->refs > 1 && n_shared < UINT8_MAX)
			memcpy(shared + 4 * n_shared++, &id, sizeof(id));
	}
	header->h_shared_count = (uint8_t)n_shared;
	inline_at = shared + 4 * n_shared;
	n_shared = 0;
	for (uint32_t i = inode->first_xattr; i != NONE; i = image->refs.at[i].next) {
		const struct xattr *xattr = &image->xattrs.at[image->refs.at[i].id];

		if (xattr->refs > 1 && n_shared < UINT8_MAX) {
			n_shared++;
			continue;
		}
		memcpy(inline_at, image->xattr_bytes.at + xattr->off, xattr->size);
		inline_at += xattr->size;
	}
}

static uint8_t file_type(uint16_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return 1;
	case S_IFDIR: return 2;
	case S_IFCHR: return 3;
	case S_IFBLK: return 4;
	case S_IFIFO: return 5;
	case S_IFSOCK: return 6;
	case S_IFLNK: return 7;
	default: return 0;
	}
}

/* Fill one directory block, or the tail of one; `it` stands at its first entry and is moved on. */
static void put_dir_block(const struct mlimg_erofs *image, struct dir_iter *it, uint8_t *at)
{
	struct dir_iter count = *it;
	struct erofs_dirent *dirent = (void *)at;
	struct dir_entry entry;
	size_t n = 0, used = 0, name_at;

	for (; mlimg_erofs_dir_peek(&count, &entry); mlimg_erofs_dir_step(&count), n++) {
		used += sizeof(*dirent) + entry.size;
		if (used > EROFS_BLOCK_SIZE)
			break;
	}
	name_at = n * sizeof(*dirent);
	for (size_t i = 0; i < n; i++, dirent++) {
		mlimg_erofs_dir_peek(it, &entry);
		mlimg_erofs_dir_step(it);
		dirent->nid = htole64(image->inodes.at[entry.ino].nid);
		dirent->nameoff = htole16((uint16_t)name_at);
		dirent->file_type = file_type(image->inodes.at[entry.ino].mode);
		memcpy(at + name_at, entry.name, entry.size);
		name_at += entry.size;
	}
}

/*
 * Data that the image itself holds: whole blocks in the data area, the last part behind the inode
 * or in a block of its own.
 */
static void put_own_data(const struct mlimg_erofs *image, uint32_t ino, uint8_t *map, uint8_t *tail)
{
	const struct inode *inode = &image->inodes.at[ino];
	struct dir_iter it;

	mlimg_erofs_dir_begin(&it, image, ino);
	for (uint64_t done = 0, block = image->data_block + inode->block; done < inode->size_bytes;
		block++) {
		uint64_t size = inode->size_bytes - done;
		uint8_t *at = map + block * EROFS_BLOCK_SIZE;

		if (size >= EROFS_BLOCK_SIZE)
			size = EROFS_BLOCK_SIZE;
		else if (inode->has_tail)
			at = tail;
		if (S_ISDIR(inode->mode))
			put_dir_block(image, &it, at);
		else
			memcpy(at, image->data.at + inode->data_off + done, size);
		done += size;
	}
}

static uint32_t union_field(const struct mlimg_erofs *image, const struct inode *inode)
{
	if (mlimg_erofs_is_chunked(inode))
		return EROFS_CHUNK_INDEXES | inode->chunk_bits;
	if (S_ISDIR(inode->mode) || inode->has_data)
		return (uint32_t)(image->data_block + inode->block);
	if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode))
		return inode->rdev;
	return 0;
}

static uint16_t format_field(const struct inode *inode)
{
	unsigned layout = EROFS_LAYOUT_PLAIN;

	if (mlimg_erofs_is_chunked(inode))
		layout = EROFS_LAYOUT_CHUNKS;
	else if (inode->has_tail)
		layout = EROFS_LAYOUT_INLINE;
	return (uint16_t)(layout << EROFS_FORMAT_LAYOUT_SHIFT | !inode->is_compact);
}

static void put_inode(const struct mlimg_erofs *image, uint32_t ino, uint8_t *map)
{
	const struct inode *inode = &image->inodes.at[ino];
	uint8_t *base = map + (uint64_t)inode->nid * EROFS_SLOT_SIZE;
	uint8_t *behind = base + mlimg_erofs_isize(inode);
	uint16_t icount = inode->xattr_size
		? (uint16_t)(1 + (inode->xattr_size - sizeof(struct erofs_xattr_header)) / 4)
		: 0;

	if (inode->is_compact)
		*(struct erofs_inode_compact *)base =
			(struct erofs_inode_compact){.i_format = htole16(format_field(inode)),
				.i_xattr_icount = htole16(icount),
				.i_mode = htole16(inode->mode),
				.i_nlink = htole16((uint16_t)inode->nlink),
				.i_size = htole32((uint32_t)inode->size_bytes),
				.i_u = htole32(union_field(image, inode)),
				.i_ino = htole32(ino + 1),
				.i_uid = htole16((uint16_t)inode->uid),
				.i_gid = htole16((uint16_t)inode->gid)};
	else
		*(struct erofs_inode_extended *)base =
			(struct erofs_inode_extended){.i_format = htole16(format_field(inode)),
				.i_xattr_icount = htole16(icount),
				.i_mode = htole16(inode->mode),
				.i_size = htole64(inode->size_bytes),
				.i_u = htole32(union_field(image, inode)),
				.i_ino = htole32(ino + 1),
				.i_uid = htole32(inode->uid),
				.i_gid = htole32(inode->gid),
				.i_mtime = htole64((uint64_t)inode->mtime_s),
				.i_mtime_nsec = htole32(inode->mtime_ns),
				.i_nlink = htole32(inode->nlink)};
	if (inode->xattr_size)
		put_xattrs(image, inode, behind);
	behind += inode->xattr_size;
	if (mlimg_erofs_is_chunked(inode))
		mlimg_erofs_put_chunks(
			image, inode, base + (((uint64_t)(behind - base) + 7) & ~(uint64_t)7));
	else if (S_ISDIR(inode->mode) || inode->has_data)
		put_own_data(image, ino, map, behind);
}

static void put_shared_xattrs(const struct mlimg_erofs *image, uint8_t *map)
{
	uint8_t *at = map + image->xattr_block * EROFS_BLOCK_SIZE;

	for (size_t i = 0; i < image->xattrs.size; i++) {
		const struct xattr *xattr = &image->xattrs.at[i];

		if (xattr->refs > 1)
			memcpy(at + 4 * (uint64_t)xattr->shared_id,
				image->xattr_bytes.at + xattr->off, xattr->size);
	}
}

static void put_super(
	const struct mlimg_erofs *image, uint8_t *map, const uint8_t uuid[16], const char *label)
{
	struct erofs_super *sb = (void *)(map + EROFS_SB_OFFSET);
	bool has_table = image->devices.size && !image->is_joined;
	uint64_t slots = (EROFS_SB_OFFSET + sizeof(*sb)) / EROFS_DEVICE_SLOT_SIZE;
	struct erofs_device_slot *slot = (void *)(map + slots * EROFS_DEVICE_SLOT_SIZE);

	*sb = (struct erofs_super){.magic = htole32(EROFS_MAGIC),
		.feature_compat = htole32(EROFS_COMPAT_SB_CHKSUM | EROFS_COMPAT_MTIME),
		.blkszbits = EROFS_BLOCK_BITS,
		.root_nid = htole16((uint16_t)image->inodes.at[0].nid),
		.inos = htole64(image->inodes.size),
		.build_time = htole64((uint64_t)image->build_time_s),
		.build_time_nsec = htole32(image->build_time_ns),
		.blocks = htole32((uint32_t)image->n_disk_blocks),
		.xattr_blkaddr = htole32((uint32_t)image->xattr_block),
		.feature_incompat = htole32(EROFS_INCOMPAT_CHUNKED_FILE |
			(has_table ? EROFS_INCOMPAT_DEVICE_TABLE : 0)),
		.extra_devices = htole16((uint16_t)image->devices.size),
		.devt_slotoff = htole16(image->devices.size ? (uint16_t)slots : 0)};
	memcpy(sb->uuid, uuid, sizeof(sb->uuid));
	memcpy(sb->volume_name, label, strnlen(label, sizeof(sb->volume_name)));
	for (size_t i = 0; i < image->devices.size; i++, slot++) {
		memcpy(slot->tag, image->devices.at[i].tag, sizeof(slot->tag));
		memcpy(slot->places, image->devices.at[i].places, sizeof(slot->places));
		slot->blocks = htole32(image->devices.at[i].blocks);
		slot->mapped_blkaddr = htole32(image->devices.at[i].first_block);
		if (i == 0 && image->is_joined && image->has_tree)
			slot->own_blocks = htole32((uint32_t)image->n_blocks);
	}
	sb->checksum = htole32(
		mlimg_crc32c(~0u, map + EROFS_SB_OFFSET, EROFS_BLOCK_SIZE - EROFS_SB_OFFSET));
}

int mlimg_erofs_write(struct mlimg_erofs *image, int fd, const uint8_t uuid[16], const char *label,
	uint64_t *ret_bytes, struct mlimg_err *err)
{
	uint64_t size;
	uint8_t *map;
	int r = mlimg_erofs_layout(image, err);

	if (r < 0)
		return r;
	size = image->n_blocks * EROFS_BLOCK_SIZE;
	/*
	 * Room first: with a mapping, a full disk would be a signal in the middle instead of an
	 * error here.
	 */
	r = posix_fallocate(fd, 0, (off_t)size);
	if (r)
		return mlimg_err_set(
			err, r, "write an index of %llu bytes", (unsigned long long)size);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return mlimg_err_set(
			err, errno, "map an index of %llu bytes", (unsigned long long)size);
	for (uint32_t ino = 0; ino < image->inodes.size; ino++)
		put_inode(image, ino, map);
	put_shared_xattrs(image, map);
	put_super(
		image, map, uuid, label); /* last: its checksum covers inodes that share block 0 */
	munmap(map, size);
	if (ret_bytes)
		*ret_bytes = size;
	return 0;
}
