/* SPDX-License-Identifier: MIT */
/**
 * @file ext4-write.h
 * Writes a layer's ext4 file system through libext2fs' public calls: no root, no mount.
 *
 * Read-only layers are written in one go. Contents come first, one file behind the other from a
 * fixed block on, while nothing else about the file system is known yet. Then the tree is complete,
 * its size is computed, and metadata is put behind the contents: bitmaps, inode tables, then extent
 * blocks and directories. So:
 *
 *     | superblock, group descriptors, room for more | contents | bitmaps | inode tables | directories |
 *
 * This needs groups that do not carry metadata of their own (flex_bg) and no backups of the
 * superblock in the way of the contents (sparse_super2 with no backups; they would be useless in an
 * image that can be made again). Block groups are as equal in size as can be, so that none of them
 * is too small to exist.
 *
 * Directories of more than 32 blocks are hash trees, and an image that has one has the feature
 * dir_index.
 *
 * User layers are of a given size, have a journal, backups and room to grow; they are laid out
 * first, as mke2fs would, and contents go where there is room.
 *
 * Checksums of metadata depend on the UUID, and the UUID on the contents. All metadata is written
 * after the contents, so the feature metadata_csum_seed, which older boot loaders refuse, is not
 * needed.
 */
#ifndef MLIMG_TOOLS_EXT4_WRITE_H
#define MLIMG_TOOLS_EXT4_WRITE_H

#include "libmlimg/layer.h"
#include "tools/source.h"

struct mlimg_writer;
struct mlimg_data;

/**
 * Block where contents begin in a read-only image: behind the superblock, and descriptors for 1008
 * GiB. What the descriptors do not need is used for metadata.
 */
#define MLIMG_CONTENTS_START 64
#define MLIMG_WRITER_SIZE_MAX (UINT64_C(1) << 44) /**< bytes of an image: 2^32 blocks */

/**
 * Begin an image.
 *
 * @param fd          the image, empty, writable; stays the caller's
 * @param tmp_path    a name of it, for libext2fs
 * @param image       its name for messages
 * @param kind        a user layer is laid out as such
 * @param size_bytes  of the image, a multiple of the block size is used; 0: as small as can be (not
 *                    for user layers)
 * @param ret_image   mlimg_writer_free() it; strings must live as long
 */
int mlimg_writer_begin(int fd, const char *tmp_path, const char *image, enum mlimg_kind kind,
	uint64_t size_bytes, struct mlimg_writer **ret_image,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return where contents go */
struct mlimg_data *mlimg_writer_data(struct mlimg_writer *image);

/**
 * What the image is called, when that is known.
 *
 * The superblock's hash seed serves one more purpose: it is a digest of where the contents lie
 * (number, start, place in the file, length of every extent). A directory and a tar of it make
 * layers with the same manifest, so the same build id, whose contents may lie elsewhere; whoever
 * points into an image from outside can tell them apart by it.
 */
struct mlimg_writer_identity {
	uint8_t uuid[MLIMG_UUID_SIZE];
	const char *label;
	int64_t time_s; /**< the superblock's times */
};

/**
 * Write all that is left. Nothing is durable yet.
 *
 * @param image     begun; contents complete
 * @param tree      finished; its root becomes the file system's
 * @param identity  of the file system
 */
int mlimg_writer_finish(struct mlimg_writer *image, struct mlimg_tree *tree,
	const struct mlimg_writer_identity *identity, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return whether the inode's xattrs may need a block of their own */
bool mlimg_writer_needs_xattr_block(const struct mlimg_inode *inode);

/** Free; accepts NULL. Writes nothing. */
void mlimg_writer_free(struct mlimg_writer *image);

#endif
