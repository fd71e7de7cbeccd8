/* SPDX-License-Identifier: MIT */
#include "tools/estimate.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/walk.h"

#define SECTOR 512 /* of st_blocks */

struct mlimg_estimate {
	const char *const *paths;
	size_t n;
	struct mlimg_progress *progress;
	pthread_t thread;
	pthread_mutex_t lock; /* for the waiting */
	pthread_cond_t ended;
	atomic_bool is_ending;
};

/* What a walk adds up. */
struct sum {
	uint64_t bytes;
	const atomic_bool *is_ending;
};

static int add_file(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	struct sum *sum = ctx;

	if (*sum->is_ending)
		return -ECANCELED;
	if (entry->type == MLIMG_FILE)
		sum->bytes += entry->size_bytes / at->st->st_nlink;
	return 0;
}

uint64_t mlimg_estimate_source(const char *path, const atomic_bool *is_ending)
{
	struct sum sum = {.is_ending = is_ending};
	mlimg_autoclose int fd = -1;
	struct stat st;

	if (strcmp(path, "-") == 0 || stat(path, &st) < 0)
		return 0;
	if (S_ISREG(st.st_mode)) {
		uint64_t stored = (uint64_t)st.st_blocks * SECTOR, size = (uint64_t)st.st_size;

		return stored < size ? stored : size;
	}
	if (!S_ISDIR(st.st_mode))
		return 0;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 ||
		mlimg_walk(fd, MLIMG_WALK_ONE_FS | MLIMG_WALK_NO_XATTRS, add_file, &sum, NULL) < 0)
		return 0;
	return sum.bytes;
}

/* Until a bar is shown nobody wants to know. */
static void wait_for_bar(struct mlimg_estimate *e)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += MLIMG_PROGRESS_FIRST_MS / 1000;
	pthread_mutex_lock(&e->lock);
	while (!e->is_ending && r == 0)
		r = pthread_cond_timedwait(&e->ended, &e->lock, &until);
	pthread_mutex_unlock(&e->lock);
}

static void *thread_main(void *arg)
{
	struct mlimg_estimate *e = arg;
	uint64_t total = 0;

	wait_for_bar(e);
	for (size_t i = 0; i < e->n; i++) {
		uint64_t bytes = mlimg_estimate_source(e->paths[i], &e->is_ending);

		if (e->is_ending || bytes == 0)
			return NULL;
		total += bytes;
	}
	e->progress->total_bytes = total;
	return NULL;
}

static void estimate_free(struct mlimg_estimate *e)
{
	pthread_mutex_destroy(&e->lock);
	pthread_cond_destroy(&e->ended);
	free(e);
}

struct mlimg_estimate *mlimg_estimate_begin(
	const char *const *paths, size_t n, struct mlimg_progress *progress)
{
	struct mlimg_estimate *e = progress->is_tty ? calloc(1, sizeof(*e)) : NULL;
	pthread_condattr_t attr;

	if (!e)
		return NULL;
	e->paths = paths;
	e->n = n;
	e->progress = progress;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->ended, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&e->thread, NULL, thread_main, e) == 0)
		return e;
	estimate_free(e);
	return NULL;
}

void mlimg_estimate_end(struct mlimg_estimate *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&e->lock);
	e->is_ending = true;
	pthread_cond_signal(&e->ended);
	pthread_mutex_unlock(&e->lock);
	pthread_join(e->thread, NULL);
	estimate_free(e);
}
