/* SPDX-License-Identifier: MIT */
#include "tools/ext4-pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "libmlimg/sha256.h"

#define BS MLIMG_BLOCK_SIZE
#define BUFFERS 8

struct mlimg_pipe {
	int fd;
	const char *image;
	struct mlimg_buffer buffers[BUFFERS];
	uint8_t *bytes; /* of all buffers, one behind the other */
	int fd_flags;   /* the caller's */
	bool is_direct;
	pthread_mutex_t lock; /* for all below */
	pthread_cond_t changed;
	uint64_t n_filled, n_hashed, n_written;
	int write_errno;
	atomic_bool is_stopping;
	bool has_hasher, has_writer;
	pthread_t hasher, writer;
};

/* Wait for the buffer after the *done first ones. @return NULL: there will not be one */
static struct mlimg_buffer *wait_for_buffer(struct mlimg_pipe *p, const uint64_t *done)
{
	struct mlimg_buffer *b = NULL;

	pthread_mutex_lock(&p->lock);
	while (*done == p->n_filled && !p->is_stopping)
		pthread_cond_wait(&p->changed, &p->lock);
	if (!p->is_stopping)
		b = &p->buffers[*done % BUFFERS];
	pthread_mutex_unlock(&p->lock);
	return b;
}

static void count_buffers(struct mlimg_pipe *p, uint64_t *done, uint64_t n, int errnum)
{
	pthread_mutex_lock(&p->lock);
	*done += n;
	if (errnum && !p->write_errno)
		p->write_errno = errnum;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

/*
 * A hole may be so long that hashing it takes hours, which nobody need wait for when all is to
 * stop.
 */
static void hash_zeros(struct mlimg_sha256 *sha, uint64_t size, const atomic_bool *is_stopping)
{
	static const uint8_t zeros[65536];

	while (size && !(is_stopping && atomic_load_explicit(is_stopping, memory_order_relaxed))) {
		size_t n = size < sizeof(zeros) ? (size_t)size : sizeof(zeros);

		mlimg_sha256_add(sha, zeros, n);
		size -= n;
	}
}

static void hash_piece(struct mlimg_sha256 *sha, const struct mlimg_buffer *b,
	const struct mlimg_piece *piece, const atomic_bool *is_stopping)
{
	if (piece->kind == MLIMG_BYTES)
		mlimg_sha256_add(sha, b->bytes + piece->offset, piece->size);
	else if (piece->kind == MLIMG_ZEROS)
		hash_zeros(sha, piece->size, is_stopping);
}

void mlimg_pipe_hash(struct mlimg_sha256 *sha, const struct mlimg_buffer *buffer,
	const struct mlimg_piece *piece)
{
	hash_piece(sha, buffer, piece, NULL);
}

static void *hasher_main(void *arg)
{
	struct mlimg_pipe *p = arg;
	struct mlimg_sha256 sha;
	struct mlimg_buffer *b;

	mlimg_sha256_init(&sha);
	while ((b = wait_for_buffer(p, &p->n_hashed))) {
		for (size_t i = 0; i < b->n_pieces; i++) {
			const struct mlimg_piece *piece = &b->pieces[i];

			hash_piece(&sha, b, piece, &p->is_stopping);
			if (piece->kind == MLIMG_END) {
				mlimg_sha256_end(&sha, piece->file->digest);
				mlimg_sha256_init(&sha);
			}
		}
		count_buffers(p, &p->n_hashed, 1, 0);
	}
	return NULL;
}

/*
 * What is synced in the end has to go to the disk anyhow. So it goes there at once and past the
 * page cache, which saves a copy and pages to hold it, more time than anything else here takes, and
 * leaves the cache to others. Not every file system can do that.
 */
static void begin_direct(struct mlimg_pipe *p)
{
	p->fd_flags = fcntl(p->fd, F_GETFL);
	p->is_direct = p->fd_flags >= 0 && fcntl(p->fd, F_SETFL, p->fd_flags | O_DIRECT) == 0;
}

/* @return whether it was direct until now */
static bool end_direct(struct mlimg_pipe *p)
{
	if (!p->is_direct)
		return false;
	p->is_direct = false;
	return fcntl(p->fd, F_SETFL, p->fd_flags) == 0;
}

static int write_at(struct mlimg_pipe *p, const uint8_t *bytes, size_t size, uint64_t offset)
{
	while (size) {
		ssize_t n = pwrite(p->fd, bytes, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EINVAL && end_direct(p))
			continue;
		if (n <= 0)
			return n < 0 ? errno : ENOSPC;
		bytes += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/*
 * How many buffers from @b on, which are all filled, can be written as one: the slower the disk,
 * the more there are.
 *
 * @param n  filled ones that are not written, at least 1
 */
static uint64_t count_joined(const struct mlimg_pipe *p, const struct mlimg_buffer *b, uint64_t n)
{
	uint64_t joined = 1;

	for (; joined < n && b + 1 < p->buffers + BUFFERS; joined++, b++)
		if (b->fill != MLIMG_BUFFER_SIZE || b[1].block != b->block + b->fill / BS)
			break;
	return joined;
}

static void *writer_main(void *arg)
{
	struct mlimg_pipe *p = arg;
	struct mlimg_buffer *b;
	int errnum = 0;

	while ((b = wait_for_buffer(p, &p->n_written))) {
		size_t size = 0;
		uint64_t n;

		pthread_mutex_lock(&p->lock);
		n = count_joined(p, b, p->n_filled - p->n_written);
		pthread_mutex_unlock(&p->lock);
		for (uint64_t i = 0; i < n; i++)
			size += b[i].fill;
		if (!errnum)
			errnum = write_at(p, b->bytes, size, b->block * BS);
		count_buffers(p, &p->n_written, n, errnum);
	}
	return NULL;
}

static bool allocate_buffers(struct mlimg_pipe *p)
{
	p->bytes = aligned_alloc(BS, BUFFERS * MLIMG_BUFFER_SIZE);
	if (!p->bytes)
		return false;
	for (size_t i = 0; i < BUFFERS; i++) {
		struct mlimg_buffer *b = &p->buffers[i];

		b->bytes = p->bytes + i * MLIMG_BUFFER_SIZE;
		b->pieces = calloc(MLIMG_PIECES_MAX, sizeof(*b->pieces));
		if (!b->pieces)
			return false;
	}
	return true;
}

int mlimg_pipe_new(int fd, const char *image, struct mlimg_pipe **ret_pipe,
	struct mlimg_buffer **ret_first, struct mlimg_err *err)
{
	struct mlimg_pipe *p = calloc(1, sizeof(*p));
	int r = 0;

	if (!p)
		return mlimg_err_set(err, ENOMEM, "write '%s'", image);
	p->fd = fd;
	p->image = image;
	begin_direct(p);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	if (!allocate_buffers(p))
		r = ENOMEM;
	if (!r)
		r = pthread_create(&p->hasher, NULL, hasher_main, p);
	p->has_hasher = !r;
	if (!r)
		r = pthread_create(&p->writer, NULL, writer_main, p);
	p->has_writer = !r;
	if (r) {
		mlimg_pipe_free(p);
		return mlimg_err_set(err, r, "write '%s'", image);
	}
	*ret_pipe = p;
	*ret_first = &p->buffers[0];
	return 0;
}

void mlimg_pipe_free(struct mlimg_pipe *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->is_stopping = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	if (p->has_hasher)
		pthread_join(p->hasher, NULL);
	if (p->has_writer)
		pthread_join(p->writer, NULL);
	end_direct(p);
	for (size_t i = 0; i < BUFFERS; i++)
		free(p->buffers[i].pieces);
	free(p->bytes);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->changed);
	free(p);
}

int mlimg_pipe_submit(struct mlimg_pipe *p, bool is_waiting, struct mlimg_buffer **ret_next,
	struct mlimg_err *err)
{
	uint64_t n_left = is_waiting ? 0 : BUFFERS - 1; /* that may be worked on still */
	struct mlimg_buffer *next;
	int errnum;

	pthread_mutex_lock(&p->lock);
	p->n_filled++;
	pthread_cond_broadcast(&p->changed);
	while (p->n_filled - p->n_hashed > n_left || p->n_filled - p->n_written > n_left)
		pthread_cond_wait(&p->changed, &p->lock);
	errnum = p->write_errno;
	next = &p->buffers[p->n_filled % BUFFERS];
	pthread_mutex_unlock(&p->lock);
	next->fill = 0;
	next->n_pieces = 0;
	*ret_next = next;
	return errnum ? mlimg_err_set(err, errnum, "write '%s'", p->image) : 0;
}

uint64_t mlimg_pipe_count(struct mlimg_pipe *p)
{
	return p->n_filled; /* changed by the caller's thread only */
}

void mlimg_pipe_wait_hashed(struct mlimg_pipe *p, uint64_t n)
{
	pthread_mutex_lock(&p->lock);
	while (p->n_hashed < n)
		pthread_cond_wait(&p->changed, &p->lock);
	pthread_mutex_unlock(&p->lock);
}
