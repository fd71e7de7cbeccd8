/* SPDX-License-Identifier: MIT */
/* An index as a tree (itree.h), and where contents lie. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#include "libmlimg/arena.h"
#include "tools/erofs-read-impl.h"

#define PIECE_BLOCKS 256u /* 1 MiB at a time */

/* ---- runs ---- */

static int bad_chunk(struct mlimg_erofs_image *image, const struct mlimg_erofs_inode *inode,
	const char *what, struct mlimg_err *err)
{
	return erofs_refuse(image, err, "inode %u: a chunk %s", inode->nid, what);
}

/*
 * The layer of a block on a joined disk. @return whether there is one: hash trees and the index
 * itself are none
 */
static bool find_layer(const struct mlimg_index *index, struct mlimg_erofs_run *run)
{
	size_t from = 0, to = index->n_layers;

	if (run->physical < index->layers[0].first_block)
		return false;
	while (to - from > 1) {
		size_t middle = from + (to - from) / 2;

		if (index->layers[middle].first_block <= run->physical)
			from = middle;
		else
			to = middle;
	}
	run->layer = (unsigned)from;
	run->physical -= index->layers[from].first_block;
	return run->physical < index->layers[from].n_blocks;
}

/* The layer that a chunk names, or that has its block. */
static bool is_on_layer(
	const struct mlimg_index *index, unsigned device, struct mlimg_erofs_run *run)
{
	if (index->is_joined)
		return device == 0 && find_layer(index, run);
	run->layer = device - 1;
	return device && device <= index->n_layers;
}

/* One chunk as a run; n_blocks 0 for a hole. */
static int decode_chunk(struct mlimg_erofs_image *image, const struct mlimg_erofs_inode *inode,
	uint64_t i, const struct erofs_chunk_index *raw, struct mlimg_erofs_run *ret_run,
	struct mlimg_err *err)
{
	uint64_t file_blocks =
		inode->size_bytes / EROFS_BLOCK_SIZE + (inode->size_bytes % EROFS_BLOCK_SIZE != 0);

	*ret_run = (struct mlimg_erofs_run){
		.logical = i << inode->chunk_bits, .physical = le32toh(raw->blkaddr)};
	if (ret_run->physical == EROFS_NULL_ADDR)
		return 0;
	if (raw->advise || !is_on_layer(&image->index, le16toh(raw->device_id), ret_run))
		return bad_chunk(image, inode, "is on no layer", err);
	ret_run->n_blocks = (uint64_t)1 << inode->chunk_bits;
	if (ret_run->n_blocks > file_blocks - ret_run->logical)
		ret_run->n_blocks = file_blocks - ret_run->logical;
	if (ret_run->physical + ret_run->n_blocks > image->index.layers[ret_run->layer].n_blocks)
		return bad_chunk(image, inode, "lies outside its layer", err);
	return 0;
}

static bool continues(const struct mlimg_erofs_run *a, const struct mlimg_erofs_run *b)
{
	return a->layer == b->layer && a->logical + a->n_blocks == b->logical &&
		a->physical + a->n_blocks == b->physical;
}

int mlimg_erofs_runs(struct mlimg_erofs_image *image, const struct mlimg_erofs_inode *inode,
	struct mlimg_erofs_run **ret_runs, size_t *ret_n, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_erofs_run *runs = NULL;
	size_t n = 0, room = 0;

	for (uint64_t i = 0; i < inode->n_chunks; i++) {
		struct erofs_chunk_index raw;
		struct mlimg_erofs_run run;
		int ret = erofs_read_at(
			image, inode->behind_at + i * sizeof(raw), &raw, sizeof(raw), err);

		if (ret == 0)
			ret = decode_chunk(image, inode, i, &raw, &run, err);
		if (ret < 0)
			return ret;
		if (run.n_blocks == 0)
			continue;
		if (n && continues(&runs[n - 1], &run)) {
			runs[n - 1].n_blocks += run.n_blocks;
			continue;
		}
		if (mlimg_buffer_reserve(&runs, &room, (n + 1) * sizeof(*runs)) < 0)
			return erofs_fail(image, err, ENOMEM, "inode %u", inode->nid);
		runs[n++] = run;
	}
	*ret_runs = mlimg_steal(&runs);
	*ret_n = n;
	return 0;
}

