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
 * Several sources are merged as overlayfs would merge them, but read from the topmost down: what a
 * source above has hidden is passed over when it comes, so nothing is written that a later source
 * takes away, and each source is read once. Each has a level, 1 is the topmost.
 *
 * - A name that a source above has, as anything but a directory, hides that name.
 * - Directories merge, with the attributes that the topmost source gives; one that a source only
 *   has because of entries in it (is_implied) has none to give. A directory ends at the first level
 *   that marks it opaque, has a whiteout in its place, or something else of that name.
 * - In the end whiteouts and opaque directories are left out of a system layer, and stay in the
 *   others. A directory that ended at something of a source is opaque, since that hid what lies
 *   beneath the layer too.
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

struct mlimg_beneath;
struct mlimg_beneath_later;
struct mlimg_known;
struct mlimg_data;
struct mlimg_owner_map;
struct mlimg_rules;
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
	struct mlimg_extent one; /**< the extent, when there is only one */
	union {
		struct mlimg_extent
			*extents; /**< all of them, when there are several; malloc()ed */
		char *bytes;      /**< is_captured: the contents and a NUL; malloc()ed */
	};
	uint32_t n_extents; /**< ascending by logical, gaps are holes */
	bool is_captured;   /**< contents go into memory, not into the image */
	bool is_apart : 1;  /**< goes to mlimg_data_set_apart()'s, as long as it is not placed */
	bool is_moved : 1;  /**< placed, or has made room for what is: profile-place.h */
	bool is_shared : 1; /**< another file will have the same extents: ext4-same.h */
	/** not in the tree any more; its extents are freed unless is_shared */
	bool is_dropped : 1;
	/** not written, since these contents are known (mlimg_data_leave_out()) */
	bool is_left_out;
	uint8_t digest[MLIMG_SHA256_SIZE]; /**< set when mlimg_data_sync() has returned */
};

/**
 * @return a file's extents, @p file ->n_extents of them; to change them is for whoever may change
 * the file
 */
static inline struct mlimg_extent *mlimg_file_extents(const struct mlimg_file *file)
{
	return file->n_extents > 1 ? file->extents : (struct mlimg_extent *)&file->one;
}

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
	uint16_t level;    /**< of the source it is from; of a directory, its attributes */
	uint16_t sealed;   /**< a directory: the last level that has entries in it; 0: all may */
	bool hides : 1;    /**< mlimg_tree_hide() was called for it in its own level */
	bool is_moved : 1; /**< a directory whose lower entries are another's: source-upper.h */
	bool is_spent : 1; /**< a whiteout that hides nothing, and is left out in the end */
	bool is_mount : 1; /**< a directory on which another file system was mounted */
	bool is_kept : 1;  /**< belongs into a patch: mkfs-delta.h */
	char name[];       /**< "" for the image's root */
};

/** What becomes of an entry of a source. */
enum mlimg_verdict {
	MLIMG_TAKE,
	MLIMG_LEAVE_OUT, /**< as though no source had it */
	MLIMG_EMPTY,     /**< an empty file instead */
	MLIMG_CAPTURE, /**< a file whose contents stay in memory (struct mlimg_file, is_captured) */
};

/**
 * @param ctx       mlimg_tree_judge()'s
 * @param entry     path, type and time are set, and of a file its size: UINT64_MAX where that is
 *                  not known yet
 * @param is_asked  somebody only wants to know
 */
typedef enum mlimg_verdict mlimg_judge_fn(
	void *ctx, const struct mlimg_entry *entry, bool is_asked);

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
 * From now on entries of the next level come; the first call begins level 1.
 *
 * @param tree         the tree
 * @param has_beneath  another level will follow, so that whiteouts make sense in a system layer too
 */
void mlimg_tree_begin_level(struct mlimg_tree *tree, bool has_beneath);

