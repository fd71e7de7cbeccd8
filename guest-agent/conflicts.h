/* SPDX-License-Identifier: MIT */
/**
 * @file conflicts.h
 * What changes of the stack have set aside or put beside, as their reports tell it, and what became
 * of it since.
 */
#ifndef MLIMG_CONFLICTS_H
#define MLIMG_CONFLICTS_H

#include "guest-agent/resolved.h"
#include "guest-agent/view.h"

/** A conflict. Its texts are those of the report, of a later version perhaps. */
struct mlimg_conflict {
	uint64_t generation; /**< whose report tells it */
	const char *path;
	/** where what lost is: beside, in the merged root; aside, below the user layer's /mlimg */
	const char *at;
	const char *verdict, *done, *class, *why; /**< the last two may be NULL */
	bool is_aside;           /**< the user's was set aside; else the layers' is beside his */
	bool is_there;           /**< what is at @p at still is */
	enum mlimg_keep_way way; /**< how it was resolved */
};

/** @return whether the user should still look at it */
static inline bool mlimg_conflict_is_open(const struct mlimg_conflict *c)
{
	return c->is_there && c->way == MLIMG_KEEP_UNDECIDED;
}

/** Called for each. @return 0, or a negative errno to stop */
typedef int mlimg_conflict_fn(
	const struct mlimg_conflict *conflict, void *ctx, struct mlimg_err *err);

/**
 * Find them, those of the newest report first; what lies at one place is told once.
 *
 * @param view  open; a user layer is wanted
 * @param fn    told of each
 * @param ctx   handed to @p fn
 * @param err   this needs root; "generation N: ..." of a report
 * @return      0, what @p fn returned, -EUCLEAN, -errno
 */
int mlimg_conflicts_find(const struct mlimg_view *view, mlimg_conflict_fn *fn, void *ctx,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
