/* SPDX-License-Identifier: MIT */
/* Inodes, and the extent trees that hang off them. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tools/ext4-read-impl.h"

#define FIXED_SIZE 128     /* of an inode; i_extra_isize counts from here */
#define EXTENT_DEPTH_MAX 5 /* ext4_extents.h: EXT4_MAX_EXTENT_DEPTH */
#define EXTENT_HEADER 12
#define EXTENT_SIZE 12
#define NODE_MAX ((MLIMG_EXT4_BLOCK - EXTENT_HEADER) / EXTENT_SIZE)
#define LENGTH_MAX \
	32768u /* blocks of a written extent; above it the rest is the length of an unwritten one */
#define LOGICAL_END (1ull << 32)
#define NO_ID 0xffffffffu

static const uint32_t refused_flags =
	EXT4_INLINE_DATA_FL | EXT4_ENCRYPT_FL | EXT4_EA_INODE_FL | EXT4_CASEFOLD_FL;

/*
 * Device numbers: i_block[0] holds the 16-bit form; where it is 0, i_block[1] holds the 32-bit one.
 */
static void decode_device(struct mlimg_ext4_inode *inode)
{
	uint32_t old = mlimg_get_le32(inode->block), new = mlimg_get_le32(inode->block + 4);

	if (inode->type != MLIMG_CHAR && inode->type != MLIMG_BLOCK)
		return;
	if (old) {
		inode->dev_major = old >> 8 & 0xff;
		inode->dev_minor = old & 0xff;
	} else {
		inode->dev_major = new >> 8 & 0xfff;
		inode->dev_minor = (new & 0xff) | (new >> 12 & 0xfff00);
	}
}

/* Kernel's ext4_decode_extra_time(): two more bits of seconds, then the nanoseconds. */
static void decode_mtime(
	struct mlimg_ext4_inode *inode, const struct ext2_inode_large *raw, size_t inode_size)
{
	inode->mtime_s = (int32_t)raw->i_mtime;
	if (inode_size <= FIXED_SIZE ||
		raw->i_extra_isize + (size_t)FIXED_SIZE <
			offsetof(struct ext2_inode_large, i_mtime_extra) + 4)
		return;
	inode->mtime_s += (int64_t)(raw->i_mtime_extra & EXT4_EPOCH_MASK) << 32;
	inode->mtime_ns = raw->i_mtime_extra >> EXT4_EPOCH_BITS;
}

static int decode_extra(const struct mlimg_ext4 *fs, struct mlimg_ext4_inode *inode,
	const struct ext2_inode_large *raw, size_t inode_size, struct mlimg_err *err)
{
	size_t start;

	if (inode_size == FIXED_SIZE)
		return 0;
	start = FIXED_SIZE + (size_t)raw->i_extra_isize;
	if (start > inode_size || start % 4 != 0)
		return ext4_refuse(
			fs, err, "inode %u: extra size %u", inode->ino, raw->i_extra_isize);
	inode->inline_size = (uint16_t)(inode_size - start);
	memcpy(inode->inline_xattrs, (const uint8_t *)raw + start, inode->inline_size);
	return 0;
}

static int check_inode(
	const struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode, struct mlimg_err *err)
{
	if (!inode->type)
		return ext4_refuse(fs, err, "inode %u has no type", inode->ino);
	if (inode->nlink == 0)
		return ext4_refuse(fs, err, "inode %u is deleted", inode->ino);
	if (inode->flags & refused_flags)
		return ext4_refuse(fs, err, "inode %u: flags 0x%x are not understood", inode->ino,
			inode->flags & refused_flags);
	if (inode->uid == NO_ID || inode->gid == NO_ID || inode->mtime_ns > 999999999)
		return ext4_refuse(fs, err, "inode %u: owner or time is out of range", inode->ino);
	if (inode->size_bytes > LOGICAL_END * MLIMG_EXT4_BLOCK)
		return ext4_refuse(fs, err, "inode %u: size is out of range", inode->ino);
	if (inode->type == MLIMG_LINK &&
		(inode->size_bytes == 0 || inode->size_bytes > MLIMG_LINK_MAX))
		return ext4_refuse(fs, err, "inode %u: symbolic link of %llu bytes", inode->ino,
			(unsigned long long)inode->size_bytes);
	return 0;
}

