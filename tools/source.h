/* SPDX-License-Identifier: MIT */
/**
 * @file source.h
 * What a layer image is made from: a directory or a tar, read once, into a tree in memory. The tree
 * holds names and attributes; the contents of regular files go through ext4-data.h straight to
 * their blocks while the source is read, and the tree keeps where they are.
 *
 * A source may be a stranger's. What cannot be right (a path that climbs, a link to nothing) or
 * cannot be kept (a name ext4 does not hold) is refused with the entry's path in the message
 * (MLIMG_ERR_REFUSED); what the machine fails to do is MLIMG_ERR_FAILED.
 *
 * A million entries must fit (about 200 bytes each): one allocation a name, one an inode, from an
 * arena; no paths are kept.
 */
#ifndef MLIMG_TOOLS_SOURCE_H
#define MLIMG_TOOLS_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libmlimg/err.h"
#include "libmlimg/layer.h"
#include "libmlimg/manifest.h"
#include "tools/progress.h"

#define MLIMG_LINKS_MAX 65000 /**< names of one file: ext4's limit (EXT4_LINK_MAX) */
/** Times that ext4 holds: 32 bits signed, and two bits of epoch above them. */
#define MLIMG_EXT4_TIME_MIN INT64_C(-2147483648)
#define MLIMG_EXT4_TIME_MAX INT64_C(15032385535)

struct mlimg_data;
struct mlimg_tree;

/** A run of blocks of a file that is contiguous in the file and in the image. */
struct mlimg_extent {
	uint64_t start;   /**< first block in the image */
	uint32_t logical; /**< first block in the file */
	uint32_t count;   /**< blocks */
};

/** Contents of a file. */
struct mlimg_file {
	uint64_t size_bytes;
	struct mlimg_extent one;           /**< the extent, when there is only one */
	struct mlimg_extent *extents;      /**< all of them, when there are several; malloc()ed */
	uint32_t n_extents;                /**< ascending by logical, gaps are holes */
	uint8_t digest[MLIMG_SHA256_SIZE]; /**< set when mlimg_data_sync() has returned */
};

/** A thing with attributes; what has several names is there once. */
struct mlimg_inode {
	struct mlimg_xattr *xattrs; /**< sorted by name */
	int64_t mtime_s;
	union {
		struct mlimg_file *file; /**< MLIMG_FILE, and MLIMG_LINK that is not short */
		struct mlimg_node
			*entries; /**< MLIMG_DIR: sorted by name when the tree is finished */
		char *link;       /**< MLIMG_LINK: target */
		uint32_t dev[2];  /**< MLIMG_CHAR, MLIMG_BLOCK: major, minor */
	};
	uint32_t mtime_ns;
	uint32_t uid, gid;
	uint32_t nlink;    /**< names in the tree; of a directory: directories in it */
	uint32_t hardlink; /**< number of the group (manifest.h), 0 for one name; set by finish */
	uint32_t number;   /**< inode number in the image, given by the writer */
	uint32_t n_xattrs;
	uint16_t mode;   /**< 07777 */
	uint8_t type;    /**< enum mlimg_type */
	bool is_implied; /**< a directory that the source does not have itself */
};

/** A name in a directory. */
struct mlimg_node {
	struct mlimg_node *parent; /**< NULL for the image's root */
	struct mlimg_node *next;   /**< in the same directory */
	struct mlimg_inode *inode;
	char name[]; /**< "" for the image's root */
};

/**
 * Make a tree that consists of a root directory (0755 root, time 0).
 *
 * @param kind      what the layer will be; decides about overlayfs' marks
 * @param ret_tree  mlimg_tree_free() it
 */
