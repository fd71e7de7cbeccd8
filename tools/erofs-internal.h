/* SPDX-License-Identifier: MIT */
/**
 * @file erofs-internal.h
 * The image under construction, shared by erofs-build.c (what the caller adds), erofs-chunks.c
 * (extents), erofs-layout.c (where everything goes) and erofs-write.c (bytes). Not for other
 * modules.
 *
 * Memory: about 100 bytes an inode, 16 a name and its text, 24 an extent; lists are array indexes,
 * so that growing never invalidates them.
 */
#ifndef MLIMG_EROFS_INTERNAL_H
#define MLIMG_EROFS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "libmlimg/erofs-format.h"
#include "tools/erofs-write.h"

#define NONE UINT32_MAX /**< end of a list */

struct inode {
	int64_t mtime_s;
	uint64_t size_bytes;
	uint64_t data_off; /**< into data; files and symlinks with data of their own */
	uint32_t mtime_ns;
	uint32_t uid, gid, nlink;
	uint32_t rdev;         /**< as EROFS encodes it */
	uint32_t first_extent; /**< list, NONE at its end */
	uint32_t last_extent;
	uint32_t first_xattr; /**< list of xattr references */
	uint32_t first_name;  /**< directories: range of names */
	uint32_t n_names;
	uint32_t parent;     /**< directories: inode number */
	uint32_t nid;        /**< 0 until placed */
	uint32_t block;      /**< first block of data in this image, relative to the data area */
	uint32_t xattr_size; /**< bytes behind the inode */
	uint16_t mode;
	uint8_t chunk_bits;
	bool has_data;
	bool is_compact;
	bool has_tail; /**< the last part of a block lies behind the inode */
};

struct extent {
	uint64_t file_block;
	uint32_t n_blocks;
	uint32_t dev_block;
	uint32_t next;
	uint16_t device;
};

struct name {
	uint32_t dir, ino;
	uint64_t at; /**< offset in text << 8 | length */
};

struct xattr_ref {
	uint32_t id, next;
};

/** One distinct xattr; its bytes are an erofs_xattr_entry with name and value, rounded up to 4. */
struct xattr {
	uint64_t off; /**< into xattr_bytes */
	uint32_t size;
	uint32_t refs;
	uint32_t hash;
	uint32_t shared_id; /**< when refs > 1 */
};

struct bytes {
	char *at;
	size_t size, room;
};

struct device {
	char tag[64];
	uint8_t places[MLIMG_PLACES_SIZE];
	uint32_t blocks;
	uint64_t room;        /**< blocks on the disk of a joined image */
	uint32_t first_block; /**< set by the layout: on that disk; else 0 */
};

#define VEC(type)                  \
	struct {                   \
		type *at;          \
		size_t size, room; \
	}

struct mlimg_erofs {
	VEC(struct inode) inodes;
	VEC(struct extent) extents;
	VEC(struct name) names;
	VEC(struct xattr_ref) refs;
	VEC(struct xattr) xattrs;
	VEC(struct device) devices;
	struct bytes text, data, xattr_bytes;
	uint32_t *xattr_table; /**< open addressing over xattrs, NONE is free */
	size_t xattr_table_size;
	uint64_t n_chunks; /**< of all inodes that were checked */
	bool is_joined;
	bool has_tree; /**< a hash tree is to lie behind it */

	/* Set by the layout. */
	int64_t build_time_s;
	uint32_t build_time_ns;
	uint64_t data_block;  /**< first block of the data area */
	uint64_t xattr_block; /**< first block of the shared xattrs */
	uint64_t n_blocks;
	uint64_t n_disk_blocks; /**< of a joined image with its devices, else n_blocks */
};

/** Make room for one more element at the end of a VEC. @return its address, or NULL */
void *mlimg_erofs_grow(void *vec, size_t elem_size);

/** What one directory block holds. */
struct dir_block {
	size_t first, end; /**< entries, counted with "." and ".." among the names */
	size_t used;       /**< bytes */
};

/** An iterator over a directory's entries, "." and ".." among them, block by block. */
struct dir_iter {
	const struct mlimg_erofs *image;
	const struct inode *dir;
	uint32_t self;
	uint32_t next_name; /**< of dir's names */
	uint8_t dots_done;  /**< 0, 1, 2 */
};

struct dir_entry {
	const char *name;
	size_t size;
	uint32_t ino;
};

void mlimg_erofs_dir_begin(struct dir_iter *it, const struct mlimg_erofs *image, uint32_t dir);
bool mlimg_erofs_dir_peek(const struct dir_iter *it, struct dir_entry *ret_entry);
void mlimg_erofs_dir_step(struct dir_iter *it);

/**
 * Choose the chunk size of a regular file without data of its own.
 *
 * @return 0, -EUCLEAN when that takes too many chunks
 */
int mlimg_erofs_choose_chunks(const struct mlimg_erofs *image, struct inode *inode,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Number of chunk indexes of such a file, once their size is chosen. */
uint64_t mlimg_erofs_n_chunks(const struct inode *inode);

/** Write the chunk indexes at @p at, which holds zeros. */
void mlimg_erofs_put_chunks(
	const struct mlimg_erofs *image, const struct inode *inode, uint8_t *at);

/** Bytes of the inode itself. */
static inline uint32_t mlimg_erofs_isize(const struct inode *inode)
{
	return inode->is_compact ? sizeof(struct erofs_inode_compact)
				 : sizeof(struct erofs_inode_extended);
}

/** @return whether it is a regular file whose data are elsewhere */
static inline bool mlimg_erofs_is_chunked(const struct inode *inode)
{
	return S_ISREG(inode->mode) && !inode->has_data && inode->size_bytes > 0;
}

/** Place everything. @return 0 or -errno */
int mlimg_erofs_layout(struct mlimg_erofs *image, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