static int decode_inode(const struct mlimg_ext4 *fs, struct mlimg_ext4_inode *inode,
	const struct ext2_inode_large *raw, struct mlimg_err *err)
{
	size_t inode_size = EXT2_INODE_SIZE(fs->ext2->super);
	int ret;

	inode->nlink = raw->i_links_count;
	inode->flags = raw->i_flags;
	inode->uid = raw->i_uid | (uint32_t)raw->osd2.linux2.l_i_uid_high << 16;
	inode->gid = raw->i_gid | (uint32_t)raw->osd2.linux2.l_i_gid_high << 16;
	inode->xattr_block = raw->i_file_acl | (uint64_t)raw->osd2.linux2.l_i_file_acl_high << 32;
	inode->mode = raw->i_mode & 07777;
	inode->type = mlimg_type_of_mode(raw->i_mode);
	inode->size_bytes = raw->i_size | (uint64_t)raw->i_size_high << 32;
	memcpy(inode->block, raw->i_block, sizeof(inode->block));
	decode_device(inode);
	decode_mtime(inode, raw, inode_size);
	ret = decode_extra(fs, inode, raw, inode_size, err);
	return ret < 0 ? ret : check_inode(fs, inode, err);
}

int mlimg_ext4_inode_read(struct mlimg_ext4 *fs, uint32_t ino, struct mlimg_ext4_inode *ret_inode,
	struct mlimg_err *err)
{
	union {
		struct ext2_inode small;
		struct ext2_inode_large large;
		uint8_t bytes[MLIMG_EXT4_INODE_MAX];
	} raw;
	errcode_t code;

	if (ino > fs->super.n_inodes ||
		(ino < EXT2_FIRST_INODE(fs->ext2->super) && ino != MLIMG_EXT4_ROOT_INO))
		return ext4_refuse(fs, err, "inode number %u is out of range", ino);
	code = ext2fs_read_inode_full(fs->ext2, ino, &raw.small, EXT2_INODE_SIZE(fs->ext2->super));
	if (code)
		return ext4_refuse_code(fs, err, code, "inode %u", ino);
	/* The buffer for xattrs is large; only what is used of it gets written. */
	memset(ret_inode, 0, offsetof(struct mlimg_ext4_inode, inline_xattrs));
	ret_inode->ino = ino;
	return decode_inode(fs, ret_inode, &raw.large, err);
}

/* An extent tree on its way into a list. */
struct extent_walk {
	struct mlimg_ext4 *fs;
	const struct mlimg_ext4_inode *inode;
	struct mlimg_ext4_extent *list;
	size_t n, room;
	struct ext4_nodes *nodes; /* or NULL */
	uint64_t
		next_logical; /* the least that the next extent may begin with: so no block is visited twice */
	struct mlimg_err *err;
};

static int add_extent(struct extent_walk *w, const uint8_t *raw, uint64_t logical_end)
{
	uint32_t length = mlimg_get_le16(raw + 4);
	struct mlimg_ext4_extent e = {
		.logical = mlimg_get_le32(raw),
		.physical = mlimg_get_le32(raw + 8) | (uint64_t)mlimg_get_le16(raw + 6) << 32,
		.n_blocks = length > LENGTH_MAX ? length - LENGTH_MAX : length,
		.is_unwritten = length > LENGTH_MAX,
	};

	if (e.n_blocks == 0 || e.logical < w->next_logical || e.logical + e.n_blocks > logical_end)
		return ext4_refuse(w->fs, w->err, "inode %u: extent at block %llu is out of order",
			w->inode->ino, (unsigned long long)e.logical);
	if (e.physical == 0 || e.physical >= w->fs->super.n_blocks ||
		e.n_blocks > w->fs->super.n_blocks - e.physical)
		return ext4_refuse(w->fs, w->err,
			"inode %u: extent at block %llu lies outside the image", w->inode->ino,
			(unsigned long long)e.logical);
	if (w->n == w->room) {
		size_t room = w->room ? 2 * w->room : 4;
		void *list = realloc(w->list, room * sizeof(*w->list));

		if (!list)
			return ext4_fail(w->fs, w->err, ENOMEM, "inode %u: extents", w->inode->ino);
		w->list = list;
		w->room = room;
	}
	w->list[w->n++] = e;
	w->next_logical = e.logical + e.n_blocks;
	return 0;
}

static int note_node(struct extent_walk *w, uint64_t block)
{
	struct ext4_nodes *nodes = w->nodes;

	if (nodes->n == nodes->room) {
		size_t room = nodes->room ? 2 * nodes->room : 4;
		void *blocks = realloc(nodes->blocks, room * sizeof(*nodes->blocks));

		if (!blocks)
			return ext4_fail(w->fs, w->err, ENOMEM, "inode %u: extents", w->inode->ino);
		nodes->blocks = blocks;
		nodes->room = room;
	}
	nodes->blocks[nodes->n++] = block;
	return 0;
}

