/* SPDX-License-Identifier: MIT */
/**
 * @file compose-alternatives.h
 * Groups of update-alternatives(1) across layers: between compose.c, which makes a tree, and what
 * packages-alternatives.c knows of such groups. Not for other modules.
 *
 * Each package brings its choice into the one file of its group, and a layer made over others has
 * that file whole, as it was after its own packages came. So of two layers the upper one's would
 * hide the choice that the other one brought, and the link would not lead to the best of all. Here
 * each layer's file is merged, three ways, onto what the layers beneath it show; what it was made
 * of is what those layers show that it was made over (layer.h). A layer that was not made over any
 * has the file as it is.
 *
 * A group that follows priorities ("auto") has its links lead to the best choice, another one as in
 * the topmost layer that has chosen. A slave that the best choice has not got is left as the
 * topmost layer has it, as is a group that is not in its form, or from which layers have removed
 * all choices, each another one.
 */
#ifndef MLIMG_COMPOSE_ALTERNATIVES_H
#define MLIMG_COMPOSE_ALTERNATIVES_H

#include "libmlimg/arena.h"
#include "libmlimg/compose.h"

#define MLIMG_ALTERNATIVES_DIR "var/lib/dpkg/alternatives/" /**< a file for each group */
#define MLIMG_ALTERNATIVES_SIZE_MAX (1u << 20) /**< bytes of one; a larger one is left alone */

/** A file of the composed tree, or a link. All of it is the arena's, but what is a layer's. */
struct mlimg_composed_alternative {
	struct mlimg_entry entry;       /**< of a file with size and digest */
	struct mlimg_records_text text; /**< of a file; NULL: a link */
};

/** What the composed tree gets of all groups. */
struct mlimg_composed_alternatives {
	struct mlimg_composed_alternative *list; /**< owned */
	size_t n, room;
};

/**
 * Find groups that layers show otherwise than all of their packages together have them.
 *
 * @param layers            see there
 * @param arena             keeps what is found
 * @param ret_alternatives  in no order; zeroed before; free() its list, also on failure
 * @param err               names the layer and the path
 * @return                  0, -EUCLEAN, -ENOMEM, what a callback returned
 */
int mlimg_compose_alternatives(const struct mlimg_compose_layers *layers, struct mlimg_arena *arena,
	struct mlimg_composed_alternatives *ret_alternatives,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
