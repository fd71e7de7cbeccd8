/* SPDX-License-Identifier: MIT */
/**
 * @file rolling.h
 * What a change that is taken back tells, whoever takes it back: a boot (reconcile.h) or
 * `mlimg-agent rollback`. Its functions are for the callbacks of struct mlimg_change_call (change.h),
 * whose parameters they have.
 */
#ifndef MLIMG_AGENT_ROLLING_H
#define MLIMG_AGENT_ROLLING_H

#include "guest-agent/change.h"
#include "guest-agent/mounted.h"
#include "libmlimg/path-class.h"
#include "libmlimg/report.h"

/** A rollback on its way. */
struct mlimg_rolling {
	struct mlimg_report report;
	struct mlimg_path_classes *classes; /**< private */
	int dir_fd;                         /**< the caller's: the user layer's /mlimg */
	const struct mlimg_mounted *layers; /**< of the stack that it leads to, or NULL */
	size_t n_layers;                    /**< 0 where they are not there */
	bool is_report_lost;                /**< it could not be written */
};

/**
 * Begin. The caller has set dir_fd and the layers, and all else is zero.
 *
 * @param rolling  end with mlimg_rolling_done(), on failure too
 * @param err      see there
 * @return         0, -ENOMEM
 */
int mlimg_rolling_init(struct mlimg_rolling *rolling, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Note in the report what the rollback did with a thing.
 *
 * @param rolling     the rollback
 * @param path        as of mlimg_change_told_fn, which the next two are, too
 * @param what        see there
 * @param is_file     see there
 * @param generation  see there
 */
void mlimg_rolling_tell(struct mlimg_rolling *rolling, const char *path,
	enum mlimg_change_told what, bool is_file, uint64_t generation);

/**
 * Write the report, reports/N.json and .txt. One that cannot be written is no reason not to go back,
 * but is noted.
 *
 * @param rolling     the rollback
 * @param generation  that it makes
 * @param from        the state before
 * @param to          the state that it makes
 */
void mlimg_rolling_report(struct mlimg_rolling *rolling, uint64_t generation,
	const struct mlimg_boot_state *from, const struct mlimg_boot_state *to);

/**
 * Make ready what is to count with the rollback's state: notes for the boot that ends it if it is
 * stopped, and the list of caches to be made anew.
 *
 * @param rolling  the rollback
 * @param new_fd   reconcile.new
 * @param err      names the file
 * @return         0, -errno
 */
int mlimg_rolling_make_ready(
	struct mlimg_rolling *rolling, int new_fd, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it holds, but for what is the caller's; accepts a zeroed one. */
void mlimg_rolling_done(struct mlimg_rolling *rolling);

#endif
