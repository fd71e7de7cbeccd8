/* SPDX-License-Identifier: MIT */
/*
 * The walker. It holds one level for each directory between the root and where it is: the names in
 * it, sorted, and its fd. Only the deepest OPEN_LEVELS of them keep their fd, so that a tree 2,000
 * directories deep does not use up the process' file descriptors; on the way back the others are
 * opened again through "..", and compared with what was there before, since somebody may have moved
 * something meanwhile.
 */
#include "libmlimg/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/walk-level.h"
#include "libmlimg/walk-xattr.h"

#define OPEN_LEVELS 32
#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct walk {
	mlimg_walk_fn *fn;
	mlimg_walk_skip_fn *skip; /* NULL: nothing may be skipped */
	void *ctx;
	unsigned flags;
	int root_fd;
	dev_t root_dev;
	struct mlimg_walk_level *levels;
	size_t n_levels, levels_room;
	struct mlimg_xattr_reader xattrs;
	struct mlimg_err *err;
	char path[MLIMG_PATH_MAX + 1];
	char link[MLIMG_LINK_MAX + 1];
};

/* How an error names what the walk is at. */
static const char *shown(const struct walk *w)
{
	return w->path[0] ? w->path : ".";
}

/*
 * Goes into the directory @fd, which is closed on failure as well. @param st as the visitor was
 * told
 */
static int push(struct walk *w, int fd, const struct stat *st)
{
	struct mlimg_walk_level *l;
	int r;

	if (mlimg_buffer_reserve(
		    &w->levels, &w->levels_room, (w->n_levels + 1) * sizeof(*w->levels)) < 0) {
		close(fd);
		return mlimg_err_set(w->err, ENOMEM, "read directory '%s'", shown(w));
	}
	l = &w->levels[w->n_levels++];
	*l = (struct mlimg_walk_level){.fd = fd,
		.dev = st->st_dev,
		.ino = st->st_ino,
		.mtime = st->st_mtim,
		.path_size = strlen(w->path)};
	if (w->n_levels > OPEN_LEVELS) {
		struct mlimg_walk_level *far = l - OPEN_LEVELS;

		if (far->fd >= 0)
			close(far->fd);
		far->fd = -1;
	}
	r = mlimg_walk_level_read(l);
	return r < 0 ? mlimg_err_set(w->err, r, "read directory '%s'", shown(w)) : 0;
}

/*
 * Whoever adds, removes or renames a name changes the directory's time. The time of the inode's
 * last change says no more, and overlayfs changes that by itself when a directory is read.
 */
static int check_rest(struct walk *w, const struct mlimg_walk_level *l)
{
	struct stat st;

	if (!(w->flags & MLIMG_WALK_AT_REST))
		return 0;
	if (fstat(l->fd, &st) < 0)
		return mlimg_err_set(w->err, errno, "stat '%s'", shown(w));
	if (st.st_mtim.tv_sec != l->mtime.tv_sec || st.st_mtim.tv_nsec != l->mtime.tv_nsec)
		return mlimg_err_set(w->err, 0, "'%s' changed while it was read", shown(w));
	return 0;
}

static int pop(struct walk *w)
{
	struct mlimg_walk_level *l = &w->levels[w->n_levels - 1], *up = l - 1;
	struct stat st;
	int r = check_rest(w, l);

	if (r < 0)
		return r;
	if (w->n_levels > 1 && up->fd < 0) {
		up->fd = openat(l->fd, "..", OPEN_DIR);
		if (up->fd < 0 || fstat(up->fd, &st) < 0)
			return mlimg_err_set(w->err, errno, "go back from '%s'", shown(w));
		if (st.st_dev != up->dev || st.st_ino != up->ino)
			return mlimg_err_set(
				w->err, ESTALE, "'%s' was moved while it was read", shown(w));
	}
	mlimg_walk_level_done(l);
	w->n_levels--;
	if (w->n_levels > 0)
		w->path[up->path_size] = '\0';
	return 0;
}

static int read_link(struct walk *w, int dir, const char *name)
{
	ssize_t n = readlinkat(dir, name, w->link, sizeof(w->link));

	if (n < 0)
		return mlimg_err_set(w->err, errno, "read link '%s'", shown(w));
	if (n > MLIMG_LINK_MAX)
		return mlimg_err_set(w->err, ENAMETOOLONG, "read link '%s'", shown(w));
	w->link[n] = '\0';
	return 0;
}

