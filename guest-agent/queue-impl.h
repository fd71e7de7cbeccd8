/* SPDX-License-Identifier: MIT */
/**
 * @file queue-impl.h
 * What the files of queue-run.h share; nobody else includes this.
 */
#ifndef MLIMG_QUEUE_IMPL_H
#define MLIMG_QUEUE_IMPL_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "guest-agent/change-place.h"
#include "guest-agent/queue-run.h"

/** In queue.run, and the first and the last in /mlimg. */
#define QUEUE_ASIDE "aside"
#define QUEUE_OPERATIONS "operations"
#define QUEUE_NUMBER "number"
#define QUEUE_REPORTS "reports"
#define QUEUE_NUMBER_SIZE 24 /**< bytes of the file, and a NUL */
#define QUEUE_NAME_SIZE 48   /**< "queue-N.json" and the like, NUL included */

/** What is done about a queue. */
struct queue_job {
	struct mlimg_queue_run *run;
	struct mlimg_change_call call;
	struct mlimg_change c;
	int dir_fd; /**< queue.new or queue.run, or -1 */
	uint64_t number;
	char name[QUEUE_NAME_SIZE]; /**< "queue-N" */
	struct mlimg_err *err;
};

/** @return the directory, or -errno */
static inline int queue_open_dir(int fd, const char *name)
{
	int dir = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return dir < 0 ? -errno : dir;
}

static inline void queue_name(struct queue_job *j, uint64_t number)
{
	j->number = number;
	snprintf(j->name, sizeof(j->name), MLIMG_QUEUE_NAME "%" PRIu64, number);
}

/** Make all of it ready in queue.new, and give it its number. @return 0, -errno */
int queue_make_ready(struct queue_job *j, const struct mlimg_queue *queue) MLIMG_MUST_CHECK;

#endif
