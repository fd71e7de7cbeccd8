/* SPDX-License-Identifier: MIT */
/**
 * @file view.h
 * What the root of this guest is made of, to be looked at by its user's command (mlimg-cmd.h):
 * which layers there are, what the user's upper has, and what lies beneath a path of it. Nothing is
 * changed here, and nothing but what a boot has left is asked: boot.json (libmlimg/boot.h), and the
 * mounts beneath /run/mlimg (initramfs/README.md, "Where things are mounted").
 *
 * Trees are looked at by themselves and not through the union, which shows only what is on top. The
 * upper is a manifest in the neutral form (libmlimg/upper-source.h), so the union driver makes no
 * difference; the others are read where they are mounted. While the guest runs its upper changes:
 * what came or went since it was read is not an error.
 */
#ifndef MLIMG_VIEW_H
#define MLIMG_VIEW_H

#include "guest-agent/entry-at.h"
#include "guest-agent/mounted.h"
#include "libmlimg/json.h"
#include "libmlimg/upper-source.h"

#define MLIMG_VIEW_ROOT "/run/mlimg" /**< where layers are mounted, unless told otherwise */
#define MLIMG_VIEW_LABEL_SIZE (2 * MLIMG_LAYER_NAME_MAX + 24) /**< of a tree, NUL included */
#define MLIMG_VIEW_TREES_MAX \
	(MLIMG_BOOT_LAYERS_MAX + 3) /**< two uppers, what is composed, the layers */

/** What a tree is. */
enum mlimg_view_kind {
	MLIMG_VIEW_UPPER = 1, /**< what the user has changed; in a boot that loses changes, in it */
	MLIMG_VIEW_KEPT,     /**< in a boot that loses changes: what the user layer had before it */
	MLIMG_VIEW_COMPOSED, /**< databases of all layers (composed.h) */
	MLIMG_VIEW_LAYER,    /**< a layer, or the system layer with its patches */
	MLIMG_VIEW_INDEX,    /**< all layers, by their index */
};

/** A tree. */
struct mlimg_view_tree {
	enum mlimg_view_kind kind;
	int fd;                                /**< its root, or -1 */
	const struct mlimg_manifest *manifest; /**< what is in it, where that was read; else NULL */
	const struct mlimg_boot_layer *layer;  /**< of kind MLIMG_VIEW_LAYER; else NULL */
	char label[MLIMG_VIEW_LABEL_SIZE];     /**< for people: "system debian 12.1" */
};

/** The layers of an index by their manifests, which say what is whose. */
struct mlimg_view_layers {
	struct mlimg_manifest *manifests[MLIMG_BOOT_LAYERS_MAX + 1]; /**< owned */
	struct mlimg_view_tree trees[MLIMG_BOOT_LAYERS_MAX + 2];     /**< topmost first */
	size_t n;
};

/** A view. */
struct mlimg_view {
	const char *root;   /**< "/run/mlimg" */
	const char *merged; /**< "/" */
	int root_fd, merged_fd;
	int user_fd;  /**< the user layer's top directory, or -1: there is none */
	json_t *boot; /**< boot.json; NULL: this system was not booted by mlimg */
	enum mlimg_boot_mode mode;
	uint64_t generation;
	struct mlimg_boot_stack stack;
	bool is_unionfs;
	struct mlimg_view_tree trees[MLIMG_VIEW_TREES_MAX]; /**< topmost first; 0 is the upper */
	size_t n_trees;
	struct mlimg_upper_dir uppers[2];    /**< of the trees that are uppers */
	struct mlimg_manifest *manifests[2]; /**< theirs; owned */
	uint64_t n_skipped;                  /**< entries of uppers that could not be read */
	char skipped[MLIMG_ERR_TEXT_SIZE];   /**< the first of them, and why */
	struct mlimg_view_layers *layers;    /**< private */
	struct mlimg_view_sent *sent;        /**< private: who is not root has these */
};

/**
 * Read what this boot has left.
 *
 * @param root      /run/mlimg
 * @param merged    the root that the guest sees; both must live as long as @p view
 * @param ret_view  mlimg_view_close() it, also on failure. Only root can open /run/mlimg; for
 *                  everybody there is boot.json's copy beside it, and the descriptors stay -1
 * @param err       see there
 * @return          0, also when this system was not booted by mlimg; -EUCLEAN when boot.json is
 *                  damaged; other -errno
 */
