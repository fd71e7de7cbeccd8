/* SPDX-License-Identifier: MIT */
/**
 * @file ext4-write-parts.h
 * The parts of the ext4 writer among themselves: ext4-write.c (the file system as a whole),
 * ext4-write-layout.c (groups, free blocks), ext4-write-inode.c (inode tables, extents, xattrs),
 * ext4-write-dir.c (directories), ext4-write-htree.c (large ones).
 */
#ifndef MLIMG_TOOLS_EXT4_WRITE_PARTS_H
#define MLIMG_TOOLS_EXT4_WRITE_PARTS_H

#include <ext2fs/ext2fs.h>

#include "tools/ext4-data.h"
#include "tools/ext4-write.h"

#define MLIMG_INODE_SIZE 256 /**< bytes: room for nanoseconds, and for a capability or an ACL */
#define MLIMG_INODES_PER_BLOCK (MLIMG_BLOCK_SIZE / MLIMG_INODE_SIZE)
#define MLIMG_TABLE_BUFFER 65536 /**< bytes of an inode table that are written at a time */
#define MLIMG_RUN_BLOCKS 64      /**< blocks of directories that are written at a time */

/** The part of an inode table that is being filled. */
struct mlimg_inode_table {
	uint8_t bytes[MLIMG_TABLE_BUFFER];
	uint64_t block;    /**< where they belong */
	uint32_t n_blocks; /**< that are begun; 0: none */
};

/** Blocks of directories that are to be written in one go. */
struct mlimg_block_run {
	uint8_t *bytes; /**< MLIMG_RUN_BLOCKS of them */
	uint64_t block; /**< where the first one belongs */
	uint32_t n_blocks;
};

/** An image being written. */
struct mlimg_writer {
	int fd;
	const char *tmp_path;
	const char *name; /**< for messages */
	enum mlimg_kind kind;
	uint64_t size_bytes; /**< wanted, or 0 */
	struct mlimg_data *data;
	ext2_filsys fs; /**< NULL until the layout is known */
	uint64_t goal;  /**< where to look for free blocks */
	struct mlimg_inode_table table;
	struct mlimg_block_run run;
	uint8_t hash_seed[16]; /**< as it will be in the superblock */
};

/** What the metadata of a tree needs. */
struct mlimg_needs {
	uint64_t inodes; /**< the reserved ones included */
	uint64_t blocks; /**< of directories, extent trees, long links and xattrs */
	bool dir_index;  /**< the feature: there are hash trees */
};

/** libext2fs failed while writing. @return a negative errno value */
int mlimg_writer_fail(
	const struct mlimg_writer *image, errcode_t code, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** There is no room in an image of a given size. @return a negative errno value */
int mlimg_writer_too_small(
	const struct mlimg_writer *image, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Blocks for contents of a read-only image, a mlimg_alloc_fn: one run without an end. */
int mlimg_writer_alloc_linear(
	void *ctx, uint64_t *ret_start, uint64_t *ret_count, struct mlimg_err *err);

/**
 * Blocks for contents of a user layer, a mlimg_alloc_fn: the free runs between its metadata. They
 * are marked as used later, with their inodes, so the search never goes back to the beginning.
 */
int mlimg_writer_alloc_between(
	void *ctx, uint64_t *ret_start, uint64_t *ret_count, struct mlimg_err *err);

/** Lay out an empty user layer. */
int mlimg_writer_layout_user(struct mlimg_writer *image, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Lay out a read-only image around its contents.
 *
 * @param image  with ->size_bytes that are wanted, or 0, which becomes the size
 * @param needs  of its metadata
 * @param end    block after the contents, 0 when there are none
 */
int mlimg_writer_layout_read_only(struct mlimg_writer *image, const struct mlimg_needs *needs,
	uint64_t end, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Take a run of free blocks for metadata.
 *
 * @param image      with a layout
 * @param want       blocks
 * @param ret_start  first block
 * @param ret_count  1 to @p want
 */
int mlimg_writer_take_blocks(struct mlimg_writer *image, uint64_t want, uint64_t *ret_start,
	uint64_t *ret_count, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Room for a block whose content is known now and is written later, with those that follow it.
 *
 * @param image     with a layout
 * @param block     where it belongs
 * @param ret_room  zeros, to be filled before the next call
 */
int mlimg_writer_room_for(struct mlimg_writer *image, uint64_t block, uint8_t **ret_room,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Write the blocks for which there was room. */
int mlimg_writer_flush_blocks(struct mlimg_writer *image, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * How many blocks a directory's entries need.
 *
 * @param image           with ->hash_seed
 * @param dir             the directory
 * @param ret_blocks      at least 1
 * @param ret_is_indexed  whether they are to be a hash tree
 */
int mlimg_writer_dir_blocks(const struct mlimg_writer *image, const struct mlimg_node *dir,
	uint64_t *ret_blocks, bool *ret_is_indexed, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Write a directory's entries: in the tree's order, or if it is large, as a hash tree.
 *
 * @param image           with a layout
 * @param dir             the directory; all inode numbers are given
 * @param ret_file        zeroed; gets size and extents; free ->extents, also on failure
 * @param ret_is_indexed  whether it is a hash tree, which its inode has to say
 */
int mlimg_writer_put_dir(struct mlimg_writer *image, const struct mlimg_node *dir,
	struct mlimg_file *ret_file, bool *ret_is_indexed, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return blocks that the extent tree takes beside the inode */
uint64_t mlimg_writer_extent_blocks(const struct mlimg_file *file);

/** @return whether a link's target does not fit into its inode */
bool mlimg_writer_is_long_link(const struct mlimg_inode *inode);

/** Write the target of such a link into a block. @p ret_file : zeroed; gets size and extent */
int mlimg_writer_put_link(struct mlimg_writer *image, const struct mlimg_inode *inode,
	struct mlimg_file *ret_file, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Write an inode into its table, without its xattrs. Numbers must ascend.
 *
 * @param image     with a layout
 * @param inode     with its number
 * @param contents  of a file, directory or long link
 * @param flags     i_flags beside the one for extents
 */
int mlimg_writer_put_inode(struct mlimg_writer *image, const struct mlimg_inode *inode,
	const struct mlimg_file *contents, uint32_t flags, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Write what is left of the inode table. */
int mlimg_writer_flush_inodes(struct mlimg_writer *image, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Give an inode that is in its table its xattrs. */
int mlimg_writer_put_xattrs(struct mlimg_writer *image, const struct mlimg_inode *inode,
	const struct mlimg_node *node, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
