/* SPDX-License-Identifier: MIT */
/**
 * @file estimate.h
 * How much the sources of an image hold, for a progress bar that tells the remaining time. It is
 * found out beside the reading, by a thread that begins only when a bar would be shown: looking at
 * each name of a tree first would make every image later.
 */
#ifndef MLIMG_TOOLS_ESTIMATE_H
#define MLIMG_TOOLS_ESTIMATE_H

#include <stddef.h>
#include <stdint.h>

#include "tools/progress.h"

struct mlimg_estimate;

/**
 * Bytes that a source's reader will report: contents of a directory's files, those with several
 * names once; what a file takes on disk.
 *
 * @param path       a directory or a file
 * @param is_ending  looked at for each entry: set it, and the answer is 0 soon
 * @return           0 when nobody can know, as of a pipe
 */
uint64_t mlimg_estimate_source(const char *path, const atomic_bool *is_ending);

/**
 * Begin; @p progress gets its total once all sources are known. Without a thread there is no total,
 * and that is no failure.
 *
 * @param paths     of the sources; must live until the end
 * @param n         their number
 * @param progress  the bar; where it is not shown nothing is begun
 * @return          for mlimg_estimate_end(); may be NULL
 */
struct mlimg_estimate *mlimg_estimate_begin(
	const char *const *paths, size_t n, struct mlimg_progress *progress);

/** End, whether it is known or not. Accepts NULL. */
void mlimg_estimate_end(struct mlimg_estimate *estimate);

#endif