/**
 * From now on let a function decide what becomes of entries. What it does not take is checked as
 * any entry, and does not get into the tree; its contents are passed over.
 *
 * @param tree   the tree
 * @param judge  NULL: take all again
 * @param ctx    handed to @p judge
 */
void mlimg_tree_judge(struct mlimg_tree *tree, mlimg_judge_fn *judge, void *ctx);

/** @return whether a file at @p path would be left out */
bool mlimg_tree_leaves_out(const struct mlimg_tree *tree, const char *path);

/** @return whether contents of a file that has this path in the layer go apart */
typedef bool mlimg_choose_fn(void *ctx, const char *path);

/**
 * From now on let a function choose the files whose contents go apart: is_apart of struct
 * mlimg_file. Of a file with several names, the one that comes first is asked for.
 *
 * @param tree    the tree
 * @param top     where paths begin
 * @param choose  NULL: none
 * @param ctx     handed to @p choose
 */
void mlimg_tree_choose(
	struct mlimg_tree *tree, const struct mlimg_node *top, mlimg_choose_fn *choose, void *ctx);

/** @return whether there are levels above the present one */
bool mlimg_tree_has_above(const struct mlimg_tree *tree);

/**
 * @return whether nothing at or below the path of @p node can come from the present level any more
 */
bool mlimg_node_is_closed(const struct mlimg_tree *tree, const struct mlimg_node *node);

/** @return whether @p node is there only because mlimg_tree_hide() was called */
bool mlimg_node_is_hiding(const struct mlimg_node *node);

/** Let nothing from beneath the present level come into the directory @p node. */
void mlimg_tree_seal(struct mlimg_tree *tree, struct mlimg_node *node);

/**
 * Hide what the levels beneath have at a path, whether the present level itself has something there
 * or not, before or after this call.
 *
 * @param tree    the tree
 * @param parent  a directory
 * @param name    a valid name
 * @param marker  what says so; its path (of what is hidden) and time are used
 */
