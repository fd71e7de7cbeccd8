/* SPDX-License-Identifier: MIT */
/**
 * @file upgrade-queue.h
 * What a user has queued (libmlimg/queue.h), foretold: the boot that changes the stack does it
 * first, so that the change finds another upper than the one on the disk. Here are that upper, and
 * the report which that boot writes of it. All of it is a stranger's.
 */
#ifndef MLIMG_TOOLS_UPGRADE_QUEUE_H
#define MLIMG_TOOLS_UPGRADE_QUEUE_H

#include "libmlimg/path-map.h"
#include "libmlimg/queue-plan.h"
#include "libmlimg/upper-source.h"
#include "tools/ext4-read.h"

/** What waits in a user layer. Zero it to begin with. */
struct mlimg_upgrade_queue {
	struct mlimg_queue *queue;     /**< NULL: nothing that is going to be done */
	uint64_t number;               /**< N of the report that the boot will write */
	bool is_begun;                 /**< one was interrupted, and is done in part */
	char bad[MLIMG_ERR_TEXT_SIZE]; /**< why what waits cannot be read, or "" */
};

/**
 * Read it.
 *
 * @param fs   the user layer
 * @param ret  zeroed; mlimg_upgrade_queue_done() when done, also after a failure
 * @param err  see there
 * @return     0, -EUCLEAN of a damaged file system, other -errno
 */
int mlimg_upgrade_queue_read(struct mlimg_ext4 *fs, struct mlimg_upgrade_queue *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_upgrade_queue_done(struct mlimg_upgrade_queue *queue);

/** An upper, when what is queued has been done. */
struct mlimg_upgrade_queued {
	struct mlimg_upper_source source;     /**< read this one */
	struct mlimg_upper_source *of;        /**< the upper that there is */
	const struct mlimg_queue *queue;      /**< NULL: nothing is queued */
	bool is_unionfs;                      /**< unionfs-fuse wrote it */
	char aside[32];                       /**< "queue-1" */
	struct mlimg_report report;           /**< of what is done, once it is loaded */
	struct mlimg_path_map gone;           /**< private: what goes, each with all below */
	const struct mlimg_boot_state *state; /**< of the user layer */
};

/**
 * Make a source of another one.
 *
 * @param ret         mlimg_upgrade_queued_done() it
 * @param of          the upper that there is; stays as long as the source is used
 * @param queue       what waits; likewise
 * @param is_unionfs  unionfs-fuse wrote it
 * @param state       the user layer's; likewise
 */
void mlimg_upgrade_queued_init(struct mlimg_upgrade_queued *ret, struct mlimg_upper_source *of,
	const struct mlimg_upgrade_queue *queue, bool is_unionfs,
	const struct mlimg_boot_state *state);

/**
 * The report that the boot will write, as reports/queue-N.json.
 *
 * @param queued    was loaded
 * @param ret_text  free() it; untouched when nothing is queued
 * @param ret_size  its bytes
 * @param err       see there
 * @return          0, -ENOMEM
 */
int mlimg_upgrade_queued_report(struct mlimg_upgrade_queued *queued, char **ret_text,
	size_t *ret_size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_upgrade_queued_done(struct mlimg_upgrade_queued *queued);

#endif
