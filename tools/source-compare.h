/* SPDX-License-Identifier: MIT */
/**
 * @file source-compare.h
 * Files of a directory that may have known contents (ext4-data.h): several threads read and hash
 * them while the walk goes on. Only those that turn out to be unknown have to be read again, to be
 * written, so of a tree in which little has changed nothing passes through the one thread that
 * writes.
 */
#ifndef MLIMG_TOOLS_SOURCE_COMPARE_H
#define MLIMG_TOOLS_SOURCE_COMPARE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "tools/ext4-data.h"

/** Threads, and files on their way through them. */
struct mlimg_comparer;

/** @return whether both are of one file that has not changed between them */
bool mlimg_source_is_same(const struct stat *a, const struct stat *b);

/**
 * Start as many threads as there are processors, at most 8.
 *
 * @param known         must live as long; asked by several threads at a time
 * @param ret_comparer  mlimg_comparer_free() it
 */
int mlimg_comparer_new(const struct mlimg_known *known, struct mlimg_comparer **ret_comparer,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Stop the threads, free; accepts NULL. */
void mlimg_comparer_free(struct mlimg_comparer *c);

/**
 * @return whether a file with this stat(2) may be known: its size is, and it has no holes, which
 *         are quicker looked for than read. As long as that can not be said of all files it is said
 *         of none, so that which of them are written first does not depend on the time
 */
bool mlimg_comparer_wants(const struct mlimg_comparer *c, const struct stat *st);

/**
 * Hand over a file. Waits while 64 of them are on their way.
 *
 * @param c     the comparer
 * @param path  for messages, and to find the file again; copied
 * @param fd    the file, at its beginning; a duplicate is taken, whose offset is the same
 * @param st    of the file
 * @param file  when its contents are known it gets size and digest and is_left_out, at the latest
 *              in mlimg_comparer_end()
 * @param err   also what went wrong with a file that was added before
 */
int mlimg_comparer_add(struct mlimg_comparer *c, const char *path, int fd, const struct stat *st,
	struct mlimg_file *file, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Called for a file whose contents are not known. */
typedef int mlimg_comparer_fn(const char *path, const struct stat *st, struct mlimg_file *file,
	void *ctx, struct mlimg_err *err);

/**
 * Wait for all files.
 *
 * @param c    the comparer
 * @param fn   gets the files that are not known, in the order in which they were added
 * @param ctx  handed to @p fn
 * @param err  names the path: a file that cannot be read, or changed while it was
 */
int mlimg_comparer_end(struct mlimg_comparer *c, mlimg_comparer_fn *fn, void *ctx,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
