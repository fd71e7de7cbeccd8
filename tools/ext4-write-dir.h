/* SPDX-License-Identifier: MIT */
/**
 * @file ext4-write-dir.h
 * What ext4-write-dir.c and ext4-write-htree.c share: directory entries into blocks, blocks onto
 * the disk.
 */
#ifndef MLIMG_TOOLS_EXT4_WRITE_DIR_H
#define MLIMG_TOOLS_EXT4_WRITE_DIR_H

#include "tools/ext4-write-parts.h"

/** Bytes of a block for entries; its tail carries the checksum. */
#define MLIMG_DIR_CAPACITY (MLIMG_BLOCK_SIZE - sizeof(struct ext2_dir_entry_tail))

/** Fills a block of entries; without one it only counts. */
struct mlimg_dir_packer {
	uint8_t *block; /**< zeros to begin with; or NULL */
	size_t used;    /**< bytes */
	size_t last;    /**< where the last entry begins */
};

/** @return whether an entry of this name goes into the block */
bool mlimg_dir_has_room(const struct mlimg_dir_packer *p, size_t name_size);

/** Add an entry, for which there is room. @p type is EXT2_FT_… */
void mlimg_dir_add(
	struct mlimg_dir_packer *p, const char *name, size_t name_size, uint32_t ino, uint8_t type);

/** Add the entry @p e. */
void mlimg_dir_add_node(struct mlimg_dir_packer *p, const struct mlimg_node *e);

/** The blocks of a directory, one after the other. */
struct mlimg_dir_blocks {
	struct mlimg_writer *image;
	uint32_t ino; /**< of the directory */
	const struct mlimg_file *file;
	uint32_t extent, at; /**< the next one */
	uint8_t *now;        /**< the present one */
};

/** Go to the next block: @p b ->now is zeros to be filled. */
int mlimg_dir_next_block(struct mlimg_dir_blocks *b, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The present block is filled: close it, if it is one of entries, and give it its checksum. @p p :
 * NULL for a node of a hash tree
 */
int mlimg_dir_end_block(struct mlimg_dir_blocks *b, const struct mlimg_dir_packer *p,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** A directory's entries in the order of a hash tree. */
struct mlimg_htree;

/**
 * Sort a directory's entries by the hashes of their names.
 *
 * @param image      with ->hash_seed
 * @param dir        the directory
 * @param ret_htree  mlimg_htree_free() it; NULL when it is too large for two levels of nodes
 */
int mlimg_htree_new(const struct mlimg_writer *image, const struct mlimg_node *dir,
	struct mlimg_htree **ret_htree, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free it; accepts NULL. */
void mlimg_htree_free(struct mlimg_htree *htree);

/** @return all its blocks */
uint64_t mlimg_htree_blocks(const struct mlimg_htree *htree);

/** Write it. @p b : at its beginning */
int mlimg_htree_put(const struct mlimg_htree *htree, const struct mlimg_node *dir,
	struct mlimg_dir_blocks *b, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
