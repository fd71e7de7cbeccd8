/* SPDX-License-Identifier: MIT */
/**
 * @file queue-run.h
 * Does what waits in the queue (libmlimg/queue.h): in a boot, before the union is mounted and
 * before the stack is compared; or at once where unionfs-fuse makes the union, whose branches may be
 * changed beneath it.
 *
 * In the user layer's /mlimg, while that is under way:
 *
 *     queue.new/           what is being made ready. It means nothing, and goes before another try
 *     queue.run/           the same, from the rename on by which it is decided
 *         log              the steps (undo-log.h)
 *         taken/           whiteouts and marks that they take away
 *         aside/           what they set aside, each at its path
 *         operations       those of the queue that it is about, in the queue's own format
 *         number           N: one line
 *         report.json .txt what was done, and what was not (libmlimg/report.h)
 *     queue.old/           what is done, to be removed
 *
 * and what it leaves:
 *
 *     aside/queue-N/       what was set aside, N counted from 1
 *     reports/queue-N.json and .txt
 *     queue.bad            a queue that could not be read, or a queue.run that could not be ended,
 *                          with what it had set aside; queue.bad-2 and so on
 *
 * The order: all that takes room is made in queue.new and is on stable storage; it becomes
 * queue.run; the steps are carried out, as those of a change are (change.h), so that each of them
 * done again does nothing; copies forget what they are copies of (origins.h); aside and reports get
 * their places; when that is on stable storage the operations leave the queue; queue.run becomes
 * queue.old. Stopped anywhere and begun again it ends the same. What finds no room, or cannot be
 * made ready, waits for the next boot, and nothing was changed. Files and directories that are
 * immutable or append-only get overlayfs' marks instead before it is decided (file-flags.h).
 *
 * What each operation does:
 *
 *     reset        what the upper has is set aside whole. Of a whiteout nothing is left to be set
 *                  aside. Where a directory had been renamed, or something in it, the whiteout at
 *                  its former name goes too, so that what the layers have there shows again; what
 *                  the user has put there since stays. A directory stays when records of accounts
 *                  or packages are in it: they name things that stay, and whoever queued it was
 *                  not asked about them, or they were made since
 *     reset-all    as reset, but that such a directory goes too
 *     restore      the whiteout goes
 *     transparent  the mark goes, and unionfs-fuse's marks below it, which said nothing beside it
 *
 * One that has nothing to do any more is told, and is no failure; so is one that would let something
 * show that a renamed directory shows elsewhere, unless that is reset with it: one directory in two
 * places is what overlayfs cannot have. No operation follows a symbolic
 * link. A file with several names loses those that are reset; the others stay its names.
 *
 * This is no change of the stack: generation and state stay, and so does the way back to the former
 * stack (change.h), to which it is as if the user had written it himself. There is no way back of its
 * own: what was reset lies in aside, from where it can be copied into the root again, and whiteouts
 * and marks are made again by deleting. Caches are not made anew.
 */
#ifndef MLIMG_QUEUE_RUN_H
#define MLIMG_QUEUE_RUN_H

#include "guest-agent/change.h"
#include "libmlimg/queue.h"

#define MLIMG_QUEUE_NEW "queue.new"
#define MLIMG_QUEUE_RUN "queue.run"
#define MLIMG_QUEUE_OLD "queue.old"

/** A call, and what came of it. Zero what is not set. */
struct mlimg_queue_run {
	int user_fd;                /**< the user layer's top directory, writable */
	bool is_unionfs;            /**< the form of the upper's marks */
	mlimg_change_step_fn *step; /**< for tests; or NULL */
	void *ctx;                  /**< handed to it */
	size_t upper_memory_max;    /**< as in struct mlimg_upper_dir; 0: MLIMG_WALK_MEMORY_MAX */
	/* Given back: */
	uint64_t number;               /**< N of the last one that was done; 0: nothing was */
	uint64_t n_done;               /**< operations of it that were done */
	uint64_t n_left;               /**< and those that had nothing to do any more */
	char bad[MLIMG_ERR_TEXT_SIZE]; /**< why something is queue.bad now; "": nothing is */
	char bad_name[24];             /**< which: "queue.bad-2" */
	bool is_bad_begun;             /**< it was queue.run: some of it may be done */
};

/**
 * End what was begun, then do what waits. Nobody else uses the upper. Durable on return.
 *
 * @param run  see there
 * @param err  names the place
 * @return     0, also when nothing waits; 1 when it could not be begun, @p err says why, and it waits
 *             on; -ECANCELED by the step; -errno when it was begun and could not be ended
 */
int mlimg_queue_run(struct mlimg_queue_run *run, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Only end what was begun: before the upper gets another form, or is taken back to a former one.
 * As mlimg_queue_run().
 *
 * @param run  see there
 * @param err  names the place
 * @return     0, -errno
 */
int mlimg_queue_end(struct mlimg_queue_run *run, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Queue operations and do what waits at once, in a guest whose union is unionfs-fuse's. The kernel
 * is told to forget names that nobody uses, since it remembers those of this union for a day; what
 * a process has open, or is in, it shows as it was.
 *
 * @param run  is_unionfs is set
 * @param ops  in any order
 * @param n    their number
 * @param err  see there
 * @return     as of mlimg_queue_add() and mlimg_queue_run()
 */
int mlimg_queue_run_live(struct mlimg_queue_run *run, const struct mlimg_queue_op *ops, size_t n,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @param own_fd  the user layer's /mlimg. @return whether one was stopped on its way */
bool mlimg_queue_is_pending(int own_fd);

#endif
