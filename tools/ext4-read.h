/* SPDX-License-Identifier: MIT */
/**
 * @file ext4-read.h
 * Reading layer images without mounting them. An image may be a stranger's: nothing in it is
 * believed until it has been checked, every loop ends, memory is bounded by what is really stored,
 * and an inconsistency is an error of kind MLIMG_ERR_REFUSED that names image, path or inode, and
 * block.
 *
 * libext2fs opens the file system, reads inodes and knows the checksums. What hangs off an inode
 * (extent trees, directory blocks, xattrs) is decoded here, since the library's iterators neither
 * order nor bound what they hand out. Format: the kernel's Documentation/filesystems/ext4/ and
 * fs/ext4/{ext4,ext4_extents,xattr,acl}.h.
 *
 * Only what layers are made of is understood: 4096-byte blocks, extents, no inline data, no
 * encryption, no clusters, no xattrs in inodes of their own. A journal is not replayed; is_dirty
 * says that there is something in it.
 *
 * One struct mlimg_ext4 is for one thread at a time.
 */
#ifndef MLIMG_TOOLS_EXT4_READ_H
#define MLIMG_TOOLS_EXT4_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/err.h"
#include "libmlimg/layer.h"
#include "libmlimg/manifest.h"
#include "libmlimg/sha256.h"
#include "libmlimg/superblock.h"
#include "libmlimg/walk.h"
#include "tools/block-source.h"

#define MLIMG_EXT4_BLOCK 4096              /**< bytes of a block */
#define MLIMG_EXT4_INODE_MAX 1024          /**< bytes of the largest inode; mlimg-mkfs uses 256 */
#define MLIMG_EXT4_ROOT_INO 2              /**< the inode of "/" */
#define MLIMG_EXT4_MANIFEST_MAX (1u << 31) /**< bytes of a stored manifest that a reader accepts */

/** An open image. */
struct mlimg_ext4;

/** What the superblock says. */
struct mlimg_ext4_super {
	enum mlimg_kind kind; /**< from the label */
	uint8_t uuid[MLIMG_UUID_SIZE];
	uint64_t n_blocks; /**< of the file system; the image holds at least as many */
	uint64_t n_free;   /**< blocks that a guest may use: without those that are kept back */
	uint32_t n_inodes;
	uint8_t places
		[MLIMG_PLACES_SIZE]; /**< the hash seed: in a layer a digest of where its contents lie */
	bool is_dirty;               /**< the journal holds changes that this reader does not see */
};

/** An inode, decoded and checked. A plain value: nothing to free. */
struct mlimg_ext4_inode {
	uint32_t ino;
	uint32_t nlink; /**< as stored; names in the whole file system */
	uint32_t flags; /**< i_flags */
	uint32_t uid, gid;
	uint32_t dev_major, dev_minor;
	uint32_t mtime_ns;
	int64_t mtime_s;
	uint64_t size_bytes;
	uint64_t xattr_block; /**< 0 for none */
	uint16_t mode;        /**< permission bits */
	uint8_t type;         /**< enum mlimg_type */
	uint16_t inline_size; /**< bytes of @p inline_xattrs */
	uint8_t block[60];    /**< i_block as stored: extent root, or target of a short symlink */
	uint8_t inline_xattrs[MLIMG_EXT4_INODE_MAX - 128]; /**< what follows the fixed part */
};

/** A run of blocks. */
struct mlimg_ext4_extent {
	uint64_t logical;  /**< first block within the file */
	uint64_t physical; /**< first block within the image */
	uint32_t n_blocks; /**< 1..32768 */
	bool is_unwritten; /**< allocated but reads as zeros */
};

/** A directory's entries but "." and "..", sorted by name in byte order. */
struct mlimg_ext4_dir {
	struct mlimg_ext4_dirent {
		const char *name; /**< points into @p names */
		uint32_t ino;
		uint8_t type; /**< enum mlimg_type; compared with the inode by who reads that */
	} * entries;
	size_t n_entries;
	uint32_t parent_ino; /**< of ".." */
	char *names;
};

