/* SPDX-License-Identifier: MIT */
/**
 * @file index-merge.h
 * The compiled stack: merges layers' ext4 images into the tree that overlayfs would show, as an
 * EROFS image (erofs-write.h) whose files are the blocks of the layers' own images.
 *
 * What the image holds:
 *
 *     /rootfs                  the merged tree
 *     /mlimg/stack.json        the layers' descriptions (libmlimg/stack.h)
 *     /mlimg/manifests/N       the manifest of layer N, 0 is the system layer: the same blocks as in the layer's image, so it costs nothing.
 *                              The merged manifest is what libmlimg/merge.h makes of them, and of the next one above them.
 *     /mlimg/composed          the manifest of the composed tree (libmlimg/compose.h); missing where nothing is composed
 *
 * Device N + 1 of the image is layer N; its slot in the device table has what a boot compares the
 * layer's disk with (libmlimg/index.h). The image's UUID is derived from the stack id,
 * MLIMG_INDEX_REVISION and the layers' images (libmlimg/index.h); its label is "mlimg-index".
 *
 * Rules of the merge are overlayfs' (the kernel's Documentation/filesystems/overlayfs.rst): the
 * topmost layer that has a name decides; a whiteout hides it; directories merge down to the first
 * layer that is opaque there or has something else; a merged directory has the topmost one's
 * attributes. trusted.overlay.* never shows. A link count is the one in the layer, hidden names
 * included, as overlayfs shows it.
 *
 * Composed entries are those that no layer has: a file whose contents were made out of several
 * layers' (a database of packages, say), and whatever else must be there for it. They act as one
 * layer more, above all others: an entry hides what layers have of that name; a directory merges
 * with theirs and has the entry's attributes; a whiteout hides; directories that are not named show
 * as the layers have them. Contents lie in the index itself. An index is found by its stack's id
 * (libmlimg/index.h): composed entries must follow from the layers alone, or what a stack shows
 * would be two things. Those of mlimg-index are the databases that the layers' records change.
 *
 * References of patch layers (libmlimg/patch.h) are followed: such a file has the patch's
 * attributes and the blocks of the layer where its contents lie.
 *
 * Refused, naming layer and path: trusted.overlay.redirect and .metacopy on anything else, a
 * reference to nothing or to a file of another size, a directory that is reached twice, an xattr
 * that EROFS cannot store, and whatever ext4-read.h refuses.
 */
#ifndef MLIMG_TOOLS_INDEX_MERGE_H
#define MLIMG_TOOLS_INDEX_MERGE_H

#include <stddef.h>

#include "libmlimg/compose.h"
#include "libmlimg/err.h"
#include "libmlimg/layer.h"
#include "tools/erofs-write.h"
#include "tools/ext4-read.h"

/**
 * To be raised when the same layers give another index, be it only other inode numbers: one that
 * was compiled and kept before is then compiled anew, and has another UUID.
 */
#define MLIMG_INDEX_REVISION (2 + MLIMG_COMPOSE_REVISION)

/** One layer of the stack. */
struct mlimg_index_layer {
	struct mlimg_ext4 *fs;               /**< open */
	const struct mlimg_layer_info *info; /**< its description */
};

/** A composed entry. */
struct mlimg_index_composed {
	/**
	 * Path within /rootfs, without a '/' before it; a file, directory, symlink or whiteout
	 * (libmlimg/whiteout.h) with its attributes and xattrs. A file's size_bytes is that of @p
	 * data; link count, digest and hardlink do not matter
	 */
	const struct mlimg_entry *entry;
	const void *data; /**< a file's contents, at most 64 MiB */
};

/** What an index says of itself: texts of files in its /mlimg. */
struct mlimg_index_texts {
	const char *stack_json;
	const char *composed; /**< NULL: there is none */
};

/**
 * Merge layers.
 *
 * @param layers     bottom first; a system layer, patches, software layers
 * @param n_layers   1 to MLIMG_STACK_LAYERS_MAX
 * @param texts      what is put into /mlimg
 * @param composed   composed entries, in the order of manifests; nothing of them is kept
 * @param n_composed their number; 0 for none
 * @param ret_image  ready for mlimg_erofs_write(); mlimg_erofs_free() it
 * @param err        names layer and path
 * @return           0; -EUCLEAN when refused; -ENOENT when the directory of a composed entry is not
 *                   there; -EINVAL when composed entries are not in order; other -errno
 */
int mlimg_index_merge(const struct mlimg_index_layer *layers, size_t n_layers,
	const struct mlimg_index_texts *texts, const struct mlimg_index_composed *composed,
	size_t n_composed, struct mlimg_erofs **ret_image, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
