/* SPDX-License-Identifier: MIT */
/**
 * @file base.h
 * The base manifest: the merged manifest of the stack that a user layer runs on, kept in the user
 * layer as /mlimg/base.manifest.<generation> (libmlimg/boot.h), so that the next stack can be
 * compared with it; and beside it the base texts (libmlimg/base-texts.h).
 */
#ifndef MLIMG_BASE_H
#define MLIMG_BASE_H

#include <errno.h>

#include "guest-agent/lowers.h"
#include "libmlimg/base-texts.h"
#include "libmlimg/path-class.h"

#define MLIMG_BASE_PREFIX "base.manifest." /**< the generation follows */
#define MLIMG_TEXTS_PREFIX "base.texts."   /**< the generation follows */
#define MLIMG_BASE_NAME_SIZE 32            /**< the name, NUL included */

/** The manifest of a stack, merged out of its layers'. */
struct mlimg_merged {
	struct mlimg_manifest *layers[MLIMG_BOOT_LAYERS_MAX]; /**< whose strings @p merged shares */
	struct mlimg_manifest *merged;
};

/** The name of the base manifest of a generation. */
void mlimg_base_name(uint64_t generation, char ret_name[MLIMG_BASE_NAME_SIZE]);

/**
 * Read and check the manifests of mounted layers.
 *
 * @param layers    bottom first
 * @param n_layers  1 .. MLIMG_BOOT_LAYERS_MAX
 * @param merged    zeroed to begin with; those that it has already are not read again.
 *                  mlimg_merged_done() it, also on failure
 * @param err       names the layer
 * @return          0, -EUCLEAN, -errno
 */
int mlimg_base_load(const struct mlimg_mounted *layers, size_t n_layers,
	struct mlimg_merged *merged, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The same, and merge them.
 *
 * @param layers    as above
 * @param n_layers  as above
 * @param composed  manifest of what lies above them (libmlimg/compose.h), or NULL; must live as
 *                  long as @p merged
 * @param merged    as above
 * @param err       as above
 * @return          0, -EUCLEAN, -errno
 */
int mlimg_base_merge(const struct mlimg_mounted *layers, size_t n_layers,
	const struct mlimg_manifest *composed, struct mlimg_merged *merged,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free it; accepts a zeroed one. */
void mlimg_merged_done(struct mlimg_merged *merged);

/**
 * Write the base manifest of state->generation, durably.
 *
 * @param dir_fd    the user layer's /mlimg
 * @param manifest  what to write
 * @param state     generation is read; base_sha256 and base_size_bytes are set
 * @param err       names the file
 * @return          0, -errno
 */
int mlimg_base_write(int dir_fd, const struct mlimg_manifest *manifest,
	struct mlimg_boot_state *state, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Write the base texts of state->generation, durably, as far as the layers have them.
 *
 * @param dir_fd    the user layer's /mlimg
 * @param manifest  the merged manifest
 * @param lowers    the layers that it is of
 * @param classes   whose contents are kept
 * @param state     generation is read; texts_sha256 and texts_size_bytes are set, on failure to
 *                  nothing
 * @param err       names the file
 * @return          0, -errno
 */
int mlimg_base_write_texts(int dir_fd, const struct mlimg_manifest *manifest,
	const struct mlimg_lowers *lowers, const struct mlimg_path_classes *classes,
	struct mlimg_boot_state *state, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read the base texts that @p state names.
 *
 * @param user       the user layer
 * @param state      its state
 * @param ret_texts  mlimg_base_texts_done() it; none when the state names none
 * @param err        names the file
 * @return           0, -EUCLEAN when they are missing or damaged, -ENOMEM
 */
int mlimg_base_read_texts(const struct mlimg_mounted *user, const struct mlimg_boot_state *state,
	struct mlimg_base_texts *ret_texts, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return whether @p r is the error of a full disk or an exhausted quota */
static inline bool mlimg_is_no_room(int r)
{
	return r == -ENOSPC || r == -EDQUOT;
}

/**
 * Remove base manifests and texts of other generations and temporary files of mlimg_replace_file():
 * what a boot that ended early has left. A courtesy: what cannot be removed now takes room and does
 * nothing else.
 *
 * @param dir_fd      the user layer's /mlimg
 * @param generation  whose base manifest and texts stay; 0 for none
 */
void mlimg_base_remove_leftovers(int dir_fd, uint64_t generation);

/**
 * @return whether the base manifest that @p state names is there and as long as it must be; its
 * content is not read
 */
bool mlimg_base_is_there(int dir_fd, const struct mlimg_boot_state *state);

/**
 * Read the base manifest that @p state names.
 *
 * @param user          the user layer
 * @param state         its state
 * @param ret_manifest  free with mlimg_manifest_free()
 * @param err           names the file and says what to do
 * @return              0, -EUCLEAN when it is missing or damaged, -ENOMEM
 */
int mlimg_base_read(const struct mlimg_mounted *user, const struct mlimg_boot_state *state,
	struct mlimg_manifest **ret_manifest, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read base manifest and texts of a stack that a change has put away, "base.manifest" and
 * "base.texts" in a directory.
 *
 * @param user          the user layer
 * @param dir           "mlimg/undo/N"
 * @param state         that stack's state
 * @param ret_manifest  free with mlimg_manifest_free()
 * @param ret_texts     mlimg_base_texts_done() it; none when the state names none
 * @param err           names the file
 * @return              0, -ENOENT, -EUCLEAN, -ENOMEM, -errno
 */
int mlimg_base_read_taken(const struct mlimg_mounted *user, const char *dir,
	const struct mlimg_boot_state *state, struct mlimg_manifest **ret_manifest,
	struct mlimg_base_texts *ret_texts, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