int mlimg_tree_new(
	enum mlimg_kind kind, struct mlimg_tree **ret_tree, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free all of it; accepts NULL. */
void mlimg_tree_free(struct mlimg_tree *tree);

/** @return the root */
struct mlimg_node *mlimg_tree_root(struct mlimg_tree *tree);

/**
 * Put an entry into a directory, or in the place of the one that is there. A directory that takes a
 * directory's place keeps what is in it; anything else is refused where a directory with entries
 * stands.
 *
 * @param tree      the tree
 * @param parent    a directory
 * @param name      a valid name
 * @param entry     attributes; its path is used in messages only. Overlayfs' marks that only bind
 *                  to a former lower are dropped, others checked (mlimg_source_check())
 * @param ret_node  the entry's node; of a regular file, ->inode->file is there and empty
 */
int mlimg_tree_put(struct mlimg_tree *tree, struct mlimg_node *parent, const char *name,
	const struct mlimg_entry *entry, struct mlimg_node **ret_node,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Set the attributes of a directory that is there.
 *
 * @param tree   the tree
 * @param node   a directory
 * @param entry  of type MLIMG_DIR, checked as in mlimg_tree_put()
 */
int mlimg_tree_set(struct mlimg_tree *tree, struct mlimg_node *node,
	const struct mlimg_entry *entry, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Give what is there a further name.
 *
 * @param tree    the tree
 * @param parent  the directory
 * @param name    a valid name
 * @param inode   not a directory
 * @param path    for messages
 */
int mlimg_tree_link(struct mlimg_tree *tree, struct mlimg_node *parent, const char *name,
	struct mlimg_inode *inode, const char *path, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the entry @p name of the directory @p parent, or NULL */
struct mlimg_node *mlimg_tree_child(struct mlimg_tree *tree, const struct mlimg_node *parent,
	const char *name, size_t name_size);

/**
 * No more entries come: sort the directories, count links and number the groups of hard links.
 *
 * @param tree  the tree
 * @param top   the layer's own tree, as manifests have it
 */
int mlimg_tree_finish(
	struct mlimg_tree *tree, struct mlimg_node *top, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the node after @p node in the order of manifests, within @p top; NULL at the end */
struct mlimg_node *mlimg_tree_next(const struct mlimg_node *node, const struct mlimg_node *top);

/** @return the newest mtime below and including @p top, implied directories left out; 0 if none */
int64_t mlimg_tree_newest(const struct mlimg_node *top);

/** Give the directories that the source does not have itself the time @p time_s. */
void mlimg_tree_set_implied(struct mlimg_node *top, int64_t time_s);

/** What mlimg_tree_manifest() counts. */
struct mlimg_tree_sums {
	uint64_t entries;    /**< lines of the manifest that are entries */
	uint64_t size_bytes; /**< of regular files, a hard link once */
};

/** Put the entries from @p top on into @p sink, as manifest.h has them; digests must be there. */
void mlimg_tree_manifest(const struct mlimg_node *top, mlimg_sink *sink, void *ctx,
	struct mlimg_tree_sums *ret_sums);

/** @return @p node 's path below @p top, cut at the front with "..." where it is too long */
const char *mlimg_node_path(
	const struct mlimg_node *node, const struct mlimg_node *top, char *buf, size_t size);

/**
 * Whether a layer of @p kind can hold @p entry: names, times, numbers and xattrs within ext4's
 * limits; access control lists well formed; and of overlayfs' marks only those that may be.
 *
 * A system layer is the bottom of a stack: neither whiteouts nor trusted.overlay.* make sense in
 * it. In the others, a whiteout is a character device 0:0 and an opaque directory has
 * trusted.overlay.opaque = "y"; redirects, metacopies and marks that are not known are refused.
 */
int mlimg_source_check(const struct mlimg_entry *entry, enum mlimg_kind kind,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return bytes that ext4 needs for the xattr, at most (ACLs are stored in a shorter form) */
size_t mlimg_xattr_stored_size(const struct mlimg_xattr *xattr);

/** @return whether an image keeps the xattr; false for marks that bind an upper to its lower */
bool mlimg_source_keeps_xattr(const char *name);

/** Where a source's entries go. */
struct mlimg_source_to {
	struct mlimg_tree *tree;
	struct mlimg_node *top;  /**< directory that stands for the source's root */
	struct mlimg_data *data; /**< takes contents */
	enum mlimg_kind kind;
	dev_t image_dev;                 /**< the image itself, */
	ino_t image_ino;                 /**< which must not be part of the source */
	struct mlimg_progress *progress; /**< or NULL */
};

/**
 * Read a directory. Symbolic links are not followed; of other file systems mounted in it only the
 * mount points are taken, so that a /proc is not. A file that changes while it is read is an error.
 *
 * @param path  the directory
 * @param to    where it goes
 */
int mlimg_source_read_dir(
	const char *path, const struct mlimg_source_to *to, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read a tar of any dialect and compression that libarchive knows.
 *
 * Entries come in any order, later ones replace earlier ones, directories that are not there are
 * made (0755 root). Refused: absolute paths, "..", an entry below something that is no directory,
 * a hard link to what is not there or is a directory, an end before the end-of-archive mark.
 *
 * @param path  the tar; "-" is standard input
 * @param to    where it goes
 */
int mlimg_source_read_tar(
	const char *path, const struct mlimg_source_to *to, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
