/* SPDX-License-Identifier: MIT */
#include "tools/ext4-data.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/sha256.h"

#define BS MLIMG_BLOCK_SIZE
/* A buffer fits into a core's second level cache together with what is read, and is large enough
 * that a write costs little beside its copying. */
#define BUFFER_SIZE 1048576
#define BUFFERS 4
#define PIECES_MAX 4096 /* of files in a buffer, however small they are */
#define FILE_BLOCKS_MAX UINT32_MAX

/* What the hashing thread is to do, in order. */
enum piece_kind {
	BYTES, /* hash bytes of the buffer */
	ZEROS, /* hash as many zeros */
	END,   /* the file ends */
};

struct piece {
	struct mlimg_file *file; /* END */
	uint64_t size;
	uint32_t offset; /* BYTES: in the buffer */
	enum piece_kind kind;
};

struct buffer {
	uint8_t *bytes;
	uint64_t block; /* where in the image they belong */
	size_t fill;
	struct piece *pieces;
	size_t n_pieces;
};

struct mlimg_data {
	int fd;
	const char *image;
	mlimg_alloc_fn *alloc;
	void *alloc_ctx;
	uint64_t run_next, run_end; /* free blocks */

	struct mlimg_file *file; /* the present one */
	uint64_t pos;
	bool is_hashed;
	struct buffer *now; /* being filled */

	struct buffer buffers[BUFFERS];
	pthread_mutex_t lock; /* for all below */
	pthread_cond_t changed;
	uint64_t n_filled, n_hashed, n_written;
	int write_errno;
	bool is_stopping;
	bool has_hasher, has_writer;
	pthread_t hasher, writer;
};

/* Wait for the buffer after the *done first ones. @return NULL: there will not be one */
static struct buffer *wait_for_buffer(struct mlimg_data *d, const uint64_t *done)
{
	struct buffer *b = NULL;

	pthread_mutex_lock(&d->lock);
	while (*done == d->n_filled && !d->is_stopping)
		pthread_cond_wait(&d->changed, &d->lock);
	if (!d->is_stopping)
		b = &d->buffers[*done % BUFFERS];
	pthread_mutex_unlock(&d->lock);
	return b;
}