static int check_node(
	struct extent_walk *w, const uint8_t *node, size_t entries_max, unsigned depth)
{
	unsigned entries = mlimg_get_le16(node + 2), max = mlimg_get_le16(node + 4);

	if (mlimg_get_le16(node) != EXT3_EXT_MAGIC || mlimg_get_le16(node + 6) != depth ||
		max > entries_max || entries > max)
		return ext4_refuse(w->fs, w->err, "inode %u: node of the extent tree is damaged",
			w->inode->ino);
	return 0;
}

static int read_node(
	struct extent_walk *w, const uint8_t *node, unsigned depth, uint64_t logical_end);

static int read_child(
	struct extent_walk *w, const uint8_t *index, unsigned depth, uint64_t logical_end)
{
	uint64_t physical = mlimg_get_le32(index + 4) | (uint64_t)mlimg_get_le16(index + 8) << 32;
	uint8_t node[MLIMG_EXT4_BLOCK];
	int ret;

	if (mlimg_get_le32(index) < w->next_logical || mlimg_get_le32(index) >= logical_end)
		return ext4_refuse(
			w->fs, w->err, "inode %u: extent tree is out of order", w->inode->ino);
	w->next_logical = mlimg_get_le32(index);
	ret = ext4_read_blocks(w->fs, physical, 1, node, w->err);
	if (ret < 0)
		return ret;
	ret = check_node(w, node, NODE_MAX, depth);
	if (ret < 0)
		return ret;
	/* Where the checksum is depends on eh_max, which is why that is checked before. */
	if (mlimg_get_le16(node + 2) == 0 ||
		!ext2fs_extent_block_csum_verify(
			w->fs->ext2, w->inode->ino, (struct ext3_extent_header *)node))
		return ext4_refuse(w->fs, w->err,
			"inode %u: node of the extent tree in block %llu is damaged", w->inode->ino,
			(unsigned long long)physical);
	ret = w->nodes ? note_node(w, physical) : 0;
	return ret < 0 ? ret : read_node(w, node, depth, logical_end);
}

/*
 * Every node holds at least one extent, and extents ascend: so the walk ends, however nodes point
 * at each other.
 */
static int read_node(
	struct extent_walk *w, const uint8_t *node, unsigned depth, uint64_t logical_end)
{
	unsigned entries = mlimg_get_le16(node + 2);
	int ret = 0;

	for (unsigned i = 0; i < entries && ret == 0; i++) {
		const uint8_t *entry = node + EXTENT_HEADER + (size_t)i * EXTENT_SIZE;
		uint64_t end = i + 1 < entries ? mlimg_get_le32(entry + EXTENT_SIZE) : logical_end;

		if (end > logical_end)
			end = logical_end;
		ret = depth ? read_child(w, entry, depth - 1, end) : add_extent(w, entry, end);
	}
	return ret;
}

int ext4_extents_and_nodes(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode,
	struct mlimg_ext4_extent **ret_extents, size_t *ret_n, struct ext4_nodes *nodes,
	struct mlimg_err *err)
{
	struct extent_walk w = {.fs = fs, .inode = inode, .nodes = nodes, .err = err};
	unsigned depth = mlimg_get_le16(inode->block + 6);
	int ret;

	if (!(inode->flags & EXT4_EXTENTS_FL)) {
		if (inode->type == MLIMG_FILE && inode->size_bytes == 0) {
			*ret_extents = NULL;
			*ret_n = 0;
			return 0;
		}
		return ext4_refuse(fs, err, "inode %u has no extents", inode->ino);
	}
	ret = check_node(
		&w, inode->block, (sizeof(inode->block) - EXTENT_HEADER) / EXTENT_SIZE, depth);
	if (ret == 0 &&
		(depth > EXTENT_DEPTH_MAX || (depth && mlimg_get_le16(inode->block + 2) == 0)))
		ret = ext4_refuse(
			fs, err, "inode %u: root of the extent tree is damaged", inode->ino);
	if (ret == 0)
		ret = read_node(&w, inode->block, depth, LOGICAL_END);
	if (ret < 0) {
		free(w.list);
		return ret;
	}
	*ret_extents = w.list;
	*ret_n = w.n;
	return 0;
}

int mlimg_ext4_extents(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode,
	struct mlimg_ext4_extent **ret_extents, size_t *ret_n, struct mlimg_err *err)
{
	return ext4_extents_and_nodes(fs, inode, ret_extents, ret_n, NULL, err);
}
