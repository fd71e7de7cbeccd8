/* SPDX-License-Identifier: MIT */
#include "guest-agent/change-place.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/remove-tree.h"
#include "libmlimg/unionfs.h"
#include "libmlimg/whiteout.h"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

int mlimg_change_has(int fd, const char *name)
{
	struct stat st;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	return mlimg_change_is_nowhere(-errno) ? 0 : -errno;
}

void mlimg_change_slot(size_t n, enum mlimg_undo_part part, char ret_name[MLIMG_CHANGE_SLOT_SIZE])
{
	snprintf(ret_name, MLIMG_CHANGE_SLOT_SIZE, "%zu%s", n,
		part == MLIMG_UNDO_MARKER            ? ".h"
			: part == MLIMG_UNDO_MARKERS ? ".t"
						     : "");
}

/* --- directories --- */

/* @return the directory, or -errno */
static int open_made(int fd, const char *name, bool is_made)
{
	int dir;

	if (is_made && mkdirat(fd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	dir = openat(fd, name, OPEN_DIR);
	return dir < 0 ? -errno : dir;
}

static int open_below(int own_fd, const char *name, uint64_t generation, bool is_made)
{
	mlimg_autoclose int fd = open_made(own_fd, name, is_made);
	char number[24];

	snprintf(number, sizeof(number), "%" PRIu64, generation);
	return fd < 0 ? fd : open_made(fd, number, is_made);
}

int mlimg_change_open(struct mlimg_change_call *call, uint64_t generation, struct mlimg_change *ret,
	struct mlimg_err *err)
{
	struct mlimg_change *c = ret;
	const char *what = "upper";

	*c = (struct mlimg_change){.call = call, .generation = generation};
	c->own_fd = c->new_fd = c->undo_fd = c->taken_fd = c->aside_fd = c->parent_fd = -1;
	c->upper_fd = openat(call->user_fd, what, OPEN_DIR);
	if (c->upper_fd >= 0)
		c->own_fd = openat(call->user_fd, what = "mlimg", OPEN_DIR);
	if (c->upper_fd < 0 || c->own_fd < 0)
		return mlimg_err_set(err, errno, "open 'user/%s'", what);
	c->new_fd = open_made(c->own_fd, MLIMG_CHANGE_NEW, true);
	if (c->new_fd < 0)
		return mlimg_err_set(err, c->new_fd, "open 'user/mlimg/" MLIMG_CHANGE_NEW "'");
	c->undo_fd = open_below(c->own_fd, MLIMG_CHANGE_UNDO, generation, true);
	if (c->undo_fd >= 0)
		c->taken_fd = open_made(c->undo_fd, "taken", true);
	if (c->undo_fd < 0 || c->taken_fd < 0)
		return mlimg_err_set(err, c->undo_fd < 0 ? c->undo_fd : c->taken_fd,
			"open 'user/mlimg/" MLIMG_CHANGE_UNDO "/%" PRIu64 "'", generation);
	return 0;
}

void mlimg_change_close(struct mlimg_change *c)
{
	mlimg_cleanup_close(&c->upper_fd);
	mlimg_cleanup_close(&c->own_fd);
	mlimg_cleanup_close(&c->new_fd);
	mlimg_cleanup_close(&c->undo_fd);
	mlimg_cleanup_close(&c->taken_fd);
	mlimg_cleanup_close(&c->aside_fd);
	mlimg_cleanup_close(&c->parent_fd);
	mlimg_entry_reader_done(&c->reader);
}

int mlimg_change_open_aside_of(const struct mlimg_change *c, uint64_t generation)
{
	return open_below(c->own_fd, MLIMG_CHANGE_ASIDE, generation, false);
}

int mlimg_change_open_aside(struct mlimg_change *c, uint64_t generation, bool is_made)
{
	mlimg_cleanup_close(&c->aside_fd);
	c->aside_fd = open_below(c->own_fd, MLIMG_CHANGE_ASIDE, generation, is_made);
	return c->aside_fd < 0 ? c->aside_fd : 0;
}

int mlimg_change_make_way(int fd, const char *path, mode_t mode)
{
	mlimg_autofree char *way = strdup(path);

	if (!way)
		return -ENOMEM;
	for (char *slash = strchr(way, '/'); slash; slash = strchr(slash + 1, '/')) {
		mlimg_autoclose int dir = -1;
		char *name;

		*slash = '\0';
		name = strrchr(way, '/');
		if (name) {
			*name = '\0';
			dir = mlimg_open_beneath_strict(fd, way, O_RDONLY | O_DIRECTORY);
			*name++ = '/';
			if (dir < 0)
				return dir;
		}
		if (mkdirat(name ? dir : fd, name ? name : way, mode) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return 0;
}

/* --- paths of the upper --- */

/*
 * Steps go from one name to the next in a directory, so the last one is kept. It is no other by the
 * next call: what moves a directory has looked for the one that holds it before.
 */
static int find(struct mlimg_change *c, const char *path, size_t dir_size)
{
	if (c->parent_fd >= 0 && strlen(c->parent) == dir_size &&
		memcmp(c->parent, path, dir_size) == 0)
		return 0;
	mlimg_cleanup_close(&c->parent_fd);
	memcpy(c->parent, path, dir_size);
	c->parent[dir_size] = '\0';
	c->parent_fd = mlimg_open_beneath_strict(c->upper_fd, c->parent, O_RDONLY | O_DIRECTORY);
	return c->parent_fd < 0 ? c->parent_fd : 0;
}

int mlimg_change_find(
	struct mlimg_change *c, const char *path, struct mlimg_change_place *ret_place)
{
	const char *slash = strrchr(path, '/');
	int r;

	if (strlen(path) > MLIMG_PATH_MAX)
		return -ENAMETOOLONG;
	*ret_place = (struct mlimg_change_place){.fd = c->upper_fd, .name = path};
	if (!slash) {
		mlimg_cleanup_close(&c->parent_fd); /* it may be this one, that is to be moved */
		c->parent_fd = -1;
		return 0;
	}
	r = find(c, path, (size_t)(slash - path));
	*ret_place = (struct mlimg_change_place){.fd = c->parent_fd, .name = slash + 1};
	return r;
}

/* @return 1 and the place when a directory is there, 0, -errno */
static int find_dir(struct mlimg_change *c, const char *path, struct mlimg_change_place *ret_place)
{
	struct stat st;
	int r = mlimg_change_find(c, path, ret_place);

	if (r == 0 &&
		fstatat(ret_place->fd, ret_place->name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) <
			0)
		r = -errno;
	if (r < 0)
		return mlimg_change_is_nowhere(r) ? 0 : r;
	return S_ISDIR(st.st_mode);
}

int mlimg_change_is_dir(struct mlimg_change *c, const char *path)
{
	struct mlimg_change_place at;

	return find_dir(c, path, &at);
}

bool mlimg_change_is_file(int fd, const char *path)
{
	struct stat st;

	return fd < 0 || mlimg_stat_beneath(fd, path, &st) < 0 || S_ISREG(st.st_mode) ||
		mlimg_stat_is_whiteout(&st);
}

/*
 * @return the path of a part in the upper, allocated; NULL where it can have none, or without
 * memory
 */
static char *part_path(const char *path, enum mlimg_undo_part part, int *ret)
{
	char marker[MLIMG_UNIONFS_PATH_MAX + 16], *text = NULL;

	*ret = -ENOMEM;
	if (part == MLIMG_UNDO_MAIN)
		return strdup(path);
	if (part == MLIMG_UNDO_MARKERS) {
		if (asprintf(&text, MLIMG_UNIONFS_DIR "/%s", path) < 0)
			return NULL;
		return text;
	}
	*ret = -ENOENT;
	if (mlimg_unionfs_marker_of(path, marker, NULL) < 0)
		return NULL;
	*ret = -ENOMEM;
	return asprintf(&text, MLIMG_UNIONFS_DIR "/%s", marker) < 0 ? NULL : text;
}

int mlimg_change_find_part(struct mlimg_change *c, const char *path, enum mlimg_undo_part part,
	char **ret_text, struct mlimg_change_place *ret_place)
{
	int r;

	*ret_text = part_path(path, part, &r);
	return *ret_text ? mlimg_change_find(c, *ret_text, ret_place) : r;
}

/* @return 1, 0, -errno */
static int has_part(struct mlimg_change *c, const char *path, enum mlimg_undo_part part)
{
	mlimg_autofree char *text = NULL;
	struct mlimg_change_place at;
	int r = mlimg_change_find_part(c, path, part, &text, &at);

	if (mlimg_change_is_nowhere(r))
		return 0;
	return r < 0 ? r : mlimg_change_has(at.fd, at.name);
}

int mlimg_change_look(struct mlimg_change *c, const char *path)
{
	static const enum mlimg_undo_part parts[] = {
		MLIMG_UNDO_MAIN, MLIMG_UNDO_MARKER, MLIMG_UNDO_MARKERS};
	int found = 0;

	for (size_t i = 0; i < (c->is_unionfs ? 3 : 1); i++) {
		int r = has_part(c, path, parts[i]);

		if (r < 0)
			return r;
		if (r)
			found |= (int)parts[i];
	}
	return found;
}

/* --- moves --- */

/* @return 1 when it is to be moved there, 0 when it was, or is not there; -errno */
static int is_to_move(int from_fd, const char *from, int to_fd, const char *to)
{
	int r = mlimg_change_has(to_fd, to);

	return r ? (r < 0 ? r : 0) : mlimg_change_has(from_fd, from);
}

/* Nothing is replaced unawares: what is in the way is not known to the log. */
static int move(struct mlimg_change *c, int from_fd, const char *from, int to_fd, const char *to)
{
	int r = mlimg_change_step(c);

	if (r < 0)
		return r;
	return renameat2(from_fd, from, to_fd, to, c->may_replace ? 0 : RENAME_NOREPLACE) < 0
		? -errno
		: 0;
}

int mlimg_change_take(struct mlimg_change *c, size_t n, const char *path, enum mlimg_undo_part part)
{
	mlimg_autofree char *text = NULL;
	char slot[MLIMG_CHANGE_SLOT_SIZE];
	struct mlimg_change_place at;
	int r;

	mlimg_change_slot(n, part, slot);
	r = mlimg_change_find_part(c, path, part, &text, &at);
	if (r == 0)
		r = is_to_move(at.fd, at.name, c->taken_fd, slot);
	if (r <= 0)
		return mlimg_change_is_nowhere(r) ? 0 : r;
	return move(c, at.fd, at.name, c->taken_fd, slot);
}

int mlimg_change_set_aside(struct mlimg_change *c, const char *path)
{
	const char *name;
	mlimg_autoclose int to_fd = mlimg_open_parent_strict(c->aside_fd, path, O_RDONLY, &name);
	struct mlimg_change_place at;
	int r;

	if (to_fd < 0)
		return to_fd;
	r = mlimg_change_find(c, path, &at);
	if (r == 0)
		r = is_to_move(at.fd, at.name, to_fd, name);
	if (r <= 0)
		return mlimg_change_is_nowhere(r) ? 0 : r;
	return move(c, at.fd, at.name, to_fd, name);
}

int mlimg_change_give_back(struct mlimg_change *c, int fd, const char *name, const char *path,
	enum mlimg_undo_part part)
{
	mlimg_autofree char *text = NULL;
	mlimg_autoclose int from_fd = mlimg_open_parent_strict(fd, name, O_RDONLY, &name);
	struct mlimg_change_place at;
	int r;

	if (from_fd < 0)
		return from_fd;
	r = mlimg_change_find_part(c, path, part, &text, &at);
	if (mlimg_change_is_nowhere(r) && part != MLIMG_UNDO_MAIN && text) {
		r = mlimg_change_make_way(c->upper_fd, text, 0770); /* as unionfs-fuse makes it */
		if (r == 0)
			r = mlimg_change_find(c, text, &at);
	}
	return r == 0 ? move(c, from_fd, name, at.fd, at.name) : r;
}

int mlimg_change_rename(
	struct mlimg_change *c, int from_fd, const char *from, int to_fd, const char *to)
{
	int r = mlimg_change_has(from_fd, from);

	if (r <= 0)
		return r;
	r = mlimg_change_step(c);
	return r < 0 ? r : renameat(from_fd, from, to_fd, to) < 0 ? -errno : 0;
}

int mlimg_change_set_time(
	struct mlimg_change *c, const char *path, const struct mlimg_undo_time *time)
{
	struct mlimg_change_place at;
	int r = find_dir(c, path, &at);

	if (r <= 0)
		return r;
	r = mlimg_change_step(c);
	if (r == 0)
		r = mlimg_entry_at_set_time(at.fd, at.name, time->s, time->ns);
	return mlimg_change_is_nowhere(r) ? 0 : r;
}

int mlimg_change_sync(const struct mlimg_change *c)
{
	int r = mlimg_change_step(c);

	return r < 0 ? r : syncfs(c->own_fd) < 0 ? -errno : 0;
}

/* --- what is needed no more --- */

void mlimg_change_clean(int own_fd, uint64_t generation)
{
	mlimg_autoclosedir DIR *dir = mlimg_dir_open(own_fd, MLIMG_CHANGE_UNDO);
	struct dirent *entry;
	char kept[24];

	(void)mlimg_remove_tree(own_fd, MLIMG_CHANGE_NEW);
	snprintf(kept, sizeof(kept), "%" PRIu64, generation);
	while (dir && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
			strcmp(entry->d_name, kept) != 0)
			(void)mlimg_remove_tree(dirfd(dir), entry->d_name);
	unlinkat(own_fd, MLIMG_CHANGE_UNDO, AT_REMOVEDIR); /* if nothing is in it */
}
