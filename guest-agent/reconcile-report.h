/* SPDX-License-Identifier: MIT */
/**
 * @file reconcile-report.h
 * What a change of the stack, or its way back, has to tell: reports/N.json and .txt of the user
 * layer (libmlimg/report.h), and what boot.json has of them. Part of reconcile.h.
 */
#ifndef MLIMG_AGENT_RECONCILE_REPORT_H
#define MLIMG_AGENT_RECONCILE_REPORT_H

#include "libmlimg/boot.h"
#include "libmlimg/report.h"

/** What a report is about. */
struct mlimg_reported {
	int dir_fd; /**< the user layer's /mlimg */
	uint64_t generation;
	bool is_rollback;
	const struct mlimg_boot_stack *from, *to;
};

/**
 * Write both.
 *
 * @param about   see there
 * @param report  no more is added to it
 * @param err     names the file
 * @return        0, -errno
 */
int mlimg_reported_write(const struct mlimg_reported *about, struct mlimg_report *report,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Remove both again: the change is not made. @param dir_fd  the user layer's /mlimg */
void mlimg_reported_remove(int dir_fd, uint64_t generation);

/** Take a report's numbers into boot.json. */
void mlimg_reported_count(struct mlimg_boot *boot, const struct mlimg_report *report);

/** Have boot.json tell nothing of a change: another one follows, which may not be begun. */
void mlimg_reported_forget(struct mlimg_boot *boot);

/**
 * Keep notes in reconcile.new, for the boot that ends a change which was stopped.
 *
 * @param dir_fd  the user layer's /mlimg
 * @param notes   none: nothing is written
 * @param err     names the file
 * @return        0, -errno
 */
int mlimg_reported_keep_notes(
	int dir_fd, const struct mlimg_notes *notes, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Read what was kept, as far as it can be read. @return 0, -ENOMEM */
int mlimg_reported_recall_notes(int dir_fd, struct mlimg_notes *notes) MLIMG_MUST_CHECK;

/** Note what no longer fits together after databases were merged. */
void mlimg_reported_note(struct mlimg_boot *boot, const struct mlimg_notes *notes);

#endif
