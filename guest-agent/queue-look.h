/* SPDX-License-Identifier: MIT */
/**
 * @file queue-look.h
 * What operations of a queue mean for the upper that there is (libmlimg/queue-plan.h). Part of
 * queue-run.h; only looks, but for flags that would stop all of it later: they become marks
 * (file-flags.h).
 */
#ifndef MLIMG_QUEUE_LOOK_H
#define MLIMG_QUEUE_LOOK_H

#include "guest-agent/change-place.h"
#include "libmlimg/queue-plan.h"

/**
 * Plan.
 *
 * @param c           the user layer: upper_fd and is_unionfs are set
 * @param queue       what is asked
 * @param aside       what the report calls the place of what is set aside: "queue-1"
 * @param memory_max  as in struct mlimg_upper_dir; 0: MLIMG_WALK_MEMORY_MAX
 * @param plan        an empty one, gets operations d, a and u
 * @param report      gets an entry for each operation
 * @param err         names the path
 * @return            1 when something is to be set aside, 0, -errno
 */
int mlimg_queue_plan_upper(struct mlimg_change *c, const struct mlimg_queue *queue,
	const char *aside, size_t memory_max, struct mlimg_plan *plan, struct mlimg_report *report,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