int mlimg_tree_hide(struct mlimg_tree *tree, struct mlimg_node *parent, const char *name,
	const struct mlimg_entry *marker, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Put an entry into a directory, or in the place of the one that is there. A directory that takes a
 * directory's place keeps what is in it; anything else is refused where a directory with entries
 * stands. What a level above hides is checked and then passed over.
 *
 * @param tree      the tree
 * @param parent    a directory
 * @param name      a valid name
 * @param entry     attributes; its path and size are used in messages and by the judge only.
 *                  Overlayfs' marks that only bind to a former lower are dropped, others checked
 *                  (mlimg_source_check())
 * @param ret_node  the entry's node; of a regular file, ->inode->file is there and empty. NULL when
 *                  the entry is hidden, or judged
 */
int mlimg_tree_put(struct mlimg_tree *tree, struct mlimg_node *parent, const char *name,
	const struct mlimg_entry *entry, struct mlimg_node **ret_node,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Set the attributes of the root, unless a level above has set them. overlayfs merges roots always,
 * so that a mark of opacity counts for nothing here.
 *
 * @param tree   the tree
 * @param node   the directory that stands for the sources' roots
 * @param entry  of type MLIMG_DIR, checked as in mlimg_tree_put()
 */
int mlimg_tree_set(struct mlimg_tree *tree, struct mlimg_node *node,
	const struct mlimg_entry *entry, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Make an inode what @p entry says; it keeps its names.
 *
 * @param tree   the tree
 * @param inode  of an empty regular file
 * @param entry  no directory
 */
int mlimg_tree_fill(struct mlimg_tree *tree, struct mlimg_inode *inode,
	const struct mlimg_entry *entry, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Give what is there a further name, unless that is hidden.
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

/**
 * @return whether overlayfs' mark @p mark, its name after the prefix, only binds an upper to its
 * lower
 */
bool mlimg_overlay_mark_is_binding(const char *mark);

/** How much sources may hold that they do not store: what packed ones unpack to, and holes. */
struct mlimg_budget {
	uint64_t limit_bytes; /**< in all */
	uint64_t used_bytes;
};

/** Where a source's entries go. A reader begins a level for each layer it finds in the source. */
struct mlimg_source_to {
	struct mlimg_tree *tree;
	struct mlimg_node *top;  /**< directory that stands for the source's root */
	struct mlimg_data *data; /**< takes contents */
	enum mlimg_kind kind;
	bool has_beneath;                    /**< another source lies beneath this one */
	dev_t image_dev;                     /**< the image itself, */
	ino_t image_ino;                     /**< which must not be part of the source */
	struct mlimg_progress *progress;     /**< or NULL */
	struct mlimg_budget *budget;         /**< or NULL: no limit */
	struct mlimg_owner_map *owners;      /**< of the source's entries, or NULL: as they are */
	const struct mlimg_beneath *beneath; /**< layers beneath the new one, NULL: not known */
	struct mlimg_rules *rules;           /**< of the layer, or NULL */
	const struct mlimg_known *known;     /**< contents that need not be written, or NULL */
	/**
	 * Layers whose files are taken to be the source's where path, size, time and attributes
	 * are; NULL: contents are read.
	 */
	struct mlimg_beneath_later *trusted;
	const char *spool_dir; /**< where a copy of a source may lie for a while */
};

/**
 * The directory that holds @p path in the present level; those that are not there are made (0755
 * root, implied). Refused: one that is no directory.
 *
 * @param to          the tree
 * @param source      the source's name, for messages
 * @param path        as in manifests, not ""; changed for a while
 * @param ret_parent  the directory; NULL when a level above hides it
 * @param ret_name    what follows in @p path
 */
int mlimg_tree_parent(const struct mlimg_source_to *to, const char *source, char *path,
	struct mlimg_node **ret_parent, const char **ret_name,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Take from the budget what a packed source holds.
 *
 * @param to    whose budget
 * @param size  bytes unpacked, holes included: they have to be hashed too
 * @param name  the source's, for the message
 */
int mlimg_source_spend(const struct mlimg_source_to *to, uint64_t size, const char *name,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Take from the budget a hole of a file in a source that is not packed: hashing it takes time, and
 * it costs its maker nothing.
 *
 * @param to    whose budget
 * @param size  its bytes
 * @param path  the file's, for the message
 */
int mlimg_source_spend_hole(const struct mlimg_source_to *to, uint64_t size, const char *path,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** What a directory is. */
enum mlimg_dir_form {
	/** what it looks like; whiteouts and opaque directories as overlayfs has them */
	MLIMG_DIR_PLAIN,
	MLIMG_DIR_UPPER,      /**< an upper of overlayfs: source-upper.h */
	MLIMG_DIR_UPPER_USER, /**< one of an overlay that was mounted with userxattr */
	MLIMG_DIR_UNIONFS,    /**< a branch of unionfs-fuse: source-unionfs.h */
};

/**
 * Read a directory. Symbolic links are not followed; of other file systems mounted in it only the
 * mount points are taken, so that a /proc is not. A file that changes while it is read is an error.
 *
 * @param path  the directory
 * @param form  what it is
 * @param to    where it goes
 */
int mlimg_source_read_dir(const char *path, enum mlimg_dir_form form,
	const struct mlimg_source_to *to, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read a tar of any dialect and compression that libarchive knows.
 *
 * Entries come in any order, later ones replace earlier ones, directories that are not there are
 * made (0755 root). Refused: absolute paths, "..", an entry below something that is no directory,
 * a hard link to what is not there or is a directory, an end before the end-of-archive mark, more
 * than the budget.
 *
 * The tar is read once. A second time only where a name that shows is a hard link to one that a
 * level above hides; so a tar that cannot be read twice is copied first, unless nothing lies above
 * it.
 *
 * @param path  the tar; "-" is standard input
 * @param to    where it goes
 */
int mlimg_source_read_tar(
	const char *path, const struct mlimg_source_to *to, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
