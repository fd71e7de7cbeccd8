/* SPDX-License-Identifier: MIT */
#include "tools/source-compare.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/arena.h"

#define THREADS_MAX 8
#define ON_THE_WAY 64       /* each holds a file descriptor */
#define BUFFER_SIZE 262144u /* of each thread: fits into a core's cache with room to spare */

/* A file. */
struct job {
	struct stat st;
	struct mlimg_file *file;
	char *path;
	uint64_t number; /* in the order of coming */
	int fd;
	uint8_t digest[MLIMG_SHA256_SIZE]; /* when it has been read */
};

/* Files that have been through the threads. */
struct jobs {
	struct job *list;
	size_t n, room; /* the latter in bytes */
};

struct mlimg_comparer {
	const struct mlimg_known *known;
	pthread_t threads[THREADS_MAX];
	size_t n_threads;
	pthread_mutex_t lock; /* for all below */
	pthread_cond_t added, done;
	struct job ring[ON_THE_WAY];
	uint64_t n_numbered, n_added, n_taken, n_done;
	struct jobs unjudged; /* read before it could be said what is known */
	struct jobs unknown;
	struct mlimg_err err; /* the first one; set when .code is */
	bool is_stopping;
};

/* What becomes of a file that has been read. */
enum outcome { UNKNOWN, KNOWN, UNJUDGED };

static int read_all(
	const struct job *job, uint8_t *buffer, struct mlimg_sha256 *sha, struct mlimg_err *err)
{
	uint64_t left = (uint64_t)job->st.st_size;

	while (left) {
		ssize_t n = read(job->fd, buffer, left < BUFFER_SIZE ? (size_t)left : BUFFER_SIZE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return mlimg_err_set(err, errno, "read '%s'", job->path);
		if (n == 0)
			return 0; /* it has become smaller, which is seen in the end */
		mlimg_sha256_add(sha, buffer, (size_t)n);
		left -= (uint64_t)n;
	}
	return 0;
}

bool mlimg_source_is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
		a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
		a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static enum outcome judge(const struct mlimg_comparer *c, const struct job *job)
{
	uint64_t size = (uint64_t)job->st.st_size;

	if (!c->known->has_content(c->known->ctx, size, job->digest))
		return UNKNOWN;
	job->file->size_bytes = size;
	job->file->is_left_out = true;
	memcpy(job->file->digest, job->digest, sizeof(job->digest));
	return KNOWN;
}

/* @return enum outcome, or -errno */
static int compare(
	const struct mlimg_comparer *c, struct job *job, uint8_t *buffer, struct mlimg_err *err)
{
	struct mlimg_sha256 sha;
	struct stat st;
	int r;

	mlimg_sha256_init(&sha);
	r = read_all(job, buffer, &sha, err);
	if (r < 0)
		return r;
	mlimg_sha256_end(&sha, job->digest);
	/* Only now: until then it could change. */
	if (fstat(job->fd, &st) < 0)
		return mlimg_err_set(err, errno, "read '%s'", job->path);
	if (!mlimg_source_is_same(&st, &job->st))
		return mlimg_err_set(err, 0, "'%s' changed while it was read", job->path);
	return mlimg_known_is_ready(c->known) ? judge(c, job) : UNJUDGED;
}

/* With the lock held. */
static void keep(struct mlimg_comparer *c, struct jobs *jobs, struct job *job)
{
	if (mlimg_buffer_reserve(&jobs->list, &jobs->room, (jobs->n + 1) * sizeof(*jobs->list)) <
		0) {
		if (!c->err.code)
			c->err.code = mlimg_err_set(&c->err, ENOMEM, "read '%s'", job->path);
		return;
	}
	jobs->list[jobs->n++] = *job;
	job->path = NULL;
}

static void jobs_done(struct jobs *jobs)
{
	for (size_t i = 0; i < jobs->n; i++)
		free(jobs->list[i].path);
	free(jobs->list);
}

static void finish(struct mlimg_comparer *c, struct job *job, int r, const struct mlimg_err *err)
{
	pthread_mutex_lock(&c->lock);
	if (r == UNKNOWN || r == UNJUDGED)
		keep(c, r == UNKNOWN ? &c->unknown : &c->unjudged, job);
	if (r < 0 && !c->err.code)
		c->err = *err;
	c->n_done++;
	/* Who waits for room is woken when there is enough for a while. */
	if (c->n_added - c->n_done == ON_THE_WAY / 2 || c->n_added == c->n_done || r < 0)
		pthread_cond_signal(&c->done);
	pthread_mutex_unlock(&c->lock);
	close(job->fd);
	free(job->path);
}

static void *thread_main(void *arg)
{
	struct mlimg_comparer *c = arg;
	uint8_t *buffer = malloc(BUFFER_SIZE);

	for (;;) {
		struct mlimg_err err = MLIMG_ERR_INIT;
		struct job job;
		int r;

		pthread_mutex_lock(&c->lock);
		while (c->n_taken == c->n_added && !c->is_stopping)
			pthread_cond_wait(&c->added, &c->lock);
		if (c->is_stopping) {
			pthread_mutex_unlock(&c->lock);
			free(buffer);
			return NULL;
		}
		job = c->ring[c->n_taken++ % ON_THE_WAY];
		pthread_mutex_unlock(&c->lock);
		r = buffer ? compare(c, &job, buffer, &err)
			   : mlimg_err_set(&err, ENOMEM, "read '%s'", job.path);
		finish(c, &job, r, &err);
	}
}

int mlimg_comparer_new(const struct mlimg_known *known, struct mlimg_comparer **ret_comparer,
	struct mlimg_err *err)
{
	struct mlimg_comparer *c = calloc(1, sizeof(*c));
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	int r = 0;

	if (!c)
		return mlimg_err_set(err, ENOMEM, "compare with what lies beneath");
	c->known = known;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->added, NULL);
	pthread_cond_init(&c->done, NULL);
	n = n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : n;
	for (; c->n_threads < (size_t)n && !r; c->n_threads += !r)
		r = pthread_create(&c->threads[c->n_threads], NULL, thread_main, c);
	/* Fewer threads will do as well. */
	if (r && !c->n_threads) {
		mlimg_comparer_free(c);
		return mlimg_err_set(err, r, "compare with what lies beneath");
	}
	*ret_comparer = c;
	return 0;
}

