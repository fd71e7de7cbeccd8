/* SPDX-License-Identifier: MIT */
/* The superblock, bytes, and inodes. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/io.h"
#include "tools/erofs-read-impl.h"

_Static_assert(sizeof(struct mlimg_erofs_inode) <= MLIMG_ITREE_INODE_MAX, "room for an inode");

/* ---- errors ---- */

/* Long names are cut, so that what is wrong still finds room. */
__attribute__((format(printf, 3, 0))) static void format_place(
	const struct mlimg_erofs_image *image, char *text, const char *fmt, va_list ap)
{
	char what[MLIMG_ERR_TEXT_SIZE];

	vsnprintf(what, sizeof(what), fmt, ap);
	if (image->at)
		snprintf(text, MLIMG_ERR_TEXT_SIZE, "%.140s: %s%.140s: %.160s", image->name,
			image->at[0] ? "./" : ".", image->at, what);
	else
		snprintf(text, MLIMG_ERR_TEXT_SIZE, "%.140s: %.300s", image->name, what);
}

int erofs_refuse(const struct mlimg_erofs_image *image, struct mlimg_err *err, const char *fmt, ...)
{
	char text[MLIMG_ERR_TEXT_SIZE];
	va_list ap;

	va_start(ap, fmt);
	format_place(image, text, fmt, ap);
	va_end(ap);
	return mlimg_err_refuse(err, "%s", text);
}

int erofs_fail(const struct mlimg_erofs_image *image, struct mlimg_err *err, int errnum,
	const char *fmt, ...)
{
	char text[MLIMG_ERR_TEXT_SIZE];
	va_list ap;

	va_start(ap, fmt);
	format_place(image, text, fmt, ap);
	va_end(ap);
	return mlimg_err_set(err, errnum, "%s", text);
}

/* ---- bytes ---- */

static int get_block(struct mlimg_erofs_image *image, uint64_t block, const uint8_t **ret_block,
	struct mlimg_err *err)
{
	size_t slot = block % EROFS_CACHE_BLOCKS, done = 0;

