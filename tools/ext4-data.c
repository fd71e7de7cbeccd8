/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "tools/ext4-data-impl.h"

#define BS MLIMG_BLOCK_SIZE
#define FILE_BLOCKS_MAX UINT32_MAX

int mlimg_data_new(int fd, const char *image, mlimg_alloc_fn *alloc, void *ctx,
	struct mlimg_data **ret_data, struct mlimg_err *err)
{
	struct mlimg_data *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return mlimg_err_set(err, ENOMEM, "write '%s'", image);
	r = mlimg_pipe_new(fd, image, &d->pipe, &d->now, err);
	if (r < 0) {
		free(d);
		return r;
	}
	d->to = d;
	d->fd = fd;
	d->alloc = alloc;
	d->alloc_ctx = ctx;
	*ret_data = d;
	return 0;
}

void mlimg_data_free(struct mlimg_data *d)
{
	if (!d)
		return;
	mlimg_pipe_free(d->pipe);
	mlimg_same_free(d->same);
	free(d);
}

void mlimg_data_add_piece(
	struct mlimg_data *d, enum mlimg_piece_kind kind, uint64_t size, struct mlimg_file *file)
{
	struct mlimg_buffer *b = d->now;
	struct mlimg_piece *last = b->n_pieces ? &b->pieces[b->n_pieces - 1] : NULL;

	if (kind == MLIMG_BYTES && last && last->kind == MLIMG_BYTES &&
		last->offset + last->size == b->fill) {
		last->size += size;
		return;
	}
	b->pieces[b->n_pieces++] = (struct mlimg_piece){
		.kind = kind, .size = size, .offset = (uint32_t)b->fill, .file = file};
}

/* Room for the pieces of one call: a lead of zeros, bytes, an end. */
static int make_piece_room(struct mlimg_data *d, struct mlimg_err *err)
{
	return d->now->n_pieces + 3 > MLIMG_PIECES_MAX && d->now->fill % BS == 0
		? mlimg_data_submit(d, err)
		: 0;
}

static int add_extent(struct mlimg_data *d, uint64_t logical, uint64_t count, struct mlimg_err *err)
{
	struct mlimg_file *f = d->file;
	struct mlimg_extent *list = mlimg_file_extents(f);
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
			return mlimg_err_set(err, ENOMEM, "contents of a file");
		if (n == 1)
			more[0] = f->one;
		f->extents = more;
	}
	if (n > 0)
		f->extents[n] = e;
	f->n_extents++;
	return 0;
}

void mlimg_data_set_apart(struct mlimg_data *d, struct mlimg_data *apart)
{
	d->apart = apart;
	if (apart)
		apart->known = d->known;
}

void mlimg_data_go_to(struct mlimg_data *d, uint64_t block)
{
	d->run_next = block;
	d->run_end = block + UINT32_MAX;
}

void mlimg_data_begin(struct mlimg_data *d, struct mlimg_file *file, bool is_hashed)
{
	d->to = d->apart && file->is_apart ? d->apart : d;
	d = d->to;
	d->file = file;
	d->pos = 0;
	d->is_hashed = is_hashed;
	mlimg_data_begin_deciding(d);
	d->captured_room = 0;
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
		r = mlimg_data_submit(d, err);
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

/* Room for the next bytes of a captured file, and a NUL behind them. */
static int reserve(struct mlimg_data *d, uint64_t size, struct mlimg_err *err)
{
	if (size > MLIMG_CAPTURE_MAX - d->pos)
		return mlimg_err_refuse(err,
			"a file that would have to be kept in memory has more than %d bytes",
			MLIMG_CAPTURE_MAX);
	if (mlimg_buffer_reserve(&d->file->bytes, &d->captured_room, d->pos + size + 1) < 0)
		return mlimg_err_set(err, ENOMEM, "contents of a file");
	return 0;
}

/* What was read there is in place already; NULL is a hole. */
static int capture(struct mlimg_data *d, const void *bytes, uint64_t size, struct mlimg_err *err)
{
	int r = reserve(d, size, err);

	if (r < 0)
		return r;
	if (!bytes)
		memset(d->file->bytes + d->pos, 0, size);
	d->pos += size;
	return 0;
}

static int end_captured(struct mlimg_data *d, struct mlimg_err *err)
{
	int r = reserve(d, 0, err);

	if (r < 0)
		return r;
	d->file->bytes[d->pos] = '\0';
	d->file->size_bytes = d->pos;
	mlimg_sha256_of(d->file->bytes, d->pos, d->file->digest);
	d->file = NULL;
	return 0;
}

int mlimg_data_room(struct mlimg_data *d, void **ret_room, size_t *ret_size, struct mlimg_err *err)
{
	uint64_t in_run;
	int r;

	d = d->to;
	if (d->file->is_captured) {
		r = reserve(d, 1, err);
		if (r < 0)
			return r;
		*ret_room = d->file->bytes + d->pos;
		*ret_size = d->captured_room - d->pos - 1;
		return 0;
	}
	r = make_piece_room(d, err);
	if (r == 0 && d->now->fill == MLIMG_BUFFER_SIZE)
		r = mlimg_data_submit(d, err);
	if (r == 0 && d->now->fill % BS == 0) {
		r = begin_block(d, err);
		if (r == 0 && d->pos % BS)
			r = write_lead(d, d->pos % BS, err);
	}
	if (r < 0)
		return r;
	in_run = (d->run_end - d->run_next) * BS + (BS - d->now->fill % BS) % BS;
	*ret_size = MLIMG_BUFFER_SIZE - d->now->fill;
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
	size_t rest; /* of the block that is begun */
	int r;

	d = d->to;
	rest = (BS - d->now->fill % BS) % BS;
	r = check_size(d, size, err);
	if (r == 0 && d->file->is_captured)
		return capture(d, d->file->bytes + d->pos, size, err);
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
		mlimg_data_add_piece(d, MLIMG_BYTES, size, NULL);
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
	size_t rest;
	int r;

	d = d->to;
	rest = (BS - d->now->fill % BS) % BS;
	r = check_size(d, size, err);
	if (r == 0 && d->file->is_captured)
		return capture(d, NULL, size, err);
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
		mlimg_data_add_piece(d, MLIMG_ZEROS, size, NULL);
	d->pos += size;
	return 0;
}

int mlimg_data_end(struct mlimg_data *d, struct mlimg_err *err)
{
	size_t rest;
	int r;

	d = d->to;
	if (d->file->is_captured)
		return end_captured(d, err);
	rest = (BS - d->now->fill % BS) % BS;
	memset(d->now->bytes + d->now->fill, 0, rest);
	d->now->fill += rest;
	d->file->size_bytes = d->pos;
	r = make_piece_room(d, err);
	if (r < 0)
		return r;
	if (d->is_hashed)
		r = mlimg_data_end_hashed(d, err);
	d->begun.is_waiting = d->begun.is_written = false;
	d->file = NULL;
	return r;
}

int mlimg_data_sync(struct mlimg_data *d, uint64_t *ret_next, struct mlimg_err *err)
{
	int r = mlimg_pipe_submit(d->pipe, true, &d->now, err);

	if (r == 0 && d->apart)
		r = mlimg_data_sync(d->apart, NULL, err);
	if (r < 0)
		return r;
	if (ret_next)
		*ret_next = d->run_next;
	return 0;
}
