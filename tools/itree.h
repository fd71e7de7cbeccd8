/* SPDX-License-Identifier: MIT */
/**
 * @file itree.h
 * A tree of files within an image, whatever the image's format: finding a path, walking, reading
 * contents. What is common to all formats is here; a format (ext4-read.h, erofs-read.h) gives the
 * operations on single inodes. As with those the image may be a stranger's. Directories have the
 * form that they have in ext4-read.h.
 */
#ifndef MLIMG_TOOLS_ITREE_H
#define MLIMG_TOOLS_ITREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/ext4-read.h"

#define MLIMG_ITREE_INODE_MAX 2048 /**< bytes of a format's decoded inode */

/** Room for an inode of any format. */
struct mlimg_itree_room {
	_Alignas(16) uint8_t bytes[MLIMG_ITREE_INODE_MAX];
};

/** What every format's inode has. */
struct mlimg_itree_node {
	uint32_t ino;        /**< its number; all names of a file have the same */
	uint32_t nlink;      /**< as stored; names in the whole image */
	uint64_t size_bytes; /**< of the contents; of a directory what it takes */
	uint8_t type;        /**< enum mlimg_type */
	const void *inode;   /**< the format's; valid as long as the node */
};

/** Where a file has data: the rest are holes. */
struct mlimg_itree_run {
	uint64_t offset, size; /**< bytes within the file; not beyond its end */
};

/**
 * What a format gives. All return 0 or -errno, check what they read, and name the image in errors.
 */
struct mlimg_itree_ops {
	/**
	 * Read inode @p ino into @p ret_inode, at most MLIMG_ITREE_INODE_MAX bytes; fill @p
	 * ret_node.
	 */
	int (*inode)(void *image, uint32_t ino, void *ret_inode, struct mlimg_itree_node *ret_node,
		struct mlimg_err *err);
	/**
	 * Read a directory; no subdirectory may be in there twice. @p ret_dir is zeroed on failure.
	 */
	int (*dir)(void *image, const void *inode, struct mlimg_ext4_dir *ret_dir,
		struct mlimg_err *err);
	/**
	 * The same for looking up names, one after the other in the same directories: what was read
	 * is kept for a while. @p ret_dir is the image's, until the next call. NULL where the
	 * format has no such thing.
	 */
	int (*recent_dir)(void *image, const void *inode, const struct mlimg_ext4_dir **ret_dir,
		struct mlimg_err *err);
	/**
	 * Make an entry, without path, digest, hardlink and nlink. What it points to lies in @p
	 * attrs.
	 */
	int (*entry)(void *image, const void *inode, void *attrs, struct mlimg_entry *ret_entry,
		struct mlimg_err *err);
	/** Read a regular file from its beginning to its end. */
	int (*read)(void *image, const void *inode, mlimg_ext4_data_fn *fn, void *ctx,
		struct mlimg_err *err);
	/** mlimg_itree_data(). */
	int (*data)(void *image, const void *inode, struct mlimg_itree_run **ret_runs,
		size_t *ret_n, struct mlimg_err *err);
	/** The blocks that contents, a directory's names and xattrs take, in bytes. */
	int (*used)(void *image, const void *inode, uint64_t *ret_bytes, struct mlimg_err *err);
	void *(*attrs_new)(void); /**< NULL when there is no memory */
	void (*attrs_free)(void *attrs);
	/** Set the path that errors name beside the image; NULL for none. @return the former one */
	const char *(*at)(void *image, const char *path);
};

/** A tree. A plain value; the image must live as long. mlimg_ext4_tree() makes one. */
struct mlimg_itree {
	const struct mlimg_itree_ops *ops;
	void *image;
	const char *name; /**< the image's */
	const char *
		root; /**< where in the image the tree begins, as "/rootfs"; its own components are never followed */
	uint32_t root_ino; /**< inode of the image's "/" */
};

/** @return the tree of a layer's image: its /rootfs or /upper */
struct mlimg_itree mlimg_ext4_tree(struct mlimg_ext4 *fs);