/* ---- contents ---- */

/* A file on its way to the caller. */
struct file_reader {
	struct mlimg_erofs_image *image;
	const struct mlimg_erofs_inode *inode;
	mlimg_ext4_data_fn *fn;
	void *ctx;
	struct mlimg_err *err;
	uint64_t done; /* bytes */
	uint8_t *piece;
};

static int put_hole(struct file_reader *r, uint64_t end)
{
	uint64_t size = (end < r->inode->size_bytes ? end : r->inode->size_bytes) - r->done;
	int ret = size ? r->fn(NULL, size, r->ctx, r->err) : 0;

	r->done += size;
	return ret;
}

static int put_run(struct file_reader *r, const struct mlimg_erofs_run *run)
{
	int ret = 0;

	if (!r->image->read_layer)
		return erofs_fail(r->image, r->err, ENOMEDIUM, "layer %u", run->layer);
	for (uint64_t block = 0; block < run->n_blocks && ret == 0;) {
		uint64_t left = r->inode->size_bytes - r->done;
		uint32_t n = run->n_blocks - block < PIECE_BLOCKS
			? (uint32_t)(run->n_blocks - block)
			: PIECE_BLOCKS;
		uint64_t size = (uint64_t)n * EROFS_BLOCK_SIZE;

		ret = r->image->read_layer(
			r->image->ctx, run->layer, run->physical + block, n, r->piece, r->err);
		if (ret == 0)
			ret = r->fn(r->piece, size < left ? size : left, r->ctx, r->err);
		r->done += size < left ? size : left;
		block += n;
	}
	return ret;
}

static int put_own(struct file_reader *r)
{
	int ret = 0;

	while (r->done < r->inode->size_bytes && ret == 0) {
		uint64_t size = r->inode->size_bytes - r->done;

		if (size > PIECE_BLOCKS * EROFS_BLOCK_SIZE)
			size = PIECE_BLOCKS * EROFS_BLOCK_SIZE;
		ret = erofs_read_own(r->image, r->inode, r->done, r->piece, size, r->err);
		if (ret == 0)
			ret = r->fn(r->piece, size, r->ctx, r->err);
		r->done += size;
	}
	return ret;
}

/* No larger than needed: most files are small, and their memory should stay in the cache. */
static size_t piece_size(const struct mlimg_erofs_inode *inode)
{
	uint64_t blocks = inode->size_bytes / EROFS_BLOCK_SIZE + 1;

	return (size_t)(blocks < PIECE_BLOCKS ? blocks : PIECE_BLOCKS) * EROFS_BLOCK_SIZE;
}

static int op_read(
	void *image_, const void *inode_, mlimg_ext4_data_fn *fn, void *ctx, struct mlimg_err *err)
{
	struct mlimg_erofs_image *image = image_;
	const struct mlimg_erofs_inode *inode = inode_;
	struct file_reader r = {.image = image, .inode = inode, .fn = fn, .ctx = ctx, .err = err};
	mlimg_autofree struct mlimg_erofs_run *runs = NULL;
	mlimg_autofree uint8_t *piece = NULL;
	size_t n = 0;
	int ret;

	if (inode->type != MLIMG_FILE)
		return erofs_fail(image, err, EINVAL, "inode %u has no contents", inode->nid);
	ret = mlimg_erofs_runs(image, inode, &runs, &n, err);
	r.piece = piece = malloc(piece_size(inode));
	if (ret == 0 && !piece)
		return erofs_fail(image, err, ENOMEM, "inode %u", inode->nid);
	if (ret == 0 && !inode->n_chunks)
		return put_own(&r);
	for (size_t i = 0; i < n && ret == 0; i++) {
		ret = put_hole(&r, runs[i].logical * EROFS_BLOCK_SIZE);
		if (ret == 0)
			ret = put_run(&r, &runs[i]);
	}
	return ret < 0 ? ret : put_hole(&r, inode->size_bytes);
}