static int read_xattrs(struct walk *w, int dir, const char *name, int fd, uint32_t *ret_count)
{
	int r = mlimg_xattr_read_all(&w->xattrs, dir, name, fd, ret_count);

	return r < 0 ? mlimg_err_set(w->err, r, "read extended attributes of '%s'", shown(w)) : 0;
}

/* @return @r, or 0 when the walk goes on without what failed */
static int skip(struct walk *w, int r, bool was_visited)
{
	if (r >= 0 || r == -ENOMEM || !w->skip)
		return r;
	w->skip(w->path, r, was_visited, w->ctx);
	return 0;
}

/* Fills in what stat(2) does not tell. @param fd  the thing, if it is open */
static int read_rest(struct walk *w, int dir, const char *name, int fd, struct mlimg_entry *entry)
{
	int r;

	if (entry->type == MLIMG_LINK) {
		r = read_link(w, dir, name);
		if (r < 0)
			return r;
		entry->link = w->link;
	}
	if (!(w->flags & MLIMG_WALK_NO_XATTRS)) {
		r = read_xattrs(w, dir, name, fd, &entry->n_xattrs);
		if (r < 0)
			return r;
		entry->xattrs = w->xattrs.xattrs;
	}
	return 0;
}

/* O_NONBLOCK: it may have become a FIFO meanwhile. */
static int open_file(struct walk *w, int dir, const char *name, int *ret_fd)
{
	*ret_fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	return *ret_fd < 0 ? mlimg_err_set(w->err, errno, "open '%s'", shown(w)) : 0;
}

/* Hands out one thing. @dir and @name say where it is, and for the root itself the root and "". */
static int visit(struct walk *w, int dir, const char *name, const struct stat *st)
{
	struct mlimg_entry entry = {
		.path = w->path,
		.type = mlimg_type_of_mode(st->st_mode),
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.mtime_s = st->st_mtim.tv_sec,
		.mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
		.nlink = 1,
	};
	mlimg_autoclose int fd = -1;
	struct mlimg_walk_at at = {
		.parent_fd = *name ? dir : -1, .name = name, .root_fd = w->root_fd, .st = st};
	int r = 0;

	if (entry.type == MLIMG_FILE)
		entry.size_bytes = (uint64_t)st->st_size;
	if (entry.type == MLIMG_CHAR || entry.type == MLIMG_BLOCK) {
		entry.dev_major = major(st->st_rdev);
		entry.dev_minor = minor(st->st_rdev);
	}
	if (entry.type == MLIMG_FILE && w->flags & MLIMG_WALK_OPEN_FILES)
		r = open_file(w, dir, name, &fd);
	if (r == 0)
		r = read_rest(w, dir, name, fd, &entry);
	if (r < 0) {
		r = skip(w, r, false);
		return r < 0 ? r : 1;
	}
	at.fd = fd;
	return w->fn(&entry, &at, w->ctx, w->err);
}

/*
 * Goes into what fstatat() saw to be a directory, if it is still the same one. @opened is closed on
 * failure as well.
 */
static int enter(struct walk *w, int opened, const struct stat *seen)
{
	mlimg_autoclose int fd = opened;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return mlimg_err_set(w->err, errno, "open directory '%s'", shown(w));
	if (st.st_dev != seen->st_dev || st.st_ino != seen->st_ino)
		return mlimg_err_set(w->err, ESTALE, "'%s' was moved while it was read", shown(w));
	return push(w, mlimg_steal_fd(&fd), seen);
}

/* @return 0, also when the directory was skipped */
static int descend(struct walk *w, int dir, const char *name, const struct stat *seen)
{
	size_t n_levels = w->n_levels, path_size = n_levels ? w->levels[n_levels - 1].path_size : 0;
	int r = enter(w, openat(dir, name, OPEN_DIR), seen);

	if (r == 0)
		return 0;
	if (w->n_levels > n_levels)
		mlimg_walk_level_done(&w->levels[--w->n_levels]);
	r = skip(w, r, true);
	w->path[path_size] = '\0';
	return r;
}

static int append_name(struct walk *w, size_t path_size, const char *name)
{
	size_t n = strlen(name), slash = path_size > 0;

	if (n > MLIMG_NAME_MAX || path_size + slash + n > MLIMG_PATH_MAX)
		return mlimg_err_set(w->err, ENAMETOOLONG, "'%s' in '%s'", name, shown(w));
	if (slash)
		w->path[path_size] = '/';
	memcpy(w->path + path_size + slash, name, n + 1);
	return 0;
}

