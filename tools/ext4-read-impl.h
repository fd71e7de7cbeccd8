/* SPDX-License-Identifier: MIT */
/**
 * @file ext4-read-impl.h
 * What the files of ext4-read share among themselves; nobody else includes this.
 */
#ifndef MLIMG_TOOLS_EXT4_READ_IMPL_H
#define MLIMG_TOOLS_EXT4_READ_IMPL_H

#include <ext2fs/ext2fs.h>
#include <string.h>

#include "libmlimg/le.h"
#include "tools/block-source.h"
#include "tools/ext4-read.h"

/* Directory blocks are read this many at a time. */
#define EXT4_READ_BLOCKS 16
#define EXT4_RECENT_DIRS 16

/* A symbolic link's target lies in i_block unless it is longer. */
#define EXT4_FAST_LINK_MAX 59

struct mlimg_ext4 {
	ext2_filsys ext2; /* its io channel is on a duplicate of fd, or on source */
	int fd;           /* -1 with a source */
	struct mlimg_block_source *source; /* or NULL */
	uint64_t offset;                   /* byte where the file system begins in fd */
	char *name;
	const char *at; /* path of what a walk is looking at, for messages; or NULL */
	struct mlimg_ext4_super super;
	uint8_t blocks[EXT4_READ_BLOCKS * MLIMG_EXT4_BLOCK]; /* a directory's, while it is read */
	/* Directories in which names were looked up last: as many as a deep path has. */
	struct ext4_recent {
		uint32_t ino; /* 0: none */
		uint64_t used;
		struct mlimg_ext4_dir dir;
	} recent[EXT4_RECENT_DIRS];
	uint64_t n_lookups;
};

/** mlimg_err_refuse() with "IMAGE: " or "IMAGE: ./PATH: " in front. */
int ext4_refuse(const struct mlimg_ext4 *fs, struct mlimg_err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), cold)) MLIMG_MUST_CHECK;

/** mlimg_err_set() with the same in front. */
int ext4_fail(const struct mlimg_ext4 *fs, struct mlimg_err *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 4, 5), cold)) MLIMG_MUST_CHECK;

/** mlimg_ext4_err_refuse() with the same in front. */
int ext4_refuse_code(const struct mlimg_ext4 *fs, struct mlimg_err *err, errcode_t code,
	const char *fmt, ...) __attribute__((format(printf, 4, 5), cold)) MLIMG_MUST_CHECK;

/** Read whole blocks; those beyond the end of the file system are refused. */
int ext4_read_blocks(const struct mlimg_ext4 *fs, uint64_t first, uint32_t n, void *data,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Read the first bytes. @return their number, fewer where the image is shorter; -errno */
ssize_t ext4_read_head(
	struct mlimg_ext4 *fs, void *head, size_t size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** ext2fs_open2() of what is open. @return 0, and its code; -errno when it was not called */
int ext4_open2(struct mlimg_ext4 *fs, errcode_t *ret_code, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Blocks that hold nodes of extent trees. */
struct ext4_nodes {
	uint64_t *blocks; /**< free() it */
	size_t n, room;
};

/**
 * mlimg_ext4_extents() that appends the blocks of the tree's nodes to @p nodes, unless that is
 * NULL.
 */
int ext4_extents_and_nodes(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode,
	struct mlimg_ext4_extent **ret_extents, size_t *ret_n, struct ext4_nodes *nodes,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Digests of contents by where they lie, for images whose files may share blocks. */
struct ext4_shared;

/** @return an empty table, or NULL when there is no memory */
struct ext4_shared *ext4_shared_new(void);

/** Free it; accepts NULL. */
void ext4_shared_free(struct ext4_shared *shared);

/** What files have in common that share all their blocks: a digest of size and extents. */
void ext4_shared_places(const struct mlimg_ext4_inode *inode,
	const struct mlimg_ext4_extent *extents, size_t n, uint8_t ret_places[MLIMG_SHA256_SIZE]);

/** @return the digest of the contents at those places, or NULL; until the next one is added */
const uint8_t *ext4_shared_find(
	const struct ext4_shared *shared, const uint8_t places[MLIMG_SHA256_SIZE]);

/** Add one. @return 0, -ENOMEM */
int ext4_shared_add(struct ext4_shared *shared, const uint8_t places[MLIMG_SHA256_SIZE],
	const uint8_t digest[MLIMG_SHA256_SIZE]) MLIMG_MUST_CHECK;

/** Fill the entry's xattrs. */
int ext4_read_xattrs(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode,
	struct mlimg_ext4_attrs *attrs, struct mlimg_entry *entry,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