static int op_data(void *image, const void *inode_, struct mlimg_itree_run **ret_runs,
	size_t *ret_n, struct mlimg_err *err)
{
	const struct mlimg_erofs_inode *inode = inode_;
	mlimg_autofree struct mlimg_erofs_run *runs = NULL;
	struct mlimg_itree_run *data;
	size_t n = 0;
	int ret = mlimg_erofs_runs(image, inode, &runs, &n, err);

	if (ret < 0)
		return ret;
	data = calloc(n + 1, sizeof(*data));
	if (!data)
		return erofs_fail(image, err, ENOMEM, "inode %u", inode->nid);
	for (size_t i = 0; i < n; i++) {
		data[i].offset = runs[i].logical * EROFS_BLOCK_SIZE;
		data[i].size = runs[i].n_blocks * EROFS_BLOCK_SIZE;
		if (data[i].size > inode->size_bytes - data[i].offset)
			data[i].size = inode->size_bytes - data[i].offset;
	}
	if (!inode->n_chunks && inode->size_bytes)
		data[n++].size = inode->size_bytes;
	*ret_runs = data;
	*ret_n = n;
	return 0;
}

static int op_used(void *image, const void *inode_, uint64_t *ret_bytes, struct mlimg_err *err)
{
	const struct mlimg_erofs_inode *inode = inode_;
	mlimg_autofree struct mlimg_erofs_run *runs = NULL;
	uint64_t n_blocks = inode->size_bytes / EROFS_BLOCK_SIZE;
	size_t n = 0;
	int ret = mlimg_erofs_runs(image, inode, &runs, &n, err);

	if (inode->n_chunks)
		n_blocks = 0;
	else if (!inode->has_tail && inode->size_bytes % EROFS_BLOCK_SIZE)
		n_blocks++;
	for (size_t i = 0; i < n; i++)
		n_blocks += runs[i].n_blocks;
	*ret_bytes = n_blocks * EROFS_BLOCK_SIZE;
	return ret;
}

/* ---- the tree ---- */

static int op_inode(void *image, uint32_t ino, void *ret_inode, struct mlimg_itree_node *ret_node,
	struct mlimg_err *err)
{
	struct mlimg_erofs_inode *inode = ret_inode;
	int ret = erofs_inode_read(image, ino, inode, err);

	if (ret == 0)
		*ret_node = (struct mlimg_itree_node){.ino = ino,
			.nlink = inode->nlink,
			.size_bytes = inode->size_bytes,
			.type = inode->type,
			.inode = inode};
	return ret;
}

static int op_dir(
	void *image, const void *inode, struct mlimg_ext4_dir *ret_dir, struct mlimg_err *err)
{
	return erofs_dir_read(image, inode, ret_dir, err);
}

static int op_entry(void *image, const void *inode, void *attrs, struct mlimg_entry *ret_entry,
	struct mlimg_err *err)
{
	return erofs_entry(image, inode, attrs, ret_entry, err);
}

static void *op_attrs_new(void)
{
	return erofs_attrs_new();
}

static const char *op_at(void *image_, const char *path)
{
	struct mlimg_erofs_image *image = image_;
	const char *former = image->at;

	image->at = path;
	return former;
}

struct mlimg_itree mlimg_erofs_tree(struct mlimg_erofs_image *image, const char *root)
{
	static const struct mlimg_itree_ops ops = {
		.inode = op_inode,
		.dir = op_dir,
		.entry = op_entry,
		.read = op_read,
		.data = op_data,
		.used = op_used,
		.attrs_new = op_attrs_new,
		.attrs_free = free,
		.at = op_at,
	};

	return (struct mlimg_itree){.ops = &ops,
		.image = image,
		.name = image->name,
		.root = root,
		.root_ino = image->root_nid};
}
