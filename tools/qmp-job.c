/* SPDX-License-Identifier: MIT */
#include "tools/qmp-job.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "tools/vm-agent.h"

#define PAUSE_MS 10      /* between two questions at first; QEMU does not answer while it works */
#define PAUSE_MAX_MS 200 /* and at last */
#define ID_SIZE 64

/* @return the job of @id, borrowed from @jobs; any of ours where @id is NULL */
static const json_t *find(const json_t *jobs, const char *id)
{
	const json_t *job;
	size_t i;

	json_array_foreach(jobs, i, job)
	{
		const char *its = json_string_value(json_object_get(job, "id"));

		if (its &&
			(id ? strcmp(its, id) == 0
			    : strncmp(its, MLIMG_QMP_JOB_PREFIX, strlen(MLIMG_QMP_JOB_PREFIX)) ==
						0))
			return job;
	}
	return NULL;
}

static bool has_ended(const json_t *job)
{
	const char *status = json_string_value(json_object_get(job, "status"));

	return status && strcmp(status, "concluded") == 0;
}

/* A job that has ended is known until somebody says that it need not be. */
static int dismiss(struct mlimg_chan *chan, const json_t *job, uint64_t deadline_ms, char *ret_why,
	size_t size, struct mlimg_err *err)
{
	const char *why = json_string_value(json_object_get(job, "error"));

	snprintf(ret_why, size, "%s", why ? why : "");
	return mlimg_chan_ask(chan, "job-dismiss",
		json_pack("{s:O}", "id", json_object_get(job, "id")), deadline_ms, NULL, err);
}

/*
 * Ask until it has ended, or, of any, until there is none. @return 1 while there may be more, 0,
 * -errno
 */
static int step(struct mlimg_chan *chan, const char *id, uint64_t deadline_ms, char *ret_why,
	size_t size, struct mlimg_err *err)
{
	json_t *jobs = NULL;
	const json_t *job;
	int ret = mlimg_chan_call(chan, "query-jobs", deadline_ms, &jobs, err);

	if (ret < 0)
		return ret;
	job = find(jobs, id);
	if (job && has_ended(job)) {
		ret = dismiss(chan, job, deadline_ms, ret_why, size, err);
		ret = ret == 0 && !id ? 1 : ret;
	} else {
		ret = job != NULL;
	}
	json_decref(jobs);
	return ret;
}

static int wait_for(struct mlimg_chan *chan, const char *id, uint64_t deadline_ms, char *ret_why,
	size_t size, struct mlimg_err *err)
{
	int ret = 1;

	for (int pause_ms = PAUSE_MS; ret == 1;
		pause_ms = pause_ms < PAUSE_MAX_MS ? 2 * pause_ms : pause_ms) {
		ret = step(chan, id, deadline_ms, ret_why, size, err);
		if (ret == 1 && mlimg_now_ms() >= deadline_ms)
			return mlimg_err_set(err, ETIMEDOUT, "QEMU's job '%s'", id ? id : "");
		if (ret == 1)
			poll(NULL, 0, pause_ms);
	}
	return ret;
}

int mlimg_qmp_job(struct mlimg_chan *chan, const char *command, json_t *arguments,
	uint64_t deadline_ms, struct mlimg_err *err)
{
	char id[ID_SIZE], why[MLIMG_ERR_TEXT_SIZE] = "";
	int ret;

	snprintf(id, sizeof(id), MLIMG_QMP_JOB_PREFIX "%s", command);
	if (!arguments || json_object_set_new(arguments, "job-id", json_string(id)) < 0) {
		json_decref(arguments);
		return mlimg_err_set(err, ENOMEM, "'%s'", command);
	}
	ret = mlimg_chan_ask(chan, command, arguments, deadline_ms, NULL, err);
	if (ret == 0)
		ret = wait_for(chan, id, deadline_ms, why, sizeof(why), err);
	if (ret == -EPIPE)
		return mlimg_err_set(err, EPIPE, "QEMU has ended in the middle of '%s'", command);
	if (ret == 0 && why[0])
		return mlimg_err_set(err, 0, "'%s' fails: %s", command, why);
	return ret;
}

int mlimg_qmp_jobs_end(struct mlimg_chan *chan, uint64_t deadline_ms, struct mlimg_err *err)
{
	char why[MLIMG_ERR_TEXT_SIZE];

	return wait_for(chan, NULL, deadline_ms, why, sizeof(why), err);
}
