/* SPDX-License-Identifier: MIT */
/**
 * @file reports.h
 * The reports in the user layer, mlimg/reports/GENERATION.json and .txt (libmlimg/boot.h), for the
 * user's command and the daemon; and those on what was queued, queue-N.json and .txt (queue-run.h).
 * What is called a generation here is N of these.
 */
#ifndef MLIMG_REPORTS_H
#define MLIMG_REPORTS_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "libmlimg/boot.h"
#include "libmlimg/err.h"

/** Reports that are there. Zero it to begin with. */
struct mlimg_reports {
	int dir_fd;            /**< where they are; -1: there are none */
	bool is_queue;         /**< those on what was queued */
	uint64_t *generations; /**< the oldest first */
	size_t n, room;        /**< room: bytes, private */
};

/**
 * List them.
 *
 * @param user_fd  the user layer's top directory
 * @param ret      mlimg_reports_close() it, also on failure
 * @param err      names the directory
 * @return         0, also when there are none; -errno
 */
int mlimg_reports_open(
	int user_fd, struct mlimg_reports *ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** As mlimg_reports_open(), of those on what was queued. */
int mlimg_reports_open_queue(
	int user_fd, struct mlimg_reports *ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Close the list. */
void mlimg_reports_close(struct mlimg_reports *reports);

/**
 * Read one.
 *
 * @param reports     the list
 * @param generation  whose
 * @param suffix      "json" or "txt"
 * @param ret_text    free() it
 * @param ret_size    bytes
 * @param err         names it
 * @return            0, -ENOENT, -errno
 */
int mlimg_reports_read(const struct mlimg_reports *reports, uint64_t generation, const char *suffix,
	char **ret_text, size_t *ret_size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return when it was made; 0 when that is not known */
struct timespec mlimg_reports_time(const struct mlimg_reports *reports, uint64_t generation);

#endif