	*ret_block = image->cache[slot];
	if (image->cached[slot] == block + 1)
		return 0;
	image->cached[slot] = 0;
	while (done < EROFS_BLOCK_SIZE) {
		ssize_t got = pread(image->fd, image->cache[slot] + done, EROFS_BLOCK_SIZE - done,
			(off_t)(block * EROFS_BLOCK_SIZE + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return erofs_fail(
				image, err, errno, "read block %llu", (unsigned long long)block);
		if (got == 0)
			return erofs_refuse(image, err, "block %llu lies beyond the end of it",
				(unsigned long long)block);
		done += (size_t)got;
	}
	image->cached[slot] = block + 1;
	return 0;
}

int erofs_read_at(struct mlimg_erofs_image *image, uint64_t offset, void *data, uint64_t size,
	struct mlimg_err *err)
{
	uint8_t *to = data;
	uint64_t end;

	if (!mlimg_add_fits(offset, size, &end) || end > image->size_bytes)
		return erofs_refuse(image, err, "%llu bytes at byte %llu do not lie within it",
			(unsigned long long)size, (unsigned long long)offset);
	while (size) {
		size_t begin = offset % EROFS_BLOCK_SIZE, n = EROFS_BLOCK_SIZE - begin;
		const uint8_t *block;
		int ret = get_block(image, offset / EROFS_BLOCK_SIZE, &block, err);

		if (ret < 0)
			return ret;
		if (n > size)
			n = (size_t)size;
		memcpy(to, block + begin, n);
		to += n;
		offset += n;
		size -= n;
	}
	return 0;
}

/* ---- the superblock ---- */

static int read_super(struct mlimg_erofs_image *image, struct mlimg_err *err)
{
	struct erofs_super sb;
	int ret = mlimg_index_read(image->fd, image->name, &image->index, err);

	if (ret < 0)
		return ret;
	/*
	 * mlimg_index_read() has seen magic number, checksum and size; the disk may have changed
	 * since.
	 */
	if (pread(image->fd, &sb, sizeof(sb), EROFS_SB_OFFSET) != sizeof(sb))
		return erofs_refuse(image, err, "its superblock cannot be read");
	image->size_bytes = image->index.size_bytes;
	image->n_inodes = le64toh(sb.inos);
	image->xattrs_at = (uint64_t)le32toh(sb.xattr_blkaddr) * EROFS_BLOCK_SIZE;
	image->build_time_s = (int64_t)le64toh(sb.build_time);
	image->build_time_ns = le32toh(sb.build_time_nsec);
	image->root_nid = le16toh(sb.root_nid);
	if (sb.meta_blkaddr || sb.sb_extslots || sb.dirblkbits || image->root_nid == 0)
		return erofs_refuse(image, err, "it is laid out otherwise than mlimg-index does");
	return 0;
}

int mlimg_erofs_open(const char *path, struct mlimg_erofs_image **ret_image, struct mlimg_err *err)
{
	struct mlimg_erofs_image *image = calloc(1, sizeof(*image));
	struct stat st;
	int ret;

	if (!image || !(image->name = strdup(path))) {
		free(image);
		return mlimg_err_set(err, ENOMEM, "open index '%s'", path);
	}
	/* O_NONBLOCK: the name may be a FIFO's. */
	image->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (image->fd < 0 || fstat(image->fd, &st) < 0)
		ret = mlimg_err_set(err, errno, "open index '%s'", path);
	else if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		ret = mlimg_err_refuse(err, "%s: is neither a file nor a block device", path);
	else
		ret = read_super(image, err);
	if (ret < 0)
		mlimg_erofs_close(image);
	else
		*ret_image = image;
	return ret;
}

void mlimg_erofs_close(struct mlimg_erofs_image *image)
{
	if (!image)
		return;
	if (image->fd >= 0)
		close(image->fd);
	free(image->name);
	free(image);
}

void mlimg_erofs_set_layers(struct mlimg_erofs_image *image, mlimg_erofs_blocks_fn *fn, void *ctx)
{
	image->read_layer = fn;
	image->ctx = ctx;
}

const struct mlimg_index *mlimg_erofs_index(const struct mlimg_erofs_image *image)
{
	return &image->index;
}

const char *mlimg_erofs_name(const struct mlimg_erofs_image *image)
{
	return image->name;
}

uint64_t mlimg_erofs_size(const struct mlimg_erofs_image *image, uint64_t *ret_n_inodes)
{
	*ret_n_inodes = image->n_inodes;
	return image->size_bytes;
}

bool mlimg_erofs_has_layers(const struct mlimg_erofs_image *image)
{
	off_t end = lseek(image->fd, 0, SEEK_END);

	/*
	 * All or none: without its end it is taken for an index alone, and layers are to be given.
	 */
	return image->index.is_joined && end >= 0 &&
		(uint64_t)end / EROFS_BLOCK_SIZE >= image->index.disk_blocks;
}

/* ---- inodes ---- */

/* What both forms of inodes say, in one. */
struct raw_inode {
	uint32_t format, xattr_icount, mode, union_field;
	uint64_t size; /* of the inode itself */
};

static void decode_compact(const struct mlimg_erofs_image *image,
	const struct erofs_inode_compact *c, struct raw_inode *raw, struct mlimg_erofs_inode *inode)
{
	*raw = (struct raw_inode){le16toh(c->i_format), le16toh(c->i_xattr_icount),
		le16toh(c->i_mode), le32toh(c->i_u), sizeof(*c)};
	inode->nlink = le16toh(c->i_nlink);
	inode->size_bytes = le32toh(c->i_size);
	inode->uid = le16toh(c->i_uid);
	inode->gid = le16toh(c->i_gid);
	inode->mtime_s = image->build_time_s;
	inode->mtime_ns = image->build_time_ns;
}

static void decode_extended(const struct erofs_inode_extended *e, struct raw_inode *raw,
	struct mlimg_erofs_inode *inode)
{
	*raw = (struct raw_inode){le16toh(e->i_format), le16toh(e->i_xattr_icount),
		le16toh(e->i_mode), le32toh(e->i_u), sizeof(*e)};
	inode->nlink = le32toh(e->i_nlink);
	inode->size_bytes = le64toh(e->i_size);
	inode->uid = le32toh(e->i_uid);
	inode->gid = le32toh(e->i_gid);
	inode->mtime_s = (int64_t)le64toh(e->i_mtime);
	inode->mtime_ns = le32toh(e->i_mtime_nsec);
}

static int bad_inode(
	struct mlimg_erofs_image *image, uint32_t nid, const char *what, struct mlimg_err *err)
{
	return erofs_refuse(image, err, "inode %u: %s", nid, what);
}

static uint64_t blocks_of(uint64_t bytes)
{
	return bytes / EROFS_BLOCK_SIZE + (bytes % EROFS_BLOCK_SIZE != 0);
}

/* Contents in the image itself: whole blocks, and a tail that does not cross the end of a block. */
static int place_own(struct mlimg_erofs_image *image, struct mlimg_erofs_inode *inode,
	uint32_t layout, struct mlimg_err *err)
{
	uint64_t n_blocks, tail = inode->size_bytes % EROFS_BLOCK_SIZE;
	uint64_t image_blocks = image->size_bytes / EROFS_BLOCK_SIZE;

	inode->has_tail = layout == EROFS_LAYOUT_INLINE;
	n_blocks = inode->has_tail ? inode->size_bytes / EROFS_BLOCK_SIZE
				   : blocks_of(inode->size_bytes);
	if (n_blocks && (inode->block >= image_blocks || n_blocks > image_blocks - inode->block))
		return bad_inode(image, inode->nid, "its contents lie outside the image", err);
	if (inode->has_tail &&
		(!tail ||
			inode->behind_at / EROFS_BLOCK_SIZE !=
				(inode->behind_at + tail - 1) / EROFS_BLOCK_SIZE))
		return bad_inode(image, inode->nid, "the tail of its contents is damaged", err);
	return 0;
}

static int place_chunks(struct mlimg_erofs_image *image, struct mlimg_erofs_inode *inode,
	uint32_t chunk_format, struct mlimg_err *err)
{
	if (inode->type != MLIMG_FILE || inode->size_bytes == 0)
		return bad_inode(image, inode->nid, "only a file can have chunks", err);
	if ((chunk_format & ~EROFS_CHUNK_BITS_MASK) != EROFS_CHUNK_INDEXES)
		return bad_inode(image, inode->nid, "the form of its chunks is not known", err);
	inode->chunk_bits = chunk_format & EROFS_CHUNK_BITS_MASK;
	inode->n_chunks = ((blocks_of(inode->size_bytes) - 1) >> inode->chunk_bits) + 1;
	inode->behind_at = (inode->behind_at + 7) & ~(uint64_t)7;
	if (inode->behind_at > image->size_bytes ||
		inode->n_chunks >
			(image->size_bytes - inode->behind_at) / sizeof(struct erofs_chunk_index))
		return bad_inode(image, inode->nid, "its chunks lie outside the image", err);
	return 0;
}

static int check_inode(struct mlimg_erofs_image *image, struct mlimg_erofs_inode *inode,
	const struct raw_inode *raw, struct mlimg_err *err)
{
	uint32_t layout = raw->format >> EROFS_FORMAT_LAYOUT_SHIFT;

	inode->type = mlimg_type_of_mode(raw->mode);
	inode->mode = raw->mode & 07777;
	if (!inode->type)
		return bad_inode(image, inode->nid, "it has no type", err);
	/* The limits of manifest.h. */
	if (!inode->nlink || inode->size_bytes > INT64_MAX || inode->mtime_ns > 999999999 ||
		inode->uid == UINT32_MAX || inode->gid == UINT32_MAX)
		return bad_inode(image, inode->nid, "a number is out of range", err);
	if (inode->type == MLIMG_LINK &&
		(inode->size_bytes == 0 || inode->size_bytes > MLIMG_LINK_MAX))
		return bad_inode(image, inode->nid, "its target is too long, or empty", err);
	if (layout == EROFS_LAYOUT_CHUNKS)
		return place_chunks(image, inode, raw->union_field, err);
	if (layout != EROFS_LAYOUT_PLAIN && layout != EROFS_LAYOUT_INLINE)
		return bad_inode(image, inode->nid, "its layout is not known", err);
	inode->block = raw->union_field;
	if (inode->type == MLIMG_FILE || inode->type == MLIMG_DIR || inode->type == MLIMG_LINK)
		return place_own(image, inode, layout, err);
	if (inode->size_bytes || layout != EROFS_LAYOUT_PLAIN)
		return bad_inode(image, inode->nid, "it cannot have contents", err);
	if (inode->type != MLIMG_CHAR && inode->type != MLIMG_BLOCK)
		return 0;
	/* The kernel's new_decode_dev(). */
	inode->dev_major = raw->union_field >> 8 & 0xfff;
	inode->dev_minor = (raw->union_field & 0xff) | (raw->union_field >> 12 & 0xfff00);
	return 0;
}

int erofs_inode_read(struct mlimg_erofs_image *image, uint32_t nid,
	struct mlimg_erofs_inode *ret_inode, struct mlimg_err *err)
{
	uint64_t at = (uint64_t)nid * EROFS_SLOT_SIZE;
	struct mlimg_erofs_inode inode = {.nid = nid};
	struct erofs_inode_extended extended;
	struct erofs_inode_compact compact;
	struct raw_inode raw;
	int ret = erofs_read_at(image, at, &compact, sizeof(compact), err);

	if (ret < 0 || nid == 0)
		return ret < 0 ? ret : bad_inode(image, nid, "there is none", err);
	if (le16toh(compact.i_format) & EROFS_FORMAT_EXTENDED) {
		ret = erofs_read_at(image, at, &extended, sizeof(extended), err);
		if (ret < 0)
			return ret;
		decode_extended(&extended, &raw, &inode);
	} else {
		decode_compact(image, &compact, &raw, &inode);
	}
	inode.xattr_at = at + raw.size;
	if (raw.xattr_icount)
		inode.xattr_size =
			(uint32_t)sizeof(struct erofs_xattr_header) + 4 * (raw.xattr_icount - 1);
	inode.behind_at = inode.xattr_at + inode.xattr_size;
	ret = check_inode(image, &inode, &raw, err);
	if (ret == 0)
		*ret_inode = inode;
	return ret;
}

int erofs_read_own(struct mlimg_erofs_image *image, const struct mlimg_erofs_inode *inode,
	uint64_t offset, void *data, uint64_t size, struct mlimg_err *err)
{
	uint64_t tail_begin = inode->size_bytes - inode->size_bytes % EROFS_BLOCK_SIZE;
	uint64_t n = size;
	int ret = 0;

	if (inode->has_tail && offset + size > tail_begin)
		n = offset < tail_begin ? tail_begin - offset : 0;
	if (n)
		ret = erofs_read_at(
			image, (uint64_t)inode->block * EROFS_BLOCK_SIZE + offset, data, n, err);
	if (ret == 0 && n < size)
		ret = erofs_read_at(image, inode->behind_at + (offset + n - tail_begin),
			(uint8_t *)data + n, size - n, err);
	return ret;
}
