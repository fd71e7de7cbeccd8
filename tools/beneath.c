/* SPDX-License-Identifier: MIT */
#include "tools/beneath.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/merge.h"
#include "libmlimg/patch.h"
#include "tools/inspect-layer.h"

/* Small, so that looking for one touches little memory: a million entries take 16 MiB. */
struct content {
	uint64_t size_bytes;
	uint32_t digest_start; /* in byte order, for a first comparison */
	uint32_t entry;        /* of the merged manifest */
};

struct mlimg_beneath {
	struct mlimg_ext4 **images;
	struct mlimg_layer_info *infos;
	struct mlimg_manifest **manifests;
	size_t n; /* layers that are open */
	struct mlimg_stack stack;
	struct mlimg_manifest *merged;
	struct content *contents; /* by size, digest, length of path, place in the manifest */
	size_t n_contents;
};

void mlimg_beneath_free(struct mlimg_beneath *b)
{
	if (!b)
		return;
	mlimg_manifest_free(b->merged); /* shares the others' strings */
	for (size_t i = 0; i < b->n; i++) {
		mlimg_manifest_free(b->manifests[i]);
		mlimg_layer_info_done(&b->infos[i]);
		mlimg_ext4_close(b->images[i]);
	}
	free(b->contents);
	free(b->manifests);
	free(b->infos);
	free(b->images);
	free(b);
}

static int open_layer(struct mlimg_beneath *b, const char *image, struct mlimg_err *err)
{
	size_t i = b->n++;
	int r = mlimg_ext4_open(image, &b->images[i], err);

	if (r == 0)
		r = mlimg_ext4_layer_info(b->images[i], &b->infos[i], err);
	if (r < 0)
		return r;
	if (b->infos[i].kind == MLIMG_USER)
		return mlimg_err_refuse(
			err, "'%s' is a user layer: nothing is built over one", image);
	r = mlimg_stack_push(&b->stack, &b->infos[i], err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "'%s'", image);
	r = mlimg_inspect_read_manifest(b->images[i], &b->infos[i], &b->manifests[i], err);
	return r < 0 ? r : mlimg_inspect_agree(b->images[i], &b->infos[i], b->manifests[i], err);
}

