/* SPDX-License-Identifier: MIT */
/**
 * @file report.h
 * The report on what a changed stack means for a user's entries: reports/N.json of boot.h. Built line by line, since an upper may hold a million
 * entries; only those that are listed take memory.
 */
#ifndef MLIMG_REPORT_H
#define MLIMG_REPORT_H

#include <stdio.h>

#include "libmlimg/reconcile.h"

#define MLIMG_REPORT_ENTRIES_MAX 100000 /**< entries listed; all are counted. "truncated" tells */

/** A report that is being written. */
struct mlimg_report {
	uint64_t counts[MLIMG_N_VERDICTS]; /**< by verdict */
	uint64_t listed;                   /**< entries listed */
	FILE *entries;                     /**< private: their text */
	char *text;                        /**< private */
	size_t size;                       /**< private */
};

/** Begin. @return 0, -ENOMEM */
int mlimg_report_init(struct mlimg_report *report, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Add an entry.
 *
 * @param report   the report
 * @param path     as in an entry; any bytes
 * @param verdict  MLIMG_KEEP is counted only
 */
void mlimg_report_add(struct mlimg_report *report, const char *path, enum mlimg_verdict verdict);

/**
 * Write it.
 *
 * @param report      no more is added to it
 * @param generation  the new stack's
 * @param from        stack id of the old one
 * @param to          stack id of the new one
 * @param ret_text    the text, which ends with a newline; free() it
 * @param ret_size    its bytes
 * @param err         see there
 * @return            0, -ENOMEM
 */
int mlimg_report_to_json(struct mlimg_report *report, uint64_t generation, const char *from,
	const char *to, char **ret_text, size_t *ret_size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it holds; accepts a zeroed one. */
void mlimg_report_done(struct mlimg_report *report);

#endif