int mlimg_view_open(const char *root, const char *merged, struct mlimg_view *ret_view,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Open the trees and read the upper. For who is not root the daemon opens them (view-client.h); then
 * what this user may not read is not there, nor are xattrs in trusted.*, by which overlayfs tells
 * opaque and renamed directories.
 *
 * @param view  see there
 * @param err   not booted by mlimg, a boot without a user layer, no daemon
 * @return      0, -errno
 */
int mlimg_view_load(struct mlimg_view *view, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Say why there is no user layer to look into, if so.
 *
 * @param view  open
 * @param err   not booted by mlimg, not root, a boot without a user layer
 * @return      0, -errno
 */
int mlimg_view_need_user(const struct mlimg_view *view, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Close it; accepts a zeroed one. */
void mlimg_view_close(struct mlimg_view *view);

/**
 * Where a name that was typed lies in the merged root: symbolic links in the directories before the
 * last component are followed, as far as they are there.
 *
 * @param view      see there
 * @param typed     absolute, or relative to the working directory
 * @param ret_path  as in manifests; "" the root
 * @param err       names it
 * @return          0; -ENAMETOOLONG
 */
int mlimg_view_resolve(const struct mlimg_view *view, const char *typed,
	char ret_path[MLIMG_PATH_MAX + 1], struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Look at what one tree has at a path, whatever lies above it.
 *
 * @param tree       see there
 * @param reader     holds what the entry points to until the next call
 * @param path       as in manifests; need not be there
 * @param ret_entry  path is @p path; no digest
 * @return           1, 0 when there is nothing, -errno
 */
int mlimg_view_at(const struct mlimg_view_tree *tree, struct mlimg_entry_reader *reader,
	const char *path, struct mlimg_entry *ret_entry) MLIMG_MUST_CHECK;

/** What lies beneath. */
struct mlimg_view_found {
	const struct mlimg_view_tree *tree; /**< that has it; NULL: nothing is there */
	char path[MLIMG_PATH_MAX + 1];      /**< where, in that tree */
	struct mlimg_entry entry;           /**< valid until the next question */
};

/** Remembers directories, so that paths in the order of manifests are looked up quickly. */
struct mlimg_view_cursor;

/** @return a cursor, mlimg_view_cursor_free() it; NULL when there is no memory */
struct mlimg_view_cursor *mlimg_view_cursor_new(const struct mlimg_view *view);

/** Free it; accepts NULL. */
void mlimg_view_cursor_free(struct mlimg_view_cursor *cursor);

/**
 * Look what would show at a path if the upper did not have it, or not what it has: directories
 * above it are the upper's nevertheless, with what they hide, and what they show of other places
 * when they were renamed.
 *
 * @param cursor  its buffers hold the result until the next call
 * @param path    as in manifests
 * @param ret     what is there
 * @param err     names the path
 * @return        0, -errno
 */
int mlimg_view_beneath(struct mlimg_view_cursor *cursor, const char *path,
	struct mlimg_view_found *ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Look where the layers have what shows in a directory of the upper.
 *
 * @param cursor    as above
 * @param path      of the directory; the root is no answer's
 * @param ret_path  where, in the topmost tree that has anything to show there; "" none
 * @param err       names the path
 * @return          0, -errno
 */
int mlimg_view_dir_beneath(struct mlimg_view_cursor *cursor, const char *path,
	char ret_path[MLIMG_PATH_MAX + 1], struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The trees, one by one. With an index these are what it was compiled from, by their manifests.
 *
 * @param view       loaded
 * @param ret_trees  topmost first, beneath the uppers; belong to @p view
 * @param err        names the layer
 * @return           their number, -errno
 */
int mlimg_view_layers(struct mlimg_view *view, const struct mlimg_view_tree **ret_trees,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Whose something is that mlimg_view_beneath() has found: the tree, or of an index the layer.
 *
 * @param view   loaded
 * @param found  something
 * @return       the tree that people know
 */
const struct mlimg_view_tree *mlimg_view_owner(
	struct mlimg_view *view, const struct mlimg_view_found *found);

/** Open a regular file of a tree that has a descriptor, for reading. @return -errno */
int mlimg_view_open_file(const struct mlimg_view_tree *tree, const char *path);

#endif
