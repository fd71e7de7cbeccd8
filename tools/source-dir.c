/* SPDX-License-Identifier: MIT */
/* A directory as source. */
#include "tools/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/walk.h"
#include "tools/ext4-data.h"

#define LINKS_MIN 256 /* slots; a power of two */

/* Files with several names, by where they are on the source's disk. */
struct link {
	dev_t dev;
	ino_t ino;
	struct mlimg_inode *inode; /* NULL: a free slot */
};

struct reader {
	const struct mlimg_source_to *to;
	struct mlimg_node *dir; /* into which the last entry was put */
	struct link *links;
	size_t n_slots, n_links;
};

static struct link *find_link(struct link *links, size_t n_slots, dev_t dev, ino_t ino)
{
	size_t i = (size_t)((ino ^ dev << 16) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (n_slots - 1);

	while (links[i].inode && (links[i].dev != dev || links[i].ino != ino))
		i = (i + 1) & (n_slots - 1);
	return &links[i];
}

static bool grow_links(struct reader *rd)
{
	size_t n = rd->n_slots ? 2 * rd->n_slots : LINKS_MIN;
	struct link *bigger;

	if (2 * (rd->n_links + 1) <= rd->n_slots)
		return true;
	bigger = calloc(n, sizeof(*bigger));
	if (!bigger)
		return false;
	for (size_t i = 0; i < rd->n_slots; i++)
		if (rd->links[i].inode)
			*find_link(bigger, n, rd->links[i].dev, rd->links[i].ino) = rd->links[i];
	free(rd->links);
	rd->links = bigger;
	rd->n_slots = n;
	return true;
}

/* The directory that holds the entry. Entries come in order, so it is the last one or above it. */
static struct mlimg_node *parent_of(struct reader *rd, const char *path)
{
	const struct mlimg_node *top = rd->to->top;
	size_t depth = 0, have = 0;

