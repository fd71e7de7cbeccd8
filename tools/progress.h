/* SPDX-License-Identifier: MIT */
/**
 * @file progress.h
 * A progress bar on stderr. It shows itself only when stderr is a terminal and the work has lasted
 * a second, so that scripts and short runs see nothing of it.
 */
#ifndef MLIMG_TOOLS_PROGRESS_H
#define MLIMG_TOOLS_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define MLIMG_PROGRESS_FIRST_MS 1000 /**< a bar that flashes by tells nobody anything */

/** A bar. */
struct mlimg_progress {
	const char *what; /**< "writing data"; not owned */
	_Atomic uint64_t
		total_bytes; /**< 0 when not known; another thread may find it out meanwhile */
	uint64_t start_ms;
	uint64_t shown_ms; /**< when last drawn, 0 for never */
	uint64_t checked;  /**< bytes at which the clock was last read */
	uint64_t done;     /**< mlimg_progress_add()'s sum */
	bool is_tty;
};

/**
 * Start; nothing is drawn yet.
 *
 * @param p            the bar
 * @param what         what is being done; must live as long as @p p
 * @param total_bytes  the whole of it, 0 when not known
 */
void mlimg_progress_init(struct mlimg_progress *p, const char *what, uint64_t total_bytes);

/** Say that @p done_bytes in all are done. Cheap enough to be called for every file. */
void mlimg_progress_update(struct mlimg_progress *p, uint64_t done_bytes);

/**
 * Say that @p more_bytes have been done, for work in several parts that do not know of each other.
 */
void mlimg_progress_add(struct mlimg_progress *p, uint64_t more_bytes);

/** Wipe the bar away; to be called before anything else is printed. Accepts NULL. */
void mlimg_progress_end(struct mlimg_progress *p);

#endif
