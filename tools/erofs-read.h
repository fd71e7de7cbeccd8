/* SPDX-License-Identifier: MIT */
/**
 * @file erofs-read.h
 * Reading an index (index-merge.h) without mounting it: exactly what erofs-write.h writes of EROFS
 * (libmlimg/erofs-format.h), nothing else. An index may be a stranger's; as in ext4-read.h nothing
 * is believed until it has been checked, every loop ends, memory is bounded by what is really
 * stored, and an inconsistency is an error of kind MLIMG_ERR_REFUSED that names image, path or
 * inode.
 *
 * Contents of most files lie in the layers' images. They are read through a function that the
 * caller gives; without it all but contents can be read.
 *
 * In this module "inode" numbers are EROFS' nids. One struct mlimg_erofs_image is for one thread at
 * a time.
 */
#ifndef MLIMG_TOOLS_EROFS_READ_H
#define MLIMG_TOOLS_EROFS_READ_H

#include "libmlimg/index.h"
#include "tools/itree.h"

/** An open index. */
struct mlimg_erofs_image;

/** An inode, decoded and checked. A plain value. */
struct mlimg_erofs_inode {
	uint32_t nid, nlink;
	uint32_t uid, gid;
	uint32_t dev_major, dev_minor;
	uint32_t mtime_ns;
	uint32_t xattr_size; /**< bytes behind the inode */
	uint32_t block;      /**< first block in the image, where the contents are in it */
	int64_t mtime_s;
	uint64_t size_bytes;
	uint64_t xattr_at; /**< byte in the image */
	uint64_t
		behind_at; /**< byte in the image: the tail of the contents, or the chunk indexes */
	uint64_t n_chunks; /**< 0 where the contents are in the image */
	uint16_t mode;     /**< permission bits */
	uint8_t type;      /**< enum mlimg_type */
	uint8_t chunk_bits;
	bool has_tail; /**< the last part of a block lies behind the inode */
};

/** A run of blocks of a file. */
struct mlimg_erofs_run {
	uint64_t logical;  /**< first block within the file */
	uint64_t physical; /**< first block within the layer's image */
	uint64_t n_blocks;
	unsigned layer; /**< from 0, bottom first */
};

/**
 * Reads blocks of a layer's image.
 *
 * @param ctx    the caller's
 * @param layer  from 0, bottom first
 * @param first  block, of 4096 bytes; within the layer's image, as the index says
 * @param n      their number
 * @param data   where to
 * @param err    where to put an error
 * @return       0 or -errno
 */
typedef int mlimg_erofs_blocks_fn(
	void *ctx, unsigned layer, uint64_t first, uint32_t n, void *data, struct mlimg_err *err);

/**
 * Open an index, a file or a block device, read-only.
 *
 * @param path       the index
 * @param ret_image  mlimg_erofs_close() it
 * @param err        names the image, as do all errors of this module
 * @return           0; -EUCLEAN when it is none, damaged or truncated; other -errno
 */
int mlimg_erofs_open(const char *path, struct mlimg_erofs_image **ret_image,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Close it; accepts NULL. */
void mlimg_erofs_close(struct mlimg_erofs_image *image);

/** Give what reads the layers' blocks; @p ctx is handed to it. */
void mlimg_erofs_set_layers(struct mlimg_erofs_image *image, mlimg_erofs_blocks_fn *fn, void *ctx);

/** @return what superblock and device table say; lives as long as @p image */
const struct mlimg_index *mlimg_erofs_index(const struct mlimg_erofs_image *image);

/** @return the path it was opened by */
const char *mlimg_erofs_name(const struct mlimg_erofs_image *image);

/** @return bytes of the image itself, and the number of inodes that its superblock claims */
uint64_t mlimg_erofs_size(const struct mlimg_erofs_image *image, uint64_t *ret_n_inodes);

/** @return whether the layers of a joined index lie behind it in this very file */
bool mlimg_erofs_has_layers(const struct mlimg_erofs_image *image);

/** @return a tree of the image, from @p root on: "/rootfs" is what a guest sees, "/" all */
struct mlimg_itree mlimg_erofs_tree(struct mlimg_erofs_image *image, const char *root);

/**
 * Where the contents of a regular file lie in the layers: ascending, not overlapping, within the
 * layers' sizes; what no run covers is a hole. A file whose contents are in the image itself has
 * none.
 *
 * @param image     the image
 * @param inode     a regular file
 * @param ret_runs  free() it
 * @param ret_n     their number
 * @param err       names the inode
 * @return          0 or -errno
 */
int mlimg_erofs_runs(struct mlimg_erofs_image *image, const struct mlimg_erofs_inode *inode,
	struct mlimg_erofs_run **ret_runs, size_t *ret_n, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