	for (const char *p = strchr(path, '/'); p; p = strchr(p + 1, '/'))
		depth++;
	for (const struct mlimg_node *n = rd->dir; n != top; n = n->parent)
		have++;
	for (; have > depth; have--)
		rd->dir = rd->dir->parent;
	return rd->dir;
}

static int changed(const char *path, struct mlimg_err *err)
{
	return mlimg_err_set(err, 0, "'%s' changed while it was read", path);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
		a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
		a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Read @size bytes from the file's present offset. */
static int copy_bytes(
	struct mlimg_data *data, int fd, uint64_t size, const char *path, struct mlimg_err *err)
{
	while (size) {
		size_t room;
		void *at;
		ssize_t n;
		int r = mlimg_data_room(data, &at, &room, err);

		if (r < 0)
			return r;
		if (room > size)
			room = (size_t)size;
		do
			n = read(fd, at, room);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return mlimg_err_set(err, errno, "read '%s'", path);
		if (n == 0)
			return changed(path, err);
		r = mlimg_data_put(data, (size_t)n, err);
		if (r < 0)
			return r;
		size -= (uint64_t)n;
	}
	return 0;
}

/* Data from one hole to the next, as lseek(2) tells them. */
static int copy_sparse(
	struct mlimg_data *data, int fd, uint64_t size, const char *path, struct mlimg_err *err)
{
	uint64_t pos = 0;

	while (pos < size) {
		off_t start = lseek(fd, (off_t)pos, SEEK_DATA), end;
		int r;

		if (start < 0 && errno != ENXIO)
			return mlimg_err_set(err, errno, "read '%s'", path);
		if (start < 0 || (uint64_t)start > size)
			start = (off_t)size;
		r = mlimg_data_hole(data, (uint64_t)start - pos, err);
		pos = (uint64_t)start;
		if (r < 0 || pos == size)
			return r;
		end = lseek(fd, start, SEEK_HOLE);
		if (end < 0 || lseek(fd, start, SEEK_SET) < 0)
			return mlimg_err_set(err, errno, "read '%s'", path);
		if ((uint64_t)end > size)
			end = (off_t)size;
		if (end <= start)
			return changed(path, err);
		r = copy_bytes(data, fd, (uint64_t)(end - start), path, err);
		if (r < 0)
			return r;
		pos = (uint64_t)end;
	}
	return 0;
}

static int copy_file(struct reader *rd, const char *path, const struct mlimg_walk_at *at,
	struct mlimg_file *file, struct mlimg_err *err)
{
	struct mlimg_data *data = rd->to->data;
	uint64_t size = (uint64_t)at->st->st_size;
	mlimg_autoclose int fd = -1;
	struct stat st;
	int r;

	fd = openat(at->parent_fd, at->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", path);
	if (fstat(fd, &st) < 0)
		return mlimg_err_set(err, errno, "read '%s'", path);
	if (!is_same(&st, at->st))
		return changed(path, err);
	mlimg_data_begin(data, file, true);
	if ((uint64_t)st.st_blocks * 512 < size)
		r = copy_sparse(data, fd, size, path, err);
	else
		r = copy_bytes(data, fd, size, path, err);
	if (r == 0)
		r = mlimg_data_end(data, err);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return mlimg_err_set(err, errno, "read '%s'", path);
	if (rd->to->progress)
		mlimg_progress_add(rd->to->progress, size);
	return is_same(&st, at->st) ? 0 : changed(path, err);
}

/* A further name of a file that is there already, or the first of several. */
static int add_linked(struct reader *rd, struct mlimg_node *parent, const struct mlimg_entry *entry,
	const struct mlimg_walk_at *at, struct mlimg_node **ret_node, struct mlimg_err *err)
{
	struct link *link;
	int r;

	if (!grow_links(rd))
		return mlimg_err_set(err, ENOMEM, "read '%s'", entry->path);
	link = find_link(rd->links, rd->n_slots, at->st->st_dev, at->st->st_ino);
	if (link->inode) {
		*ret_node = NULL;
		return mlimg_tree_link(
			rd->to->tree, parent, at->name, link->inode, entry->path, err);
	}
	r = mlimg_tree_put(rd->to->tree, parent, at->name, entry, ret_node, err);
	if (r < 0 || !*ret_node)
		return r;
	*link = (struct link){
		.dev = at->st->st_dev, .ino = at->st->st_ino, .inode = (*ret_node)->inode};
	rd->n_links++;
	return 0;
}

static int visit(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	struct reader *rd = ctx;
	struct mlimg_node *parent, *node;
	int r;

	if (!entry->path[0])
		return mlimg_tree_set(rd->to->tree, rd->to->top, entry, err);
	parent = parent_of(rd, entry->path);
	if (entry->type != MLIMG_DIR && at->st->st_nlink > 1)
		r = add_linked(rd, parent, entry, at, &node, err);
	else
		r = mlimg_tree_put(rd->to->tree, parent, at->name, entry, &node, err);
	if (r < 0)
		return r;
	if (!node)
		return entry->type == MLIMG_DIR; /* hidden, with all that is in it */
	if (entry->type == MLIMG_DIR)
		rd->dir = node;
	if (at->st->st_dev == rd->to->image_dev && at->st->st_ino == rd->to->image_ino)
		return mlimg_err_set(err, 0, "the image would lie in its own source");
	if (entry->type == MLIMG_FILE)
		return copy_file(rd, entry->path, at, node->inode->file, err);
	return 0;
}

int mlimg_source_read_dir(const char *path, const struct mlimg_source_to *to, struct mlimg_err *err)
{
	struct reader rd = {.to = to, .dir = to->top};
	mlimg_autoclose int fd = -1;
	int r;

	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", path);
	mlimg_tree_begin_level(to->tree, to->has_beneath);
	r = mlimg_walk(fd, MLIMG_WALK_ONE_FS, visit, &rd, err);
	free(rd.links);
	return r;
}
