/* SPDX-License-Identifier: MIT */
/**
 * @file rebuild.h
 * Caches of the whole tree (libmlimg/rebuild.h) that are to be made anew in the guest: when the
 * stack is another one those that the layers list, and those that the reconcile has dropped; in
 * each later boot those that were made and are gone from the upper, since a factory reset has set
 * them aside, or because they covered protected paths (protect.h). The initramfs cannot make them:
 * programs of the merged root do.
 *
 *     /run/mlimg/rebuild          what is to be made in this boot, a path a line; missing when
 *                                 nothing is
 *     user layer: /mlimg/rebuild  what is to be made for this stack, as long as it is not made: a
 *                                 boot that ends before finds it again
 *                 /mlimg/derived  what was made for this stack and is in the upper
 *
 * mlimg-rebuild.service and mlimg-rebuild-rest.service run `mlimg-agent rebuild`, which moves what
 * it has made from rebuild to derived.
 */
#ifndef MLIMG_AGENT_REBUILD_H
#define MLIMG_AGENT_REBUILD_H

#include <stdint.h>

#include "guest-agent/mounted.h"
#include "libmlimg/report.h"
#include "libmlimg/text.h"

#define MLIMG_REBUILD_FILE "rebuild"
#define MLIMG_REBUILD_DERIVED "derived"
#define MLIMG_REBUILD_LIST_MAX (1u << 20) /**< bytes of a list that a reader accepts */

/** What a boot knows of it. */
struct mlimg_rebuild_boot {
	int root_fd, dir_fd; /**< /run/mlimg, and the user layer's /mlimg */
	int upper_fd;        /**< the user layer's upper */
	const struct mlimg_mounted *layers;
	size_t n_layers;
	/** the stack is another one, or the first, and no change has left a list */
	bool has_changed;
	bool may_write; /**< into the user layer */
};

/** Add a cache to a list, if something can make it and it is not among them. */
void mlimg_rebuild_collect(struct mlimg_text *list, const char *listed);

/**
 * Make ready what a change of the stack lists (change.h): it comes to the user layer's /mlimg
 * together with the new state, so that no stop can lose it. Called again it adds to what it has
 * written.
 *
 * @param own_fd  the user layer's /mlimg, whose present list stays in it
 * @param new_fd  reconcile.new
 * @param list    of mlimg_rebuild_collect()
 * @param err     names the file
 * @return        0, -ENOMEM, -errno
 */
int mlimg_rebuild_stage(int own_fd, int new_fd, const struct mlimg_text *list,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The same with what layers list, and what a report says was dropped.
 *
 * @param own_fd    as above
 * @param new_fd    as above
 * @param layers    of the stack that the change leads to
 * @param n_layers  their number
 * @param report    of the change
 * @param err       as above
 * @return          as above
 */
int mlimg_rebuild_stage_layers(int own_fd, int new_fd, const struct mlimg_mounted *layers,
	size_t n_layers, const struct mlimg_report *report, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Write down what is to be made.
 *
 * @param boot  see there
 * @param err   names the file. No room in the user layer is no error
 * @return      0, -ENOMEM, -errno
 */
int mlimg_rebuild_note(
	const struct mlimg_rebuild_boot *boot, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