/**
 * Find a path. ".." and absolute symbolic links stay in the tree, as after chroot(2).
 *
 * @param tree       the tree
 * @param path       a leading '/' changes nothing
 * @param follow     whether a symbolic link as last component is followed
 * @param ret_room   what the node's inode lies in
 * @param ret_node   what was found
 * @param err        names the path
 * @return           0; -ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG (kind MLIMG_ERR_FAILED); other
 *                   -errno
 */
int mlimg_itree_lookup(const struct mlimg_itree *tree, const char *path, bool follow,
	struct mlimg_itree_room *ret_room, struct mlimg_itree_node *ret_node,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Called for every entry of a walk, parents before children, in the order of manifests.
 *
 * @param entry  as the format makes it, and its path; valid for the call only
 * @param node   its inode
 * @param ctx    the caller's
 * @param err    where to put an error
 * @return       0 to go on, 1 to go on but not into this directory, negative to stop
 */
typedef int mlimg_itree_walk_fn(const struct mlimg_entry *entry,
	const struct mlimg_itree_node *node, void *ctx, struct mlimg_err *err);

/**
 * Walk. Refused beside what the format refuses: a directory that is reached twice or that contains
 * itself, a type that differs between directory and inode, a path or a number of entries above the
 * limits of manifest.h.
 *
 * @param tree  the tree
 * @param root  where to begin; its path is ""
 * @param fn    the visitor
 * @param ctx   handed to @p fn
 * @param err   names the path
 * @return      0, what @p fn returned when negative, or -errno
 */
int mlimg_itree_walk(const struct mlimg_itree *tree, const struct mlimg_itree_node *root,
	mlimg_itree_walk_fn *fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * As mlimg_itree_walk(), but what has a path above the limit of manifest.h is passed over with all
 * that is in it, as mlimg_walk_lenient() does in a directory: it is no damage, since anybody can
 * make it. What is damaged is refused all the same.
 *
 * @param tree  the tree
 * @param root  where to begin; its path is ""
 * @param fn    the visitor
 * @param skip  told of each: the path of its directory, and -ENAMETOOLONG; NULL to refuse it
 * @param ctx   handed to both
 * @param err   names the path
 * @return      0, what @p fn returned when negative, or -errno
 */
int mlimg_itree_walk_lenient(const struct mlimg_itree *tree, const struct mlimg_itree_node *root,
	mlimg_itree_walk_fn *fn, mlimg_walk_skip_fn *skip, void *ctx,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read a regular file, @p node of a walk or a lookup. Holes come as pieces without data.
 *
 * @return 0, what @p fn returned, or -errno
 */
int mlimg_itree_read(const struct mlimg_itree *tree, const struct mlimg_itree_node *node,
	mlimg_ext4_data_fn *fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read a regular file into memory.
 *
 * @param tree      the tree
 * @param node      of a walk or a lookup; whoever calls has compared its size with what may be
 * @param ret_text  node->size_bytes bytes, and a NUL behind them; free() it
 * @param err       names the image
 * @return          0 or -errno
 */
int mlimg_itree_read_text(const struct mlimg_itree *tree, const struct mlimg_itree_node *node,
	char **ret_text, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Where a regular file has data, ascending. Runs that lie together need not be one.
 *
 * @param tree      the tree
 * @param node      of a walk or a lookup
 * @param ret_runs  free() it; NULL when there are none
 * @param ret_n     their number
 * @param err       names the inode
 * @return          0 or -errno
 */
int mlimg_itree_data(const struct mlimg_itree *tree, const struct mlimg_itree_node *node,
	struct mlimg_itree_run **ret_runs, size_t *ret_n, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The blocks that are taken by contents, a directory's names, and xattrs. What is shared counts for
 * everybody who has it.
 *
 * @param tree       the tree
 * @param node       of a walk or a lookup
 * @param ret_bytes  a multiple of 4096
 * @param err        names the inode
 * @return           0 or -errno
 */
int mlimg_itree_used(const struct mlimg_itree *tree, const struct mlimg_itree_node *node,
	uint64_t *ret_bytes, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
