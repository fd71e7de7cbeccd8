/* SPDX-License-Identifier: MIT */
/**
 * @file queue-plan-impl.h
 * The parts of queue-plan.h among themselves: queue-plan.c (what operations mean), queue-refuse.c
 * (directories that were renamed, and what cannot be done because of them or of records).
 */
#ifndef MLIMG_QUEUE_PLAN_IMPL_H
#define MLIMG_QUEUE_PLAN_IMPL_H

#include "libmlimg/queue-plan.h"

/** A directory that was renamed. */
struct queue_renamed {
	const char *path;
	const char *lower; /**< its former name, as the layers have it */
};

/** A queue that is being planned. */
struct queue_planning {
	const struct mlimg_queue_input *input;
	const struct mlimg_queue *queue; /**< the input's, as the next one */
	struct mlimg_manifest *upper;
	struct mlimg_plan *plan;
	struct mlimg_report *report;
	struct mlimg_path_classes *classes;
	struct queue_renamed *renamed;
	size_t n_renamed, renamed_room;
	bool *is_refused; /**< for each operation of the queue */
	const char *gone; /**< what went last, with all below; NULL: nothing did */
	bool is_gone_aside, sets_aside;
	struct mlimg_err *err;
};

/** Find the directories of the upper that were renamed. @return 0, -ENOMEM */
int queue_find_renamed(struct queue_planning *p) MLIMG_MUST_CHECK;

/** Find out which operations cannot be done: is_refused. */
void queue_refuse(struct queue_planning *p);

/** @return whether below a path the user has records of accounts or packages of his own */
bool queue_has_records_below(const struct queue_planning *p, const char *path);

/** @return whether an operation was asked for when there were no such records, and now there are */
bool queue_is_unasked(const struct queue_planning *p, const struct mlimg_queue_op *op);

/**
 * Of a directory that is reset, and of those in it that were renamed, the former names show again.
 * Otherwise nothing would show what the layers have there.
 *
 * @param p        gets operations
 * @param path     what is reset
 * @param ret_why  what the report says of it; untouched when there is nothing to say
 * @return         0, -errno
 */
int queue_return_names(
	struct queue_planning *p, const char *path, const char **ret_why) MLIMG_MUST_CHECK;

#endif