static void count_buffer(struct mlimg_data *d, uint64_t *done, int errnum)
{
	pthread_mutex_lock(&d->lock);
	(*done)++;
	if (errnum && !d->write_errno)
		d->write_errno = errnum;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

static void hash_zeros(struct mlimg_sha256 *sha, uint64_t size)
{
	static const uint8_t zeros[65536];

	while (size) {
		size_t n = size < sizeof(zeros) ? (size_t)size : sizeof(zeros);

		mlimg_sha256_add(sha, zeros, n);
		size -= n;
	}
}

static void *hasher_main(void *arg)
{
	struct mlimg_data *d = arg;
	struct mlimg_sha256 sha;
	struct buffer *b;

	mlimg_sha256_init(&sha);
	while ((b = wait_for_buffer(d, &d->n_hashed))) {
		for (size_t i = 0; i < b->n_pieces; i++) {
			const struct piece *p = &b->pieces[i];

			switch (p->kind) {
			case BYTES: mlimg_sha256_add(&sha, b->bytes + p->offset, p->size); break;
			case ZEROS: hash_zeros(&sha, p->size); break;
			case END:
				mlimg_sha256_end(&sha, p->file->digest);
				mlimg_sha256_init(&sha);
				break;
			}
		}
		count_buffer(d, &d->n_hashed, 0);
	}
	return NULL;
}

static int write_at(int fd, const uint8_t *bytes, size_t size, uint64_t offset)
{
	while (size) {
		ssize_t n = pwrite(fd, bytes, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : ENOSPC;
		bytes += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static void *writer_main(void *arg)
{
	struct mlimg_data *d = arg;
	struct buffer *b;
	int errnum = 0;

	while ((b = wait_for_buffer(d, &d->n_written))) {
		if (!errnum)
			errnum = write_at(d->fd, b->bytes, b->fill, b->block * BS);
		count_buffer(d, &d->n_written, errnum);
	}
	return NULL;
}

static bool allocate_buffers(struct mlimg_data *d)
{
	for (size_t i = 0; i < BUFFERS; i++) {
		struct buffer *b = &d->buffers[i];

		b->bytes = aligned_alloc(BS, BUFFER_SIZE);
		b->pieces = calloc(PIECES_MAX, sizeof(*b->pieces));
		if (!b->bytes || !b->pieces)
			return false;
	}
	return true;
}

int mlimg_data_new(int fd, const char *image, mlimg_alloc_fn *alloc, void *ctx,
	struct mlimg_data **ret_data, struct mlimg_err *err)
{
	struct mlimg_data *d = calloc(1, sizeof(*d));
	int r = 0;

	if (!d)
		return mlimg_err_set(err, ENOMEM, "write '%s'", image);
	d->fd = fd;
	d->image = image;
	d->alloc = alloc;
	d->alloc_ctx = ctx;
	d->now = &d->buffers[0];
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	if (!allocate_buffers(d))
		r = ENOMEM;
	if (!r)
		r = pthread_create(&d->hasher, NULL, hasher_main, d);
	d->has_hasher = !r;
	if (!r)
		r = pthread_create(&d->writer, NULL, writer_main, d);
	d->has_writer = !r;
	if (r) {
		mlimg_data_free(d);
		return mlimg_err_set(err, r, "write '%s'", image);
	}
	*ret_data = d;
	return 0;
}

void mlimg_data_free(struct mlimg_data *d)
{
	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	d->is_stopping = true;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	if (d->has_hasher)
		pthread_join(d->hasher, NULL);
	if (d->has_writer)
		pthread_join(d->writer, NULL);
	for (size_t i = 0; i < BUFFERS; i++) {
		free(d->buffers[i].bytes);
		free(d->buffers[i].pieces);
	}
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->changed);
	free(d);
}

/* Hand the buffer over and wait until at most n_left of those handed over are being worked on. */
static int submit(struct mlimg_data *d, uint64_t n_left, struct mlimg_err *err)
{
	int errnum;

	pthread_mutex_lock(&d->lock);
	d->n_filled++;
	pthread_cond_broadcast(&d->changed);
	while (d->n_filled - d->n_hashed > n_left || d->n_filled - d->n_written > n_left)
		pthread_cond_wait(&d->changed, &d->lock);
	errnum = d->write_errno;
	d->now = &d->buffers[d->n_filled % BUFFERS];
	pthread_mutex_unlock(&d->lock);
	d->now->fill = 0;
	d->now->n_pieces = 0;
	if (errnum)
		return mlimg_err_set(err, errnum, "write '%s'", d->image);
	return 0;
}

static void add_piece(
	struct mlimg_data *d, enum piece_kind kind, uint64_t size, struct mlimg_file *file)
{
	struct buffer *b = d->now;
	struct piece *last = b->n_pieces ? &b->pieces[b->n_pieces - 1] : NULL;

	if (kind == BYTES && last && last->kind == BYTES && last->offset + last->size == b->fill) {
		last->size += size;
		return;
	}
	b->pieces[b->n_pieces++] = (struct piece){
		.kind = kind, .size = size, .offset = (uint32_t)b->fill, .file = file};
}

/* Room for the pieces of one call: a lead of zeros, bytes, an end. */
static int make_piece_room(struct mlimg_data *d, struct mlimg_err *err)
{
	return d->now->n_pieces + 3 > PIECES_MAX && d->now->fill % BS == 0
		? submit(d, BUFFERS - 1, err)
		: 0;
}

static int add_extent(struct mlimg_data *d, uint64_t logical, uint64_t count, struct mlimg_err *err)
{
	struct mlimg_file *f = d->file;
	struct mlimg_extent *list = f->n_extents > 1 ? f->extents : &f->one;
	struct mlimg_extent *last = f->n_extents ? &list[f->n_extents - 1] : NULL;
	struct mlimg_extent e = {
		.start = d->run_next, .logical = (uint32_t)logical, .count = (uint32_t)count};
	size_t n = f->n_extents;

	if (last && last->start + last->count == e.start &&
		(uint64_t)last->logical + last->count == logical) {
		last->count += e.count;
		return 0;
	}
	if (n == 0) {
		f->one = e;
	} else if ((n & (n - 1)) == 0) {
		struct mlimg_extent *more =
			realloc(n > 1 ? f->extents : NULL, 2 * n * sizeof(*more));

		if (!more)
			return mlimg_err_set(err, ENOMEM, "write '%s'", d->image);
		if (n == 1)
			more[0] = f->one;
		f->extents = more;
	}
	if (n > 0)
		f->extents[n] = e;
	f->n_extents++;
	return 0;
}

void mlimg_data_begin(struct mlimg_data *d, struct mlimg_file *file, bool is_hashed)
{
	d->file = file;
	d->pos = 0;
	d->is_hashed = is_hashed;
}

/* Let the buffer's next block be the next free one of the image. */
static int begin_block(struct mlimg_data *d, struct mlimg_err *err)
{
	int r;

	if (d->run_next == d->run_end) {
		uint64_t start, count;

		r = d->alloc(d->alloc_ctx, &start, &count, err);
		if (r < 0)
			return r;
		d->run_next = start;
		d->run_end = start + count;
	}
	if (d->now->fill && d->now->block + d->now->fill / BS != d->run_next) {
		r = submit(d, BUFFERS - 1, err);
		if (r < 0)
			return r;
	}
	if (!d->now->fill)
		d->now->block = d->run_next;
	return 0;
}

/* A hole ended within this block: its zeros are hashed already, but here they must be written. */
static int write_lead(struct mlimg_data *d, size_t lead, struct mlimg_err *err)
{
	int r = add_extent(d, d->pos / BS, 1, err);

	if (r < 0)
		return r;
	memset(d->now->bytes + d->now->fill, 0, lead);
	d->now->fill += lead;
	d->run_next++;
	return 0;
}

int mlimg_data_room(struct mlimg_data *d, void **ret_room, size_t *ret_size, struct mlimg_err *err)
{
	uint64_t in_run;
	int r = make_piece_room(d, err);

	if (r == 0 && d->now->fill == BUFFER_SIZE)
		r = submit(d, BUFFERS - 1, err);
	if (r == 0 && d->now->fill % BS == 0) {
		r = begin_block(d, err);
		if (r == 0 && d->pos % BS)
			r = write_lead(d, d->pos % BS, err);
	}
	if (r < 0)
		return r;
	in_run = (d->run_end - d->run_next) * BS + (BS - d->now->fill % BS) % BS;
	*ret_size = BUFFER_SIZE - d->now->fill;
	if (*ret_size > in_run)
		*ret_size = (size_t)in_run;
	*ret_room = d->now->bytes + d->now->fill;
	return 0;
}

static int check_size(const struct mlimg_data *d, uint64_t more, struct mlimg_err *err)
{
	if (more > FILE_BLOCKS_MAX * (uint64_t)BS - d->pos)
		return mlimg_err_refuse(err, "a file is larger than ext4 can hold");
	return 0;
}

int mlimg_data_put(struct mlimg_data *d, size_t size, struct mlimg_err *err)
{
	size_t rest = (BS - d->now->fill % BS) % BS; /* of the block that is begun */
	int r = check_size(d, size, err);

	if (r < 0)
		return r;
	if (size > rest) {
		uint64_t count = (size - rest + BS - 1) / BS;

		r = add_extent(d, (d->pos + rest) / BS, count, err);
		if (r < 0)
			return r;
		d->run_next += count;
	}
	if (d->is_hashed)
		add_piece(d, BYTES, size, NULL);
	d->now->fill += size;
	d->pos += size;
	return 0;
}

int mlimg_data_write(struct mlimg_data *d, const void *bytes, size_t size, struct mlimg_err *err)
{
	const uint8_t *from = bytes;

	while (size) {
		size_t n;
		void *room;
		int r = mlimg_data_room(d, &room, &n, err);

		if (r < 0)
			return r;
		if (n > size)
			n = size;
		memcpy(room, from, n);
		r = mlimg_data_put(d, n, err);
		if (r < 0)
			return r;
		from += n;
		size -= n;
	}
	return 0;
}

int mlimg_data_hole(struct mlimg_data *d, uint64_t size, struct mlimg_err *err)
{
	size_t rest = (BS - d->now->fill % BS) % BS;
	int r = check_size(d, size, err);

	if (r < 0)
		return r;
	if (rest > size)
		rest = (size_t)size;
	if (rest) {
		memset(d->now->bytes + d->now->fill, 0, rest);
		r = mlimg_data_put(d, rest, err);
		if (r < 0)
			return r;
		size -= rest;
	}
	if (!size)
		return 0;
	r = make_piece_room(d, err);
	if (r < 0)
		return r;
	if (d->is_hashed)
		add_piece(d, ZEROS, size, NULL);
	d->pos += size;
	return 0;
}

int mlimg_data_end(struct mlimg_data *d, struct mlimg_err *err)
{
	size_t rest = (BS - d->now->fill % BS) % BS;
	int r;

	memset(d->now->bytes + d->now->fill, 0, rest);
	d->now->fill += rest;
	d->file->size_bytes = d->pos;
	r = make_piece_room(d, err);
	if (r < 0)
		return r;
	if (d->is_hashed)
		add_piece(d, END, 0, d->file);
	d->file = NULL;
	return 0;
}

int mlimg_data_sync(struct mlimg_data *d, uint64_t *ret_next, struct mlimg_err *err)
{
	int r = submit(d, 0, err);

	if (r < 0)
		return r;
	if (ret_next)
		*ret_next = d->run_next;
	return 0;
}
