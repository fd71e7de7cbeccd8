/* SPDX-License-Identifier: MIT */
#include "tools/ext4-data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/arena.h"
#include "tools/ext4-pipe.h"
#include "tools/ext4-same.h"

#define BS MLIMG_BLOCK_SIZE
#define FILE_BLOCKS_MAX UINT32_MAX

struct mlimg_data {
	struct mlimg_data *apart; /* or NULL */
	struct mlimg_data *to;    /* who takes the present file: this one or apart */
	struct mlimg_pipe *pipe;
	struct mlimg_buffer *now; /* being filled */
	mlimg_alloc_fn *alloc;
	void *alloc_ctx;
	uint64_t run_next, run_end; /* free blocks */

	struct mlimg_file *file; /* the present one */
	uint64_t pos;
	bool is_hashed;
	size_t captured_room; /* of its ->bytes */

	int fd;
	const struct mlimg_known *known; /* or NULL */
	struct mlimg_same *same;         /* or NULL */
	bool is_shared;
	/* Where the present file begins, as long as it may turn out to be known. */
	struct {
		bool is_waiting; /* all of it is in the buffer */
		bool is_written; /* some of it is not any more */
		size_t fill, n_pieces;
		uint64_t key; /* is_written: of its beginning */
	} begun;
};

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

/* Hand over what lies before the file that may be known; the rest goes on at the next buffer's beginning. */
static int submit_before(struct mlimg_data *d, struct mlimg_err *err)
{
	struct mlimg_buffer *full = d->now;
	size_t fill = full->fill - d->begun.fill, n = full->n_pieces - d->begun.n_pieces;
	int r;

	full->fill = d->begun.fill;
	full->n_pieces = d->begun.n_pieces;
	r = mlimg_pipe_submit(d->pipe, false, &d->now, err);
	/* The threads only read the buffer, and up to its fill, until it comes round again. */
	memcpy(d->now->bytes, full->bytes + d->begun.fill, fill);
	for (size_t i = 0; i < n; i++) {
		d->now->pieces[i] = full->pieces[d->begun.n_pieces + i];
		d->now->pieces[i].offset -= (uint32_t)d->begun.fill;
	}
	d->now->fill = fill;
	d->now->n_pieces = n;
	d->now->block = full->block + d->begun.fill / BS;
	d->begun.fill = d->begun.n_pieces = 0;
	return r;
}

static int submit(struct mlimg_data *d, struct mlimg_err *err)
{
	if (d->begun.is_waiting && (d->begun.fill || d->begun.n_pieces)) {
		int r = submit_before(d, err);

		/* What lay before may have been hardly anything. */
		if (r < 0 ||
			(d->now->fill < MLIMG_BUFFER_SIZE &&
				d->now->n_pieces + 3 <= MLIMG_PIECES_MAX))
			return r;
	}
	if (d->begun.is_waiting) {
		d->begun.is_written = true;
		d->begun.key = mlimg_same_key(0, d->now->bytes, d->now->fill);
	}
	d->begun.is_waiting = false;
	return mlimg_pipe_submit(d->pipe, false, &d->now, err);
}

static void add_piece(
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
	return d->now->n_pieces + 3 > MLIMG_PIECES_MAX && d->now->fill % BS == 0 ? submit(d, err)
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
	d->begun.is_waiting = (d->known || d->same) && is_hashed && !file->is_captured;
	d->begun.is_written = false;
	d->begun.fill = d->now->fill;
	d->begun.n_pieces = d->now->n_pieces;
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
		r = submit(d, err);
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
		r = submit(d, err);
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
		add_piece(d, MLIMG_BYTES, size, NULL);
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
		add_piece(d, MLIMG_ZEROS, size, NULL);
	d->pos += size;
	return 0;
}

void mlimg_data_leave_out(struct mlimg_data *d, const struct mlimg_known *known)
{
	d->known = known;
	if (d->apart)
		d->apart->known = known;
}

int mlimg_data_dedupe(struct mlimg_data *d, struct mlimg_err *err)
{
	d->same = mlimg_same_new();
	return d->same ? 0 : mlimg_err_set(err, ENOMEM, "files that are the same");
}

int mlimg_data_share(struct mlimg_data *d, struct mlimg_err *err)
{
	int r = 0;

	if (d->same && mlimg_same_end(d->same, &d->is_shared) < 0)
		r = mlimg_err_set(err, ENOMEM, "files that are the same");
	mlimg_same_free(d->same);
	d->same = NULL;
	return r;
}

bool mlimg_data_is_shared(const struct mlimg_data *d)
{
	return d->is_shared;
}

static bool is_known(const struct mlimg_data *d)
{
	return d->known &&
		d->known->has_content(d->known->ctx, d->file->size_bytes, d->file->digest);
}

/* The next file gets the blocks of this one. */
static void take_back(struct mlimg_data *d)
{
	struct mlimg_file *f = d->file;

	d->run_next = mlimg_file_extents(f)->start;
	if (f->n_extents > 1)
		free(f->extents);
	f->extents = NULL;
	f->n_extents = 0;
}