/**
 * Room for the parts of an entry that are not in the inode. Its content lasts until it is used
 * again.
 */
struct mlimg_ext4_attrs;

/**
 * Open an image, or a block device that holds one, read-only. Refused: no ext4, a damaged
 * superblock or group descriptor, a file system larger than the image, features that are not
 * understood, a label that is none of mlimg's.
 *
 * @param path    the image
 * @param ret_fs  mlimg_ext4_close() it
 * @param err     names the image, as do all errors of this module
 * @return        0; -EUCLEAN when refused; other -errno
 */
int mlimg_ext4_open(
	const char *path, struct mlimg_ext4 **ret_fs, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The same for an image that lies in a part of a file or block device.
 *
 * @param path        the file
 * @param offset      byte where the image begins
 * @param size_bytes  its room; less where the file ends before
 * @param ret_fs      as mlimg_ext4_open()
 * @param err         as mlimg_ext4_open()
 * @return            as mlimg_ext4_open()
 */
int mlimg_ext4_open_part(const char *path, uint64_t offset, uint64_t size_bytes,
	struct mlimg_ext4 **ret_fs, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The same for an image on a disk that is no plain file.
 *
 * @param source  the disk; closed with the image, on failure too
 * @param name    the image's name for messages, and of mlimg_ext4_name()
 * @param ret_fs  as mlimg_ext4_open(); mlimg_ext4_fd() of it is -1
 * @param err     as mlimg_ext4_open()
 * @return        as mlimg_ext4_open()
 */
int mlimg_ext4_open_source(struct mlimg_block_source *source, const char *name,
	struct mlimg_ext4 **ret_fs, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Close it; accepts NULL. */
void mlimg_ext4_close(struct mlimg_ext4 *fs);
MLIMG_DEFINE_CLEANUP(struct mlimg_ext4, mlimg_ext4_close)
#define mlimg_autoext4 mlimg_cleanup(mlimg_ext4_close_cleanup) /**< mlimg_ext4_close() */

/** @return what the superblock says; lives as long as @p fs */
const struct mlimg_ext4_super *mlimg_ext4_super(const struct mlimg_ext4 *fs);

/** @return the path it was opened by */
const char *mlimg_ext4_name(const struct mlimg_ext4 *fs);

/**
 * @return the very file that is open, of mlimg_ext4_open(), for reading what lies behind the file
 * system; lives as long as @p fs
 */
int mlimg_ext4_fd(const struct mlimg_ext4 *fs);

/** @return where the tree of a layer of @p kind lies in its image: "/rootfs" or "/upper" */
const char *mlimg_kind_tree(enum mlimg_kind kind);

/**
 * Read an inode. Refused: free or deleted, wrong checksum, no type, numbers out of range, flags not
 * understood.
 *
 * @param fs         the image
 * @param ino        its number
 * @param ret_inode  the inode
 * @param err        names the inode
 * @return           0 or -errno
 */
int mlimg_ext4_inode_read(struct mlimg_ext4 *fs, uint32_t ino, struct mlimg_ext4_inode *ret_inode,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The extents of a file, directory or long symlink, ascending and not overlapping; every block lies
 * within the image. What no extent covers is a hole. There may be extents after the end of the file
 * (preallocated).
 *
 * @param fs           the image
 * @param inode        a file, directory or symlink
 * @param ret_extents  free() it; NULL when there are none
 * @param ret_n        their number
 * @param err          names inode and block
 * @return             0 or -errno
 */
int mlimg_ext4_extents(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode,
	struct mlimg_ext4_extent **ret_extents, size_t *ret_n,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read a directory. Refused: a hole, blocks used twice, an entry that does not fit, a name with '/'
 * or NUL, a name or a subdirectory that is there twice.
 *
 * @param fs       the image
 * @param inode    a directory
 * @param ret_dir  mlimg_ext4_dir_done() when done; zeroed on failure
 * @param err      names inode and block
 * @return         0 or -errno
 */
int mlimg_ext4_dir_read(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode,
	struct mlimg_ext4_dir *ret_dir, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the entry with that name, or NULL */
const struct mlimg_ext4_dirent *mlimg_ext4_dir_find(
	const struct mlimg_ext4_dir *dir, const char *name);

/**
 * Whether a subdirectory is in there twice. One parent, and in there one name: with a check of ".."
 * this makes directories a tree.
 *
 * @param dir        the directory
 * @param ret_twice  its inode; set when it is
 * @return           1 when it is, else 0; -ENOMEM
 */
int mlimg_ext4_dir_repeats(const struct mlimg_ext4_dir *dir, uint32_t *ret_twice) MLIMG_MUST_CHECK;

/** Free what @p dir owns; accepts NULL and a zeroed one. */
void mlimg_ext4_dir_done(struct mlimg_ext4_dir *dir);

/** @return new room, or NULL when there is no memory; mlimg_ext4_attrs_free() it */
struct mlimg_ext4_attrs *mlimg_ext4_attrs_new(void);

/** Free it; accepts NULL. */
void mlimg_ext4_attrs_free(struct mlimg_ext4_attrs *attrs);
MLIMG_DEFINE_CLEANUP(struct mlimg_ext4_attrs, mlimg_ext4_attrs_free)
#define mlimg_autoext4attrs mlimg_cleanup(mlimg_ext4_attrs_free_cleanup) /**< free it */

/**
 * Make an entry of an inode: attributes, symlink target, xattrs (names with prefix, ACLs in the
 * form that getxattr(2) returns). path, digest, hardlink and nlink are not set: 0.
 *
 * @param fs         the image
 * @param inode      the inode
 * @param attrs      holds what the entry points to
 * @param ret_entry  the entry
 * @param err        names the inode
 * @return           0 or -errno
 */
int mlimg_ext4_entry(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode,
	struct mlimg_ext4_attrs *attrs, struct mlimg_entry *ret_entry,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Find a path in a tree. ".." and absolute symbolic links stay in the tree, as after chroot(2).
 *
 * @param fs         the image
 * @param root       the tree's root, as "/rootfs"; its own components are never followed
 * @param path       within the tree; a leading '/' changes nothing
 * @param follow     whether a symbolic link as last component is followed
 * @param ret_inode  what was found
 * @param err        names the path
 * @return           0; -ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG (kind MLIMG_ERR_FAILED); other
 *                   -errno
 */
int mlimg_ext4_lookup(struct mlimg_ext4 *fs, const char *root, const char *path, bool follow,
	struct mlimg_ext4_inode *ret_inode, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Called for every entry of a walk, parents before children, in the order of manifests.
 *
 * @param entry  as mlimg_ext4_entry() makes it, and its path; valid for the call only
 * @param inode  its inode, for reading its data
 * @param ctx    the caller's
 * @param err    where to put an error
 * @return       0 to go on, 1 to go on but not into this directory, negative to stop
 */
typedef int mlimg_ext4_walk_fn(const struct mlimg_entry *entry,
	const struct mlimg_ext4_inode *inode, void *ctx, struct mlimg_err *err);

/**
 * Walk a tree. Refused beside what the functions above refuse: a directory that is reached twice or
 * that contains itself, a type that differs between directory and inode, a path or a number of
 * entries above the limits of manifest.h.
 *
 * @param fs    the image
 * @param root  where to begin; its path is ""
 * @param fn    the visitor
 * @param ctx   handed to @p fn
 * @param err   names the path
 * @return      0, what @p fn returned when negative, or -errno
 */
int mlimg_ext4_walk(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *root,
	mlimg_ext4_walk_fn *fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The same, lenient: see mlimg_itree_walk_lenient(). @return as mlimg_ext4_walk() */
int mlimg_ext4_walk_lenient(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *root,
	mlimg_ext4_walk_fn *fn, mlimg_walk_skip_fn *skip, void *ctx,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Receives a file's contents piece by piece.
 *
 * @param data  bytes, NULL for a hole
 * @param size  their number, above 0
 * @param ctx   the caller's
 * @param err   where to put an error
 * @return      0, negative to stop
 */
typedef int mlimg_ext4_data_fn(const void *data, uint64_t size, void *ctx, struct mlimg_err *err);

/**
 * Read a regular file or a long symlink from its beginning to its end. Holes and unwritten extents
 * come as pieces without data.
 *
 * @param fs     the image
 * @param inode  the file
 * @param fn     gets the pieces in order
 * @param ctx    handed to @p fn
 * @param err    names the inode
 * @return       0, what @p fn returned when negative, or -errno
 */
int mlimg_ext4_read(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode,
	mlimg_ext4_data_fn *fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Write a file's contents to @p fd, holes as zeros. @return 0 or -errno */
int mlimg_ext4_copy(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode, int fd,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** SHA-256 of a file's contents. @return 0 or -errno */
int mlimg_ext4_digest(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode,
	uint8_t ret_digest[MLIMG_SHA256_SIZE], struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read @p n whole blocks from @p first on; those beyond the end of the file system are refused.
 *
 * @return 0 or -errno
 */
int mlimg_ext4_read_blocks(struct mlimg_ext4 *fs, uint64_t first, uint32_t n, void *data,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read a whole file into memory.
 *
 * @param fs        the image
 * @param root      the tree that @p path is in, "/" for the whole image
 * @param path      the file; symbolic links are not followed at the end
 * @param max       more bytes than this are refused
 * @param ret_data  NUL-terminated (the NUL is not counted); free() it
 * @param ret_size  bytes
 * @param err       names the path
 * @return          0 or -errno
 */
int mlimg_ext4_read_file(struct mlimg_ext4 *fs, const char *root, const char *path, size_t max,
	char **ret_data, size_t *ret_size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The layer's description. Refused: /mlimg/layer.json is not there or not sound, its kind is not
 * the label's, the UUID is not the build id's.
 *
 * @param fs        the image
 * @param ret_info  mlimg_layer_info_done() when done
 * @param err       names the image and what does not fit
 * @return          0 or -errno
 */
int mlimg_ext4_layer_info(struct mlimg_ext4 *fs, struct mlimg_layer_info *ret_info,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The stored manifest's text. Refused: it is not there, or its digest is not the build id.
 *
 * @param fs        the image
 * @param build_id  64 hex digits, from layer.json
 * @param ret_text  free() it
 * @param ret_size  bytes
 * @param err       names the image
 * @return          0 or -errno
 */
int mlimg_ext4_manifest_stored(struct mlimg_ext4 *fs, const char *build_id, char **ret_text,
	size_t *ret_size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Compute the manifest of the tree as it is: its entries, digests and hard link groups included.
 * Takes time: all contents are read. A reference of a patch (libmlimg/patch.h) has no digest, since
 * its contents lie elsewhere.
 *
 * @param fs         the image
 * @param data_max   bytes of contents that are digested at most, holes and all, each inode once; a
 *                   tree with more is refused. 0 leaves out the digests, and reads no contents
 * @param holes_max  bytes of holes among them: a file of holes costs its maker nothing and may
 *                   claim 16 TiB, which take hours
 * @param fn         called for each entry, complete, in order
 * @param ctx        handed to @p fn
 * @param err        names image and path
 * @return           0, what @p fn returned when negative, or -errno
 */
int mlimg_ext4_manifest_walk(struct mlimg_ext4 *fs, uint64_t data_max, uint64_t holes_max,
	mlimg_ext4_walk_fn *fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The same without digests, and what cannot be in a manifest is passed over: as
 * mlimg_walk_lenient() in a directory.
 *
 * @param fs    the image
 * @param fn    called for each entry, complete, in order
 * @param skip  as for mlimg_itree_walk_lenient(); told of each once
 * @param ctx   handed to both
 * @param err   names image and path
 * @return      0, what @p fn returned when negative, or -errno
 */
int mlimg_ext4_manifest_walk_lenient(struct mlimg_ext4 *fs, mlimg_ext4_walk_fn *fn,
	mlimg_walk_skip_fn *skip, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
