/* SPDX-License-Identifier: MIT */
/**
 * @file change-stage-impl.h
 * What the files share that make a change ready (change-stage.h); nobody else includes this.
 */
#ifndef MLIMG_CHANGE_STAGE_IMPL_H
#define MLIMG_CHANGE_STAGE_IMPL_H

#include "guest-agent/change-place.h"
#include "guest-agent/change-stage.h"
#include "libmlimg/path-map.h"
#include "libmlimg/text.h"

/** A directory whose time the steps change. */
struct stage_time {
	const char *path;
	struct mlimg_undo_time old_time, new_time;
};

/** A change that is being made ready. */
struct staging {
	struct mlimg_change c;
	const struct mlimg_plan *plan;
	const struct mlimg_lowers *lowers;
	struct mlimg_text log;
	size_t n;                      /**< number of the next step */
	struct mlimg_path_map gone;    /**< what a step before has taken away */
	struct mlimg_path_map emptied; /**< directories that a step before takes away, if empty */
	struct mlimg_path_map joined;  /**< directories whose markers a step before takes away */
	struct mlimg_path_map made;    /**< what a step before has put there: enum mlimg_type */
	struct mlimg_path_map timed;   /**< directories: their place in times */
	struct stage_time *times;
	size_t n_times, times_room;
	struct mlimg_arena *arena;
	struct mlimg_change_needs needs;
	struct mlimg_err *err;
};

/** Append a step to the log. */
void stage_emit(struct staging *s, const struct mlimg_undo_record *record);

/** @return -EUCLEAN, with a message that the operation does not fit, "which @p why" */
int stage_refuse(struct staging *s, const struct mlimg_plan_op *op, const char *why);

/** A step sets the time of a directory, or has to set it again. @return 0, -ENOMEM */
int stage_add_time(struct staging *s, const char *path, struct mlimg_undo_time old_time,
	struct mlimg_undo_time new_time) MLIMG_MUST_CHECK;

/** Make an operation 's' ready. @return 0, -errno */
int stage_set_attributes(struct staging *s, const struct mlimg_plan_op *op) MLIMG_MUST_CHECK;

/** Make an operation ready. @return 0, -errno */
int stage_op(struct staging *s, const struct mlimg_plan_op *op) MLIMG_MUST_CHECK;

/**
 * Keep a copy of what the steps put at @p path, from its slot, if it is a database.
 *
 * @return 0, -errno
 */
int stage_keep_made(struct staging *s, const char *slot, const char *path) MLIMG_MUST_CHECK;

/**
 * Keep copies of the databases that the upper has, and that the steps leave alone.
 *
 * @return 0, -errno
 */
int stage_keep_rest(struct staging *s) MLIMG_MUST_CHECK;

#define stage_no_memory(s) mlimg_err_set((s)->err, ENOMEM, "make the change ready")

#endif