static uint32_t start_of(const uint8_t digest[MLIMG_SHA256_SIZE])
{
	return (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 | (uint32_t)digest[2] << 8 |
		digest[3];
}

static int compare_content(const struct mlimg_beneath *b, const struct content *c,
	uint64_t size_bytes, const uint8_t digest[MLIMG_SHA256_SIZE])
{
	uint32_t start = start_of(digest);

	if (c->size_bytes != size_bytes)
		return c->size_bytes < size_bytes ? -1 : 1;
	if (c->digest_start != start)
		return c->digest_start < start ? -1 : 1;
	return memcmp(b->merged->entries[c->entry].digest, digest, MLIMG_SHA256_SIZE);
}

static int by_content(const void *x, const void *y, void *ctx)
{
	const struct mlimg_beneath *b = ctx;
	const struct content *c = x, *d = y;
	int order = compare_content(b, c, d->size_bytes, b->merged->entries[d->entry].digest);

	if (order == 0) {
		size_t n = strlen(b->merged->entries[c->entry].path);
		size_t other = strlen(b->merged->entries[d->entry].path);

		order = (n > other) - (n < other);
	}
	return order ? order : (c->entry > d->entry) - (c->entry < d->entry);
}

static int list_contents(struct mlimg_beneath *b, struct mlimg_err *err)
{
	const struct mlimg_manifest *m = b->merged;
	size_t n = 0;

	for (size_t i = 0; i < m->n_entries; i++)
		n += m->entries[i].has_digest;
	b->contents = calloc(n ? n : 1, sizeof(*b->contents));
	if (!b->contents)
		return mlimg_err_set(err, ENOMEM, "sort contents");
	for (size_t i = 0; i < m->n_entries; i++)
		if (m->entries[i].has_digest)
			b->contents[b->n_contents++] =
				(struct content){.size_bytes = m->entries[i].size_bytes,
					.digest_start = start_of(m->entries[i].digest),
					.entry = (uint32_t)i};
	qsort_r(b->contents, n, sizeof(*b->contents), by_content, b);
	return 0;
}

static int open_all(
	struct mlimg_beneath *b, const char *const *images, size_t n_images, struct mlimg_err *err)
{
	int r = 0;

	b->images = calloc(n_images, sizeof(*b->images));
	b->infos = calloc(n_images, sizeof(*b->infos));
	b->manifests = calloc(n_images, sizeof(*b->manifests));
	if (!b->images || !b->infos || !b->manifests)
		return mlimg_err_set(err, ENOMEM, "open layers");
	while (r == 0 && b->n < n_images)
		r = open_layer(b, images[b->n], err);
	if (r == 0)
		r = mlimg_manifest_merge(
			(const struct mlimg_manifest *const *)b->manifests, b->n, &b->merged, err);
	return r < 0 ? r : list_contents(b, err);
}

int mlimg_beneath_open(const char *const *images, size_t n_images, struct mlimg_beneath **ret,
	struct mlimg_err *err)
{
	struct mlimg_beneath *b = calloc(1, sizeof(*b));
	int r = b ? open_all(b, images, n_images, err) : mlimg_err_set(err, ENOMEM, "open layers");

	if (r < 0)
		mlimg_beneath_free(b);
	else
		*ret = b;
	return r;
}

size_t mlimg_beneath_n(const struct mlimg_beneath *b)
{
	return b->n;
}

const struct mlimg_layer_info *mlimg_beneath_info(const struct mlimg_beneath *b, size_t i)
{
	return &b->infos[i];
}

const struct mlimg_stack *mlimg_beneath_stack(const struct mlimg_beneath *b)
{
	return &b->stack;
}

struct mlimg_ext4 *mlimg_beneath_image(const struct mlimg_beneath *b, size_t i)
{
	return b->images[i];
}

const struct mlimg_manifest *mlimg_beneath_layer(const struct mlimg_beneath *b, size_t i)
{
	return b->manifests[i];
}

const struct mlimg_manifest *mlimg_beneath_manifest(const struct mlimg_beneath *b)
{
	return b->merged;
}

const struct mlimg_entry *mlimg_beneath_find(const struct mlimg_beneath *b, const char *path)
{
	return mlimg_manifest_find(b->merged, path);
}

/* The first one that is not below (size, digest). */
static size_t bound(
	const struct mlimg_beneath *b, uint64_t size_bytes, const uint8_t digest[MLIMG_SHA256_SIZE])
{
	size_t low = 0, high = b->n_contents;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_content(b, &b->contents[middle], size_bytes, digest) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool mlimg_beneath_has_size(const struct mlimg_beneath *b, uint64_t size_bytes)
{
	static const uint8_t least[MLIMG_SHA256_SIZE];
	size_t at = bound(b, size_bytes, least);

	return at < b->n_contents && b->contents[at].size_bytes == size_bytes;
}

const struct mlimg_entry *mlimg_beneath_find_content(
	const struct mlimg_beneath *b, uint64_t size_bytes, const uint8_t digest[MLIMG_SHA256_SIZE])
{
	size_t at = bound(b, size_bytes, digest);

	if (at == b->n_contents || compare_content(b, &b->contents[at], size_bytes, digest) != 0)
		return NULL;
	return &b->merged->entries[b->contents[at].entry];
}

int mlimg_beneath_locate(const struct mlimg_beneath *b, const struct mlimg_entry *entry,
	size_t *ret_layer, struct mlimg_ext4_inode *ret_inode, struct mlimg_err *err)
{
	const struct mlimg_entry *e = NULL;
	size_t i = b->n;
	struct mlimg_ext4 *fs;
	int r;

	/*
	 * What shows at a path is the topmost layer's that has it: anything else would have hidden
	 * it.
	 */
	while (i && !e)
		e = mlimg_manifest_find(b->manifests[--i], entry->path);
	r = mlimg_reference_follow(
		(const struct mlimg_manifest *const *)b->manifests, i, e ? e : entry, &i, &e, err);
	if (r < 0)
		return r;
	fs = b->images[i];
	r = mlimg_ext4_lookup(
		fs, mlimg_kind_tree(b->infos[i].kind), e->path, false, ret_inode, err);
	if (r == -ENOENT || r == -ENOTDIR)
		return mlimg_err_refuse(err, "%.200s: './%s' is in its manifest, but not there",
			mlimg_ext4_name(fs), e->path);
	if (r < 0)
		return r;
	if (ret_inode->type != MLIMG_FILE || ret_inode->size_bytes != entry->size_bytes)
		return mlimg_err_refuse(err, "%.200s: './%s' is not what its manifest says",
			mlimg_ext4_name(fs), e->path);
	*ret_layer = i;
	return 0;
}

int mlimg_beneath_read(const struct mlimg_beneath *b, const struct mlimg_entry *entry,
	mlimg_ext4_data_fn *fn, void *ctx, struct mlimg_err *err)
{
	struct mlimg_ext4_inode inode;
	size_t layer;
	int r = mlimg_beneath_locate(b, entry, &layer, &inode, err);

	return r < 0 ? r : mlimg_ext4_read(b->images[layer], &inode, fn, ctx, err);
}
