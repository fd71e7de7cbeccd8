/* SPDX-License-Identifier: MIT */
/**
 * @file erofs-read-impl.h
 * What the files of erofs-read share among themselves; nobody else includes this.
 */
#ifndef MLIMG_TOOLS_EROFS_READ_IMPL_H
#define MLIMG_TOOLS_EROFS_READ_IMPL_H

#include "libmlimg/erofs-format.h"
#include "tools/erofs-read.h"

/* Blocks that are kept: the inodes of a directory's entries lie together. A power of two. */
#define EROFS_CACHE_BLOCKS 64

struct mlimg_erofs_image {
	int fd;
	char *name;
	const char *at; /* path of what a walk is looking at, for messages; or NULL */
	struct mlimg_index index;
	uint64_t size_bytes, n_inodes;
	uint64_t xattrs_at; /* byte where shared xattrs begin */
	int64_t build_time_s;
	uint32_t build_time_ns;
	uint32_t root_nid;
	mlimg_erofs_blocks_fn *read_layer;
	void *ctx;
	uint64_t cached[EROFS_CACHE_BLOCKS]; /* which block, + 1 */
	uint8_t cache[EROFS_CACHE_BLOCKS][EROFS_BLOCK_SIZE];
};

/** mlimg_err_refuse() with "IMAGE: " or "IMAGE: ./PATH: " in front. */
int erofs_refuse(const struct mlimg_erofs_image *image, struct mlimg_err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), cold)) MLIMG_MUST_CHECK;

/** mlimg_err_set() with the same in front. */
int erofs_fail(const struct mlimg_erofs_image *image, struct mlimg_err *err, int errnum,
	const char *fmt, ...) __attribute__((format(printf, 4, 5), cold)) MLIMG_MUST_CHECK;

/** Read bytes of the image; those beyond its end are refused. */
int erofs_read_at(struct mlimg_erofs_image *image, uint64_t offset, void *data, uint64_t size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Read an inode. */
int erofs_inode_read(struct mlimg_erofs_image *image, uint32_t nid,
	struct mlimg_erofs_inode *ret_inode, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read contents that are in the image, of a directory, a symlink, a composed file: @p size bytes
 * from @p offset.
 */
int erofs_read_own(struct mlimg_erofs_image *image, const struct mlimg_erofs_inode *inode,
	uint64_t offset, void *data, uint64_t size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Read a directory, as mlimg_ext4_dir_read(). */
int erofs_dir_read(struct mlimg_erofs_image *image, const struct mlimg_erofs_inode *inode,
	struct mlimg_ext4_dir *ret_dir, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Room for the parts of an entry that are not in the inode. */
struct erofs_attrs;

struct erofs_attrs *erofs_attrs_new(void);

/** Make an entry of an inode, as mlimg_ext4_entry(). */
int erofs_entry(struct mlimg_erofs_image *image, const struct mlimg_erofs_inode *inode,
	struct erofs_attrs *attrs, struct mlimg_entry *ret_entry,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
