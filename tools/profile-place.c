/* SPDX-License-Identifier: MIT */
#include "tools/profile-place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "tools/ext4-data.h"
#include "tools/ext4-write.h"
#include "tools/spool.h"

#define BS MLIMG_BLOCK_SIZE
#define COPY_BLOCKS 256

struct mlimg_place {
	const struct mlimg_profile *profile;
	const struct mlimg_source_to *to;
	int spool_fd;
	struct mlimg_data *spool;
	struct mlimg_file **files; /* in the order of the profile */
	size_t n_files, files_room;
	uint64_t n_blocks; /* of them */
	uint8_t *buffer;   /* COPY_BLOCKS */
	int fd;            /* the image */
	const char *image;
};

static bool is_first(void *ctx, const char *path)
{
	const struct mlimg_place *place = ctx;

	return mlimg_profile_has(place->profile, path);
}

static int alloc(void *ctx, uint64_t *ret_start, uint64_t *ret_count, struct mlimg_err *err)
{
	*ret_start = 0;
	*ret_count = UINT32_MAX;
	return 0;
}

int mlimg_place_new(const struct mlimg_profile *profile, const struct mlimg_source_to *to,
	struct mlimg_place **ret_place, struct mlimg_err *err)
{
	struct mlimg_place *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return mlimg_err_set(err, ENOMEM, "place files");
	*p = (struct mlimg_place){.profile = profile, .to = to};
	r = p->spool_fd = mlimg_spool_file(to->spool_dir, err);
	if (r >= 0)
		r = mlimg_data_new(p->spool_fd, "temporary file", alloc, NULL, &p->spool, err);
	p->buffer = aligned_alloc(BS, COPY_BLOCKS * BS);
	if (r >= 0 && !p->buffer)
		r = mlimg_err_set(err, ENOMEM, "place files");
	if (r < 0) {
		mlimg_place_free(p);
		return r;
	}
	mlimg_data_set_apart(to->data, p->spool);
	mlimg_tree_choose(to->tree, to->top, is_first, p);
	*ret_place = p;
	return 0;
}

void mlimg_place_free(struct mlimg_place *p)
{
	if (!p)
		return;
	mlimg_data_set_apart(p->to->data, NULL);
	mlimg_tree_choose(p->to->tree, NULL, NULL, NULL);
	mlimg_data_free(p->spool);
	if (p->spool_fd >= 0)
		close(p->spool_fd);
	free(p->files);
	free(p->buffer);
	free(p);
}

/* ---- which files, in which order ---- */

static int list_file(struct mlimg_place *p, struct mlimg_file *file, struct mlimg_err *err)
{
	const struct mlimg_extent *list = mlimg_file_extents(file);

	if (file->is_moved || !file->n_extents || file->is_captured)
		return 0;
	if (mlimg_buffer_reserve(&p->files, &p->files_room, (p->n_files + 1) * sizeof(*p->files)) <
		0)
		return mlimg_err_set(err, ENOMEM, "place files");
	p->files[p->n_files++] = file;
	file->is_moved = true;
	for (uint32_t i = 0; i < file->n_extents; i++)
		p->n_blocks += list[i].count;
	return 0;
}

static const struct mlimg_node *find(const struct mlimg_place *p, const char *path)
{
	const struct mlimg_node *node = p->to->top;

	for (const char *end; node; path = end + 1) {
		end = strchrnul(path, '/');
		if (node->inode->type != MLIMG_DIR)
			return NULL;
		node = mlimg_tree_child(p->to->tree, node, path, (size_t)(end - path));
		if (!*end)
			break;
	}
	return node && node->inode->type == MLIMG_FILE ? node : NULL;
}

static int list_files(struct mlimg_place *p, size_t *ret_unknown, struct mlimg_err *err)
{
	size_t unknown = 0;
	int r = 0;

	for (size_t i = 0; i < mlimg_profile_count(p->profile) && r == 0; i++) {
		const struct mlimg_node *node = find(p, mlimg_profile_path(p->profile, i));

		if (node)
			r = list_file(p, node->inode->file, err);
		else
			unknown++;
	}
	/* What was renamed after it was read. */
	for (const struct mlimg_node *n = p->to->top; n && r == 0;
		n = mlimg_tree_next(n, p->to->top))
		if (n->inode->type == MLIMG_FILE && n->inode->file->is_apart)
			r = list_file(p, n->inode->file, err);
	*ret_unknown = unknown;
	return r;
}

/* ---- room for them ---- */