/* Without the way back there is nowhere to go on. */
static int leave(struct walk *w)
{
	int r = pop(w);

	if (r == 0)
		return 0;
	r = skip(w, r, true);
	while (r == 0 && w->n_levels > 0)
		mlimg_walk_level_done(&w->levels[--w->n_levels]);
	return r;
}

/* The next name of the deepest level. */
static int step(struct walk *w)
{
	struct mlimg_walk_level *l = &w->levels[w->n_levels - 1];
	const char *name;
	struct stat st;
	int r;

	if (l->next == l->n)
		return leave(w);
	name = l->names + l->order[l->next++];
	r = append_name(w, l->path_size, name);
	if (r < 0)
		return skip(w, r, false);
	if (fstatat(l->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		r = 0;
		if (errno != ENOENT || !(w->flags & MLIMG_WALK_SKIP_MISSING))
			r = skip(w, mlimg_err_set(w->err, errno, "stat '%s'", shown(w)), false);
		w->path[l->path_size] = '\0';
		return r;
	}
	r = visit(w, l->fd, name, &st);
	if (r < 0)
		return r;
	if (S_ISDIR(st.st_mode) && r == 0 &&
		!(w->flags & MLIMG_WALK_ONE_FS && st.st_dev != w->root_dev))
		return descend(w, l->fd, name, &st);
	w->path[l->path_size] = '\0';
	return 0;
}

static int run(struct walk *w)
{
	struct stat st;
	int r;

	if (fstat(w->root_fd, &st) < 0)
		return mlimg_err_set(w->err, errno, "stat '.'");
	w->root_dev = st.st_dev;
	r = visit(w, w->root_fd, "", &st);
	if (r != 0)
		return r < 0 ? r : 0;
	r = descend(w, w->root_fd, ".", &st);
	while (r >= 0 && w->n_levels > 0)
		r = step(w);
	return r;
}

static int run_within(struct walk *w, const char *path, const struct stat *seen)
{
	int fd = mlimg_open_beneath_strict(w->root_fd, path, OPEN_DIR), r;

	strcpy(w->path, path);
	w->root_dev = seen->st_dev;
	if (fd < 0)
		return mlimg_err_set(w->err, fd, "open directory '%s'", shown(w));
	r = enter(w, fd, seen);
	while (r >= 0 && w->n_levels > 0)
		r = step(w);
	return r;
}

static struct walk *new_walk(int root_fd, unsigned flags, mlimg_walk_fn *fn,
	mlimg_walk_skip_fn *skip_fn, void *ctx, struct mlimg_err *err)
{
	struct walk *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->fn = fn;
	w->skip = skip_fn;
	w->ctx = ctx;
	w->flags = flags;
	w->root_fd = root_fd;
	w->err = err;
	return w;
}

static void free_walk(struct walk *w)
{
	while (w->n_levels > 0)
		mlimg_walk_level_done(&w->levels[--w->n_levels]);
	free(w->levels);
	mlimg_xattr_reader_done(&w->xattrs);
	free(w);
}

int mlimg_walk(int root_fd, unsigned flags, mlimg_walk_fn *fn, void *ctx, struct mlimg_err *err)
{
	return mlimg_walk_lenient(root_fd, flags, fn, NULL, ctx, err);
}

int mlimg_walk_lenient(int root_fd, unsigned flags, mlimg_walk_fn *fn, mlimg_walk_skip_fn *skip_fn,
	void *ctx, struct mlimg_err *err)
{
	struct walk *w = new_walk(root_fd, flags, fn, skip_fn, ctx, err);
	int r;

	if (!w)
		return mlimg_err_set(err, ENOMEM, "walk a tree");
	r = run(w);
	free_walk(w);
	return r;
}

int mlimg_walk_within(int root_fd, const char *path, const struct stat *st, unsigned flags,
	mlimg_walk_fn *fn, void *ctx, struct mlimg_err *err)
{
	struct walk *w = new_walk(root_fd, flags, fn, NULL, ctx, err);
	int r;

	if (!w)
		return mlimg_err_set(err, ENOMEM, "walk a tree");
	r = run_within(w, path, st);
	free_walk(w);
	return r;
}
