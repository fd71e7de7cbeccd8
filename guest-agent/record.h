/* SPDX-License-Identifier: MIT */
/**
 * @file record.h
 * Records which files of a file system are opened, and in which order. The kernel tells by
 * fanotify(7), of the whole file system and not of one mount, since services have mounts of their
 * own; and says it while the file is opened, so the order is that of the opening, whatever else is
 * going on.
 *
 * Seen is what a process opens, to read, map or run it. Not seen is what was opened before the
 * beginning, and what the kernel opens itself, as firmware. Of directories, links, and everything
 * else that is no regular file nothing is kept. Whether an opened file was also read is not known
 * here.
 *
 * What is kept is bounded, and so is what waits in the kernel (16384 events): what is beyond that
 * is counted or told as lost.
 */
#ifndef MLIMG_RECORD_H
#define MLIMG_RECORD_H

#include "tools/profile.h"

#define MLIMG_RECORD_FILES_MAX 65536      /**< files: forty times what a Debian boot opens */
#define MLIMG_RECORD_PATHS_MAX (8u << 20) /**< bytes of their paths */

/** A record. */
struct mlimg_record;

/**
 * Begin: from now on the kernel notes what is opened. Paths are told as this process sees them,
 * from its root on, which must not change any more.
 *
 * @param root_fd     a directory: its file system is recorded, and paths are those below it;
 *                    stays the caller's, and open while this runs
 * @param proc_fd     /proc; stays the caller's and open
 * @param ret_record  mlimg_record_free() it
 * @param err         that the kernel cannot, or that this needs root
 * @return            0, -errno
 */
int mlimg_record_begin(int root_fd, int proc_fd, struct mlimg_record **ret_record,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Note what is opened until something says stop; then the kernel notes no more.
 *
 * @param record   begun
 * @param stop_fd  readable when it is time; -1: only time ends it
 * @param seconds  at most so long
 * @param err      reading from the kernel
 * @return         0, -errno
 */
int mlimg_record_run(struct mlimg_record *record, int stop_fd, unsigned seconds,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the paths, in the order in which they were first opened; belong to @p record */
const struct mlimg_profile *mlimg_record_paths(const struct mlimg_record *record);

/** @return whether anything was opened that is not among them */
bool mlimg_record_has_lost(const struct mlimg_record *record);

/** Free it; accepts NULL. */
void mlimg_record_free(struct mlimg_record *record);

#endif