static int copy_up(const struct mlimg_place *p, uint64_t from, uint64_t n, struct mlimg_err *err)
{
	size_t size = (size_t)n * BS;

	for (size_t done = 0; done < size;) {
		ssize_t got =
			pread(p->fd, p->buffer + done, size - done, (off_t)(from * BS + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return mlimg_err_set(err, got < 0 ? errno : 0, "read '%s'", p->image);
		done += (size_t)got;
	}
	for (size_t done = 0; done < size;) {
		ssize_t put = pwrite(p->fd, p->buffer + done, size - done,
			(off_t)((from + p->n_blocks) * BS + done));

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return mlimg_err_set(err, put < 0 ? errno : ENOSPC, "write '%s'", p->image);
		done += (size_t)put;
	}
	return 0;
}

/*
 * Move what lies before @end up, where the file system cannot insert: from the end, since both
 * places may overlap.
 */
static int move_up(const struct mlimg_place *p, uint64_t end, struct mlimg_err *err)
{
	while (end > MLIMG_CONTENTS_START) {
		uint64_t n = end - MLIMG_CONTENTS_START;
		int r;

		if (n > COPY_BLOCKS)
			n = COPY_BLOCKS;
		end -= n;
		r = copy_up(p, end, n, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void shift(struct mlimg_file *file, uint64_t by)
{
	struct mlimg_extent *list = mlimg_file_extents(file);

	for (uint32_t i = 0; i < file->n_extents; i++)
		list[i].start += by;
}

/* @end: block after what is there */
static int make_room(struct mlimg_place *p, uint64_t end, struct mlimg_err *err)
{
	struct mlimg_node *root = mlimg_tree_root(p->to->tree);
	int r = 0;

	if (end <= MLIMG_CONTENTS_START)
		return 0;
	if (fallocate(p->fd, FALLOC_FL_INSERT_RANGE, (off_t)MLIMG_CONTENTS_START * BS,
		    (off_t)(p->n_blocks * BS)) < 0)
		r = move_up(p, end, err);
	if (r < 0)
		return r;
	for (const struct mlimg_node *n = root; n; n = mlimg_tree_next(n, root)) {
		if (n->inode->type != MLIMG_FILE || n->inode->file->is_moved)
			continue;
		n->inode->file->is_moved = true;
		shift(n->inode->file, p->n_blocks);
	}
	/* Those that are to be copied out of the image have moved up too. */
	for (size_t i = 0; i < p->n_files; i++)
		if (!p->files[i]->is_apart)
			shift(p->files[i], p->n_blocks);
	return 0;
}

/* ---- into it ---- */

/*
 * Whole blocks are read, as reading past the cache needs it; of the last one a part is the file's.
 */
static int copy_extent(struct mlimg_place *p, const struct mlimg_file *file,
	const struct mlimg_extent *e, struct mlimg_err *err)
{
	int fd = file->is_apart ? p->spool_fd : p->fd;
	uint64_t left = file->size_bytes - (uint64_t)e->logical * BS;

	if (left > (uint64_t)e->count * BS)
		left = (uint64_t)e->count * BS;
	for (uint64_t at = e->start * BS; left;) {
		size_t want = left < COPY_BLOCKS * BS ? (size_t)left : COPY_BLOCKS * BS;
		ssize_t n = pread(fd, p->buffer, (want + BS - 1) / BS * BS, (off_t)at);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n >= 0 && (size_t)n > want)
			n = (ssize_t)want;
		if (n <= 0 || ((size_t)n < want && n % BS))
			return mlimg_err_set(err, n < 0 ? errno : 0, "read contents again");
		r = mlimg_data_write(p->to->data, p->buffer, (size_t)n, err);
		if (r < 0)
			return r;
		at += (uint64_t)n;
		left -= (uint64_t)n;
	}
	return 0;
}

static int place(struct mlimg_place *p, struct mlimg_file *file, struct mlimg_err *err)
{
	const struct mlimg_extent *list = mlimg_file_extents(file);
	struct mlimg_file placed = {0};
	uint64_t pos = 0;
	int r = 0;

	mlimg_data_begin(p->to->data, &placed, false);
	for (uint32_t i = 0; i < file->n_extents && r == 0; i++) {
		uint64_t start = (uint64_t)list[i].logical * BS;

		r = mlimg_data_hole(p->to->data, start - pos, err);
		if (r == 0)
			r = copy_extent(p, file, &list[i], err);
		pos = start + (uint64_t)list[i].count * BS;
	}
	if (r == 0 && pos < file->size_bytes)
		r = mlimg_data_hole(p->to->data, file->size_bytes - pos, err);
	if (r == 0)
		r = mlimg_data_end(p->to->data, err);
	if (r < 0) {
		free(placed.extents);
		return r;
	}
	free(file->extents);
	file->one = placed.one;
	file->extents = placed.extents;
	file->n_extents = placed.n_extents;
	file->is_apart = false;
	return 0;
}

int mlimg_place_apply(struct mlimg_place *p, int fd, const char *image, size_t *ret_unknown,
	struct mlimg_err *err)
{
	struct mlimg_data *data = p->to->data;
	uint64_t end;
	int r = mlimg_data_sync(data, &end, err);

	p->fd = fd;
	p->image = image;
	if (r == 0)
		r = list_files(p, ret_unknown, err);
	if (r < 0 || !p->n_files)
		return r;
	r = make_room(p, end, err);
	mlimg_data_go_to(data, MLIMG_CONTENTS_START);
	for (size_t i = 0; i < p->n_files && r == 0; i++)
		r = place(p, p->files[i], err);
	if (r == 0)
		r = mlimg_data_sync(data, NULL, err);
	if (r < 0)
		return r;
	mlimg_data_go_to(
		data, (end < MLIMG_CONTENTS_START ? MLIMG_CONTENTS_START : end) + p->n_blocks);
	return 0;
}
