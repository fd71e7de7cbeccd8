/* SPDX-License-Identifier: MIT */
/**
 * @file composed.h
 * The composed tree of a stack (libmlimg/compose.h) where it is no index that has it: a directory
 * that becomes the topmost of the read-only layers, right below the user's.
 *
 * It is made once for each stack, and lies in the user layer, on the same file system as the upper:
 *
 *     /mlimg/composed.<stack>-<N>/rootfs     the tree; 20 digits of the stack id, and the number of the rules
 *     /mlimg/composed.<stack>-<N>/manifest   its manifest
 *
 * It appears there whole, by rename, after it is on stable storage; then /run/mlimg/composed is a
 * symbolic link to it. In the modes that write nothing into the user layer, and when there is no
 * room in it, /run/mlimg/composed is a directory with the same in it: it takes memory, and is made
 * in every boot. So it is where layers are read through hash trees, or protect paths (protect.h):
 * what lies in the user layer is the user's. Where nothing is composed there is no
 * /run/mlimg/composed.
 */
#ifndef MLIMG_COMPOSED_H
#define MLIMG_COMPOSED_H

#include "guest-agent/base.h"
#include "libmlimg/compose.h"

#define MLIMG_COMPOSED_DIR "composed"     /**< beneath /run/mlimg */
#define MLIMG_COMPOSED_PREFIX "composed." /**< beneath the user layer's /mlimg */
#define MLIMG_COMPOSED_NAME_SIZE 64       /**< "composed.<stack>-<N>", NUL included */

/** What is composed of this boot's stack. Zero it to begin with. */
struct mlimg_composed_stack {
	struct mlimg_composed
		composed; /**< manifest NULL: nothing; texts NULL: they are where they shall be */
	char digest[MLIMG_SHA256_HEX_SIZE]; /**< of the manifest as text; "": nothing is composed */
};

/** The name of the tree of a stack, beneath the user layer's /mlimg. */
void mlimg_composed_name(const char *stack_id, char ret_name[MLIMG_COMPOSED_NAME_SIZE]);

/**
 * Take what a mounted index has.
 *
 * @param layer  one of its layers
 * @param ret    mlimg_composed_stack_done() it, also on failure
 * @param err    names the file
 * @return       0, -EUCLEAN, -errno
 */
int mlimg_composed_of_index(const struct mlimg_mounted *layer, struct mlimg_composed_stack *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Take what an earlier boot has composed of the same layers and left in the user layer.
 *
 * @param user      the user layer
 * @param stack_id  of the layers
 * @param ret       as above
 * @return          whether there is such a tree
 */
bool mlimg_composed_is_kept(
	const struct mlimg_mounted *user, const char *stack_id, struct mlimg_composed_stack *ret);

/**
 * Compose.
 *
 * @param root_fd   /run/mlimg
 * @param layers    bottom first, mounted themselves
 * @param n_layers  their number
 * @param merged    its manifests are read where they are not yet
 * @param ret       as above
 * @param err       names the layer
 * @return          0, -EUCLEAN, -errno
 */
int mlimg_composed_make(int root_fd, const struct mlimg_mounted *layers, size_t n_layers,
	struct mlimg_merged *merged, struct mlimg_composed_stack *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** How the tree is to come to /run/mlimg/composed. */
struct mlimg_composed_place {
	int root_fd; /**< /run/mlimg */
	int dir_fd;  /**< the user layer's /mlimg, when it may be written to; else -1 */
	const char *stack_id;
	bool is_kept; /**< mlimg_composed_is_kept() */
};

/**
 * Put the tree where the union looks for it, and into the user layer if it is to be there and is
 * not. Trees of other stacks are removed from there: nothing is mounted yet.
 *
 * @param place  see there
 * @param stack  what is composed, perhaps nothing
 * @param err    names the path
 * @return       0; 1 when there was no room for it in the user layer, and it is in memory; -errno
 */
int mlimg_composed_put(const struct mlimg_composed_place *place,
	const struct mlimg_composed_stack *stack, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_composed_stack_done(struct mlimg_composed_stack *stack);

#endif
