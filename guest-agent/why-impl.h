/* SPDX-License-Identifier: MIT */
/**
 * @file why-impl.h
 * The parts of `mlimg why` among themselves: why-look.c (what the trees have), mlimg-why.c (what is
 * told).
 */
#ifndef MLIMG_WHY_IMPL_H
#define MLIMG_WHY_IMPL_H

#include "guest-agent/mlimg-cmd.h"

/** What a tree has to do with the path. */
enum why_state {
	WHY_NOTHING = 0,
	WHY_SHOWS,
	WHY_MERGES, /**< a directory that shows with the one above */
	WHY_HIDDEN,
	WHY_DELETES, /**< a whiteout, of the path or of a directory above it */
	WHY_ENDS,    /**< an opaque directory above it, or something else in the place of one */
};

/** A tree. */
struct why_row {
	const struct mlimg_view_tree *tree;
	enum why_state state;
	char *at;                 /**< where in this tree, or what hides; owned */
	struct mlimg_entry entry; /**< where is_there: without link and xattrs */
	bool is_opaque;
	bool is_there; /**< entry is set */
};

/** A path that is looked for. */
struct why {
	struct mlimg_cmd *cmd;
	const char *path;
	struct why_row *rows; /**< topmost first; owned */
	size_t n;
	const struct why_row *shown; /**< or NULL */
	struct mlimg_entry_reader reader;
	char at[MLIMG_PATH_MAX + 1];   /**< where the path lies in the present tree */
	char next[MLIMG_PATH_MAX + 1]; /**< and in the ones beneath it */
	size_t next_end; /**< bytes of that which are the directory that is looked at */
	bool is_ended;   /**< what is beneath does not show */
};

/**
 * Look for it in all trees.
 *
 * @param w    cmd and path are set
 * @param err  names the tree
 * @return     0, -errno
 */
int why_look(struct why *w, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it holds. */
void why_done(struct why *w);

#endif
