/* SPDX-License-Identifier: MIT */
/**
 * @file inspect-stack.h
 * An index as mlimg-inspect has it: with its description, and with those of its layers' images that
 * were given.
 */
#ifndef MLIMG_TOOLS_INSPECT_STACK_H
#define MLIMG_TOOLS_INSPECT_STACK_H

#include "tools/erofs-read.h"

/** An open index. */
struct mlimg_inspect_stack {
	struct mlimg_erofs_image *image;
	struct mlimg_itree tree; /**< /rootfs, what a guest sees */
	struct mlimg_stack_infos infos;
	char stack_id[MLIMG_SHA256_HEX_SIZE];
	struct mlimg_ext4
		*layers[MLIMG_STACK_LAYERS_MAX]; /**< bottom first; NULL where not given */
	size_t n_given;
	uint64_t given_bytes; /**< of contents, by their own descriptions */
};

/** What the digests of a manifest are to be. */
enum mlimg_inspect_digests {
	/**
	 * Of the contents as the layers' manifests give them, which takes all layers; without all
	 * of them there are none.
	 */
	MLIMG_DIGESTS_STORED,
	MLIMG_DIGESTS_COMPUTED, /**< of the contents, which are read */
	/**
	 * Of where the contents lie, and in which layers: equal means equal contents, different
	 * means nothing. They cost nothing and need no layer. Contents in the index itself have
	 * that of their bytes.
	 */
	MLIMG_DIGESTS_PLACES,
};

/** @return whether @p path is a file or a disk with the label of an index, damaged or not */
bool mlimg_inspect_is_index(const char *path);

/**
 * Open an index, or a disk that begins with a joined one, which has the layers' images itself.
 * Refused: superblock, device table and /mlimg/stack.json disagree.
 *
 * @param path       the index
 * @param layers     images of layers, in any order; those of other stacks are passed over
 * @param n_layers   their number
 * @param is_used    for each: set when it is one of this stack; else left as it is
 * @param ret_stack  mlimg_inspect_stack_close() it
 * @param err        names the image
 * @return           0 or -errno
 */
int mlimg_inspect_stack_open(const char *path, const char *const *layers, size_t n_layers,
	bool *is_used, struct mlimg_inspect_stack **ret_stack,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Close it; accepts NULL. */
void mlimg_inspect_stack_close(struct mlimg_inspect_stack *stack);

/**
 * Called for each entry of mlimg_inspect_stack_walk(). @param is_own its contents are in the index
 * itself
 */
typedef int mlimg_inspect_stack_fn(
	const struct mlimg_entry *entry, bool is_own, void *ctx, struct mlimg_err *err);

/**
 * Walk what a guest sees, complete with hard link groups as in merged manifests (libmlimg/merge.h),
 * and digests.
 *
 * @param stack      the index
 * @param digests    which
 * @param holes_max  bytes of holes that are read for MLIMG_DIGESTS_COMPUTED
 * @param fn         the visitor
 * @param ctx        handed to @p fn
 * @param err        names the path
 * @return           0, what @p fn returned when negative, or -errno
 */
int mlimg_inspect_stack_walk(struct mlimg_inspect_stack *stack, enum mlimg_inspect_digests digests,
	uint64_t holes_max, mlimg_inspect_stack_fn *fn, void *ctx,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The layers' manifests, and above them that of what is composed. */
struct mlimg_inspect_merged {
	struct mlimg_manifest *layers[MLIMG_STACK_LAYERS_MAX];
	struct mlimg_manifest *composed; /**< as the index has it; NULL: it has none */
	struct mlimg_manifest *merged;   /**< of all of them */
};

/**
 * Read and merge them, which takes all layers. @param ret_merged mlimg_inspect_merged_done() when
 * done
 *
 * @return 0 or -errno
 */
int mlimg_inspect_stack_merge(struct mlimg_inspect_stack *stack,
	struct mlimg_inspect_merged *ret_merged, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Compose what the layers' records change, and compare with what the index has.
 *
 * @param stack   with all its layers
 * @param merged  of mlimg_inspect_stack_merge()
 * @param err     names the index. Refused: it is not the same. One that was composed by other rules
 *                (libmlimg/compose.h) is not compared
 * @return        0 or -errno
 */
int mlimg_inspect_stack_recompose(struct mlimg_inspect_stack *stack,
	const struct mlimg_inspect_merged *merged, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_inspect_merged_done(struct mlimg_inspect_merged *merged);

/** @return whether all layers' images were given */
static inline bool mlimg_inspect_stack_is_complete(const struct mlimg_inspect_stack *stack)
{
	return stack->n_given == stack->infos.n_layers;
}

#endif
