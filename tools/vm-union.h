/* SPDX-License-Identifier: MIT */
/**
 * @file vm-union.h
 * How a guest's layers become one tree: the union driver, and for the driver "index" the compiled
 * stack (index-merge.h).
 *
 * Compiled indexes are kept, so that a stack is compiled once, in a directory of the user's own:
 *
 *     DIR/STACK-PLACES.erofs    20 hex digits of the stack id, and 20 of a digest of MLIMG_INDEX_REVISION and every layer's size and places (libmlimg/index.h);
 *                               for a joined index also of that, and of every image's size; for one with a hash tree also of that
 *
 * So two images of one layer whose contents lie elsewhere never share an index. A file comes into
 * being whole, by renaming; it may be removed at any time, a running guest keeps what it has open.
 * Whoever compiles one removes those that no guest was started with for MLIMG_INDEX_KEPT_DAYS, by
 * their access times; nothing else is ever removed.
 */
#ifndef MLIMG_VM_UNION_H
#define MLIMG_VM_UNION_H

#include <stddef.h>

#include "libmlimg/err.h"
#include "libmlimg/index.h"
#include "libmlimg/stack.h"
#include "tools/initrd.h"

#define MLIMG_INDEX_KEPT_DAYS \
	30 /**< since the last start of a guest; compiling again costs less than a second */

/** A union driver. */
enum mlimg_union {
	MLIMG_UNION_AUTO =
		0, /**< wanted only: the first of the others that the initramfs knows; overlay where it does not say */
	MLIMG_UNION_OF_INDEX,
	MLIMG_UNION_OF_OVERLAY,
	MLIMG_UNION_OF_UNIONFS,
};

/** @return its name as in kernel parameters */
const char *mlimg_union_name(enum mlimg_union driver);

/** With an index: how it and the layers are attached. */
enum mlimg_disks {
	MLIMG_DISKS_AUTO =
		0, /**< wanted only: joined where the initramfs knows it and nothing is in the way */
	MLIMG_DISKS_JOINED,   /**< as one disk (vmdk.h) */
	MLIMG_DISKS_SEPARATE, /**< each as its own */
};

#define MLIMG_INITRD_IDENTITY "identity" /**< what one says that knows mlimg.identity */
#define MLIMG_INITRD_JOINED "joined"     /**< what an initramfs says that knows a joined index */

/** The read-only layers that an index is of. */
struct mlimg_vm_layers {
	const char *paths[MLIMG_STACK_LAYERS_MAX]; /**< bottom first; not owned */
	size_t n;
	const char *const *root_hashes; /**< of them; NULL: what is beside the images says them */
	char stack_id[MLIMG_SHA256_HEX_SIZE];
	bool is_joined; /**< their index is made for one disk with them */
	bool has_tree;  /**< their index has a hash tree (libmlimg/verity.h) */
};

/**
 * The driver called @p name: "auto", "index", "overlay", "unionfs".
 *
 * @param err  of kind MLIMG_ERR_USAGE
 * @return     0, -EINVAL
 */
int mlimg_union_of(
	const char *name, enum mlimg_union *ret_union, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The way called @p name: "joined", "separate".
 *
 * @param err  of kind MLIMG_ERR_USAGE
 * @return     0, -EINVAL
 */
int mlimg_disks_of(
	const char *name, enum mlimg_disks *ret_disks, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return "auto", "joined" or "separate" */
const char *mlimg_disks_name(enum mlimg_disks disks);

/**
 * Whether index and layers can be one disk.
 *
 * @param index   the index, which need not be there yet
 * @param layers  the layers
 * @param err     which file is in the way, and why
 * @return        0 or -errno
 */
int mlimg_vm_can_join(const char *index, const struct mlimg_vm_layers *layers,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Decide for MLIMG_UNION_AUTO.
 *
 * @param initrd   what the initramfs says of itself. It was made for its kernel, with this kernel's
 *                 modules at hand, so it knows of EROFS too
 * @param ret_why  the reason as one clause
 * @return         any but MLIMG_UNION_AUTO
 */
enum mlimg_union mlimg_union_choose(const struct mlimg_initrd *initrd, const char **ret_why);

/**
 * Compare an index with layers: superblocks and device table, as the guest will do.
 *
 * @param index   the file
 * @param layers  the layers; joined or not, as the index is
 * @param ret     what is in it; may be NULL
 * @param err     names the file that does not fit; of kind MLIMG_ERR_REFUSED
 * @return        0 or -errno
 */
int mlimg_vm_index_check(const char *index, const struct mlimg_vm_layers *layers,
	struct mlimg_index *ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Where the index of these layers is kept; nothing is created.
 *
 * @param dir       the directory, or NULL for the default: /var/cache/mlimg for root, else
 *                  $XDG_CACHE_HOME/mlimg, else ~/.cache/mlimg
 * @param layers    the layers
 * @param ret_path  free() it
 * @return          0 or -errno
 */
int mlimg_vm_index_path(const char *dir, const struct mlimg_vm_layers *layers, char **ret_path,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Have an index there: take the one that is kept if it fits, else compile it, and remove what was
 * not used for long. Several processes may do so at a time.
 *
 * @param path    from mlimg_vm_index_path(); its directory is created (0700) and must be nobody
 *                else's
 * @param layers  the layers
 * @param ret     what is in it
 * @return        0 or -errno
 */
int mlimg_vm_index_keep(const char *path, const struct mlimg_vm_layers *layers,
	struct mlimg_index *ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
