/* SPDX-License-Identifier: MIT */
/* Contents that need no blocks: those that are known, and those of another file of the image. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/ext4-data-impl.h"

#define BS MLIMG_BLOCK_SIZE

void mlimg_data_begin_deciding(struct mlimg_data *d)
{
	d->begun.is_waiting = (d->known || d->same) && d->is_hashed && !d->file->is_captured;
	d->begun.is_written = false;
	d->begun.fill = d->now->fill;
	d->begun.n_pieces = d->now->n_pieces;
}

/*
 * Hand over what lies before the file that may be known; the rest goes on at the next buffer's
 * beginning.
 */
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

int mlimg_data_submit(struct mlimg_data *d, struct mlimg_err *err)
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

	mlimg_data_add_piece(d, MLIMG_END, 0, d->file);
	r = mlimg_pipe_submit(d->pipe, true, &d->now, err);
	if (r == 0)
		r = decide(d, c, ret_gone, err);
	if (r < 0 || !*ret_gone)
		return r;
	if (ftruncate(d->fd, (off_t)(d->run_next * BS)) < 0)
		return mlimg_err_set(err, errno, "take back known contents");
	return 0;
}

int mlimg_data_end_hashed(struct mlimg_data *d, struct mlimg_err *err)
{
	/* Files of which all is hole cost nothing as they are. */
	bool can_go = (d->begun.is_waiting || d->begun.is_written) && d->file->n_extents;
	struct candidates c = {.n = 0};
	bool is_gone = false;
	int r = 0;

	if (can_go)
		find_candidates(d, &c);
	if (can_go && d->known)
		r = mlimg_known_wait(d->known, err);
	if (r < 0)
		return r;
	if (can_go && (c.n || (d->known && d->known->has_size(d->known->ctx, d->pos)))) {
		r = d->begun.is_waiting ? decide_waiting(d, &c, &is_gone, err)
					: decide_written(d, &c, &is_gone, err);
	} else {
		mlimg_data_add_piece(d, MLIMG_END, 0, d->file);
		c.self.buffer = mlimg_pipe_count(d->pipe) + 1;
	}
	if (r == 0 && can_go && d->same && !is_gone && mlimg_same_add(d->same, &c.self) < 0)
		r = mlimg_err_set(err, ENOMEM, "files that are the same");
	return r;
}
