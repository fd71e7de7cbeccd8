/* SPDX-License-Identifier: MIT */
/**
 * @file queue-plan.h
 * What operations of a queue (queue.h) mean for an upper: decided here, for the boot that carries
 * them out (guest-agent/queue-run.h says what each does) and for whoever foretells it. Only looks.
 */
#ifndef MLIMG_QUEUE_PLAN_H
#define MLIMG_QUEUE_PLAN_H

#include "libmlimg/plan.h"
#include "libmlimg/queue.h"
#include "libmlimg/report.h"

/** What an upper has at a path. */
struct mlimg_queue_found {
	bool has_any;     /**< anything, be it a mark */
	bool has_main;    /**< something that can be set aside; overlayfs' whiteouts are */
	bool is_whiteout; /**< it hides what lies beneath, and is nothing else */
	bool is_dir;
	bool is_opaque; /**< a directory that hides what lies beneath */
};

/** Look at a path of the upper. @return 0, -errno, which ends the planning */
typedef int mlimg_queue_look_fn(
	const char *path, void *ctx, struct mlimg_queue_found *ret, struct mlimg_err *err);

/** What is decided on. */
struct mlimg_queue_input {
	const struct mlimg_queue *queue;
	struct mlimg_manifest *upper; /**< in the neutral form (upper-source.h) */
	bool is_unionfs;              /**< unionfs-fuse wrote it, which renames no directories */
	const char *aside; /**< what the report calls the place of what is set aside: "queue-1" */
	mlimg_queue_look_fn *look; /**< NULL: @p upper tells */
	void *look_ctx;            /**< handed to @p look */
};

/**
 * Plan.
 *
 * @param input   see there
 * @param plan    an empty one, gets operations d, a and u
 * @param report  gets an entry for each operation
 * @param err     names the path
 * @return        1 when something is to be set aside, 0, -errno
 */
int mlimg_queue_plan(const struct mlimg_queue_input *input, struct mlimg_plan *plan,
	struct mlimg_report *report, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Make of an upper's manifest what it is when the plan has been carried out.
 *
 * @param plan   of mlimg_queue_plan()
 * @param upper  that it was made for
 * @param err    see there
 * @return       0, -ENOMEM
 */
int mlimg_queue_apply(const struct mlimg_plan *plan, struct mlimg_manifest *upper,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