void mlimg_comparer_free(struct mlimg_comparer *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->is_stopping = true;
	pthread_cond_broadcast(&c->added);
	pthread_mutex_unlock(&c->lock);
	for (size_t i = 0; i < c->n_threads; i++)
		pthread_join(c->threads[i], NULL);
	for (; c->n_taken < c->n_added; c->n_taken++) {
		close(c->ring[c->n_taken % ON_THE_WAY].fd);
		free(c->ring[c->n_taken % ON_THE_WAY].path);
	}
	jobs_done(&c->unjudged);
	jobs_done(&c->unknown);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->added);
	pthread_cond_destroy(&c->done);
	free(c);
}

bool mlimg_comparer_wants(const struct mlimg_comparer *c, const struct stat *st)
{
	if (st->st_size == 0 || st->st_blocks * 512 < st->st_size)
		return false;
	return c->known->is_ready || c->known->has_size(c->known->ctx, (uint64_t)st->st_size);
}

/*
 * Of a size that nothing known has. Nobody need read it to say so, but it keeps its place among the
 * others.
 */
static int add_unknown(struct mlimg_comparer *c, struct job *job, struct mlimg_err *err)
{
	int r;

	pthread_mutex_lock(&c->lock);
	job->number = c->n_numbered++;
	keep(c, &c->unknown, job);
	*err = c->err;
	r = c->err.code;
	pthread_mutex_unlock(&c->lock);
	free(job->path);
	return r;
}

int mlimg_comparer_add(struct mlimg_comparer *c, const char *path, int fd, const struct stat *st,
	struct mlimg_file *file, struct mlimg_err *err)
{
	struct job job = {.st = *st, .file = file, .path = strdup(path)};
	int r = 0;

	if (!job.path)
		return mlimg_err_set(err, ENOMEM, "read '%s'", path);
	if (mlimg_known_is_ready(c->known) &&
		!c->known->has_size(c->known->ctx, (uint64_t)st->st_size))
		return add_unknown(c, &job, err);
	job.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (job.fd < 0)
		r = mlimg_err_set(err, errno, "read '%s'", path);
	pthread_mutex_lock(&c->lock);
	if (c->n_added - c->n_done == ON_THE_WAY)
		while (r == 0 && c->n_added - c->n_done > ON_THE_WAY / 2 && !c->err.code)
			pthread_cond_wait(&c->done, &c->lock);
	if (r == 0 && c->err.code) {
		*err = c->err;
		r = c->err.code;
		close(job.fd);
	}
	if (r == 0) {
		job.number = c->n_numbered++;
		c->ring[c->n_added++ % ON_THE_WAY] = job;
		pthread_cond_signal(&c->added);
	}
	pthread_mutex_unlock(&c->lock);
	if (r < 0)
		free(job.path);
	return r;
}

static int by_number(const void *a, const void *b)
{
	const struct job *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

/* All threads have ended their work. */
static int judge_all(struct mlimg_comparer *c, struct mlimg_err *err)
{
	int r = mlimg_known_wait(c->known, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < c->unjudged.n; i++)
		if (judge(c, &c->unjudged.list[i]) == UNKNOWN)
			keep(c, &c->unknown, &c->unjudged.list[i]);
	*err = c->err;
	return c->err.code;
}

int mlimg_comparer_end(
	struct mlimg_comparer *c, mlimg_comparer_fn *fn, void *ctx, struct mlimg_err *err)
{
	struct job *list;
	int r;

	pthread_mutex_lock(&c->lock);
	while (c->n_done < c->n_added)
		pthread_cond_wait(&c->done, &c->lock);
	pthread_mutex_unlock(&c->lock);
	r = judge_all(c, err);
	list = c->unknown.list;
	if (c->unknown.n)
		qsort(list, c->unknown.n, sizeof(*list), by_number);
	for (size_t i = 0; i < c->unknown.n && r == 0; i++)
		r = fn(list[i].path, &list[i].st, list[i].file, ctx, err);
	return r;
}
