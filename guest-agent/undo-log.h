/* SPDX-License-Identifier: MIT */
/**
 * @file undo-log.h
 * The steps of a change of the stack beneath a user layer: what is to be done in its upper, and at
 * the same time what there is to undo.
 *
 * /mlimg/undo/<gen>/log in the user layer, which a stranger may have written. A line "mlimg undo 1
 * overlay" or "mlimg undo 1 unionfs", the form of the upper's marks; then the steps in the order in
 * which they are done. Record N (0 is the first) is one letter, a space and its fields, each ending
 * with a NUL:
 *
 *     o PARTS PATH    take it away, to taken/N
 *     a PARTS PATH    set it aside with all below, to /mlimg/aside/<gen>/PATH; its marks to taken/N
 *     e PARTS ENTRY   take the directory away, to taken/N, if nothing is left in it
 *     i ENTRY         put what is ready in /mlimg/reconcile.new/N; a whiteout becomes what it is in
 *                     the form of the marks
 *     u PATH          the directory is opaque no more; a marker goes to taken/N.h
 *     c PATH          the directory becomes opaque; of unionfs-fuse's form a marker is ready in
 *                     reconcile.new/N
 *     s OLD NEW       set the attributes of what is there: two entries of one path, times included
 *     t OLD NEW PATH  set the time of the directory, which the steps before have changed:
 *                     "SECONDS.NANOSECONDS"
 *
 * PATH is relative to upper. ENTRY, OLD and NEW are lines of a manifest (libmlimg/manifest.h)
 * without the newline, and so have a path. PARTS says what there is to move: "m" the thing itself;
 * of unionfs-fuse's form "h" the marker that hides PATH, "t" the markers below it
 * (libmlimg/unionfs.h), which become taken/N.h and taken/N.t.
 *
 * What a step takes away has a place that nothing else has, and what a step puts has one too. So
 * whether a step was done is seen: by what is in the one place, and is not in the other any more.
 * All steps done again do nothing.
 */
#ifndef MLIMG_UNDO_LOG_H
#define MLIMG_UNDO_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "libmlimg/arena.h"
#include "libmlimg/manifest.h"

#define MLIMG_UNDO_LOG_MAX \
	(512 << 20) /**< bytes that are read: a million steps of the usual paths take 200 MB */

/** Parts of a thing, or-ed. */
enum mlimg_undo_part {
	MLIMG_UNDO_MAIN = 1,    /**< the thing itself */
	MLIMG_UNDO_MARKER = 2,  /**< unionfs-fuse's marker of it */
	MLIMG_UNDO_MARKERS = 4, /**< unionfs-fuse's markers below it */
};

/** A time. */
struct mlimg_undo_time {
	int64_t s;
	uint32_t ns;
};

/** A step. */
struct mlimg_undo_record {
	char op;
	unsigned parts;                            /**< o, a, e */
	const char *path;                          /**< of all of them */
	struct mlimg_entry entry;                  /**< e, i; s: OLD */
	struct mlimg_entry fresh;                  /**< s: NEW */
	struct mlimg_undo_time old_time, new_time; /**< t */
};

/** A log in memory. */
struct mlimg_undo_log {
	bool is_unionfs;
	char *text;                  /**< private, as the next ones */
	size_t *at;                  /**< where each record begins */
	struct mlimg_arena *scratch; /**< memory of the records that were handed out */
	size_t n_scratch;
	size_t n_records;
};

/**
 * Read a log. Every record is checked.
 *
 * @param text     bytes of the file; taken over, also on failure: free() is not the caller's any
 *                 more. A NUL is behind them
 * @param size     their number
 * @param ret_log  mlimg_undo_log_done() it
 * @param err      "undo log: ..."
 * @return         0, -EUCLEAN, -ENOMEM
 */
int mlimg_undo_log_parse(char *text, size_t size, struct mlimg_undo_log *ret_log,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read the file "log" of a directory, at most MLIMG_UNDO_LOG_MAX bytes.
 *
 * @param dir_fd   the directory
 * @param ret_log  see mlimg_undo_log_parse()
 * @param err      names the file, or "undo log: ..."
 * @return         0; -errno of reading it, -EUCLEAN, -ENOMEM
 */
int mlimg_undo_log_read(
	int dir_fd, struct mlimg_undo_log *ret_log, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Hand out a record.
 *
 * @param log         of mlimg_undo_log_parse()
 * @param n           less than n_records
 * @param ret_record  what it points to is valid until a record is asked for again
 * @param err         see there
 * @return            0, -ENOMEM
 */
int mlimg_undo_log_get(struct mlimg_undo_log *log, size_t n, struct mlimg_undo_record *ret_record,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free it; accepts a zeroed one. */
void mlimg_undo_log_done(struct mlimg_undo_log *log);

/** Write the first line. */
void mlimg_undo_log_put_head(bool is_unionfs, mlimg_sink *sink, void *ctx);

/** Write a record. */
void mlimg_undo_log_put(const struct mlimg_undo_record *record, mlimg_sink *sink, void *ctx);

#endif