/* Those that the present file may be the same as. */
struct candidates {
	struct mlimg_same_file files[MLIMG_SAME_CANDIDATES], self;
	size_t n;
};

static void find_candidates(const struct mlimg_data *d, struct candidates *c)
{
	uint64_t key = d->begun.key;

	c->n = 0;
	if (!d->same)
		return;
	if (d->begun.is_waiting)
		key = mlimg_same_key(
			0, d->now->bytes + d->begun.fill, d->now->fill - d->begun.fill);
	c->self = (struct mlimg_same_file){
		.key = mlimg_same_key(d->pos, (uint8_t *)&key, sizeof(key)), .file = d->file};
	c->n = mlimg_same_find(d->same, c->self.key, c->files);
}

/* Let all digests of the candidates be there. */
static int wait_for_candidates(
	struct mlimg_data *d, const struct candidates *c, struct mlimg_err *err)
{
	uint64_t last = 0;

	for (size_t i = 0; i < c->n; i++)
		if (c->files[i].buffer > last)
			last = c->files[i].buffer;
	if (last > mlimg_pipe_count(d->pipe)) {
		int r = submit_before(d, err); /* it lies there, in the same buffer */

		if (r < 0)
			return r;
	}
	mlimg_pipe_wait_hashed(d->pipe, last);
	return 0;
}

/* @return the one that has the present file's contents, or NULL */
static struct mlimg_file *same_of(const struct mlimg_data *d, const struct candidates *c)
{
	const struct mlimg_file *f = d->file;

	for (size_t i = 0; i < c->n; i++)
		if (c->files[i].file->size_bytes == f->size_bytes &&
			memcmp(c->files[i].file->digest, f->digest, sizeof(f->digest)) == 0)
			return c->files[i].file;
	return NULL;
}

/*
 * The digest is there: decide whether the file needs blocks of its own.
 *
 * @param ret_gone  it does not
 */
static int decide(
	struct mlimg_data *d, const struct candidates *c, bool *ret_gone, struct mlimg_err *err)
{
	struct mlimg_file *same = same_of(d, c);
	int r = 0;

	*ret_gone = true;
	if (is_known(d))
		d->file->is_left_out = true;
	else if (same)
		r = mlimg_same_share(d->same, d->file, same);
	else
		*ret_gone = false;
	if (r < 0)
		return mlimg_err_set(err, ENOMEM, "files that are the same");
	if (*ret_gone)
		take_back(d);
	return 0;
}

/* The file is in the buffer: hash it here, so that it is known now whether it stays. */
static int decide_waiting(
	struct mlimg_data *d, struct candidates *c, bool *ret_gone, struct mlimg_err *err)
{
	struct mlimg_buffer *b;
	struct mlimg_sha256 sha;
	int r = wait_for_candidates(d, c, err);

	if (r < 0)
		return r;
	b = d->now;
	mlimg_sha256_init(&sha);
	for (size_t i = d->begun.n_pieces; i < b->n_pieces; i++)
		mlimg_pipe_hash(&sha, b, &b->pieces[i]);
	mlimg_sha256_end(&sha, d->file->digest);
	b->n_pieces = d->begun.n_pieces;
	r = decide(d, c, ret_gone, err);
	if (r == 0 && *ret_gone)
		b->fill = d->begun.fill;
	return r;
}

/* The file has gone its way: when that has ended, its blocks may be free again. */
static int decide_written(
	struct mlimg_data *d, struct candidates *c, bool *ret_gone, struct mlimg_err *err)
{
	int r;

	add_piece(d, MLIMG_END, 0, d->file);
	r = mlimg_pipe_submit(d->pipe, true, &d->now, err);
	if (r == 0)
		r = decide(d, c, ret_gone, err);
	if (r < 0 || !*ret_gone)
		return r;
	if (ftruncate(d->fd, (off_t)(d->run_next * BS)) < 0)
		return mlimg_err_set(err, errno, "take back known contents");
	return 0;
}

static int end_hashed(struct mlimg_data *d, struct mlimg_err *err)
{
	/* Files of which all is hole cost nothing as they are. */
	bool can_go = (d->begun.is_waiting || d->begun.is_written) && d->file->n_extents;
	struct candidates c = {.n = 0};
	bool is_gone = false;
	int r = 0;

	if (can_go)
		find_candidates(d, &c);
	if (can_go && (c.n || (d->known && d->known->has_size(d->known->ctx, d->pos)))) {
		r = d->begun.is_waiting ? decide_waiting(d, &c, &is_gone, err)
					: decide_written(d, &c, &is_gone, err);
	} else {
		add_piece(d, MLIMG_END, 0, d->file);
		c.self.buffer = mlimg_pipe_count(d->pipe) + 1;
	}
	if (r == 0 && can_go && d->same && !is_gone && mlimg_same_add(d->same, &c.self) < 0)
		r = mlimg_err_set(err, ENOMEM, "files that are the same");
	return r;
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
		r = end_hashed(d, err);
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
