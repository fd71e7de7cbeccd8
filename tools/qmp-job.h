/* SPDX-License-Identifier: MIT */
/**
 * @file qmp-job.h
 * Jobs of QEMU's monitor (QEMU's docs/interop/qemu-qmp-ref, "Background jobs"): what lasts, and
 * goes on when whoever asked for it has gone.
 *
 * Of those that save and load memory, QEMU 7.2 does all in one go, in the thread that answers the
 * monitor: nothing is answered meanwhile, neither whether a job goes on nor how far it is, and it
 * cannot be cancelled. All that is left is to wait, as long as it may reasonably take.
 */
#ifndef MLIMG_TOOLS_QMP_JOB_H
#define MLIMG_TOOLS_QMP_JOB_H

#include "tools/vm-chan.h"

#define MLIMG_QMP_JOB_PREFIX "mlimg-" /**< of the ids of our jobs */

/**
 * Run a job, and wait for its end.
 *
 * @param chan         QEMU's monitor, after mlimg_qmp_greet()
 * @param command      that makes the job: "snapshot-save"; its id is made of it
 * @param arguments    taken over, without the job's id
 * @param deadline_ms  until when, by mlimg_now_ms()
 * @param err          what QEMU says; or that it has not ended: then it goes on
 * @return             0, -ETIMEDOUT, -EIO when the job failed, other -errno
 */
int mlimg_qmp_job(struct mlimg_chan *chan, const char *command, json_t *arguments,
	uint64_t deadline_ms, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Wait for the end of all jobs that we have made, whatever becomes of them; none is known
 * afterwards.
 *
 * @param chan         as of mlimg_qmp_job()
 * @param deadline_ms  as of mlimg_qmp_job()
 * @param err          that they have not ended
 * @return             0, -ETIMEDOUT, other -errno
 */
int mlimg_qmp_jobs_end(
	struct mlimg_chan *chan, uint64_t deadline_ms, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
