/* SPDX-License-Identifier: MIT */
#include "guest-agent/carve-owners.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "guest-agent/carve.h"
#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/manifest.h"

#define ACL_MAX 4096 /* bytes: more than ext4 keeps without the feature ea_inode */

/* Directories that are still to be read, first come, first read. */
struct queue {
	struct mlimg_arena *arena;
	char **paths;
	size_t first, n, room;
	size_t n_seen;
};

static int note_acls(struct mlimg_owner_set *set, int dir_fd, const char *name)
{
	static const char *const names[] = {"system.posix_acl_access", "system.posix_acl_default"};
	char path[64 + MLIMG_NAME_MAX];
	uint8_t value[ACL_MAX];
	int r = 0;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%.255s", dir_fd, name);
	for (size_t i = 0; i < 2 && r == 0; i++) {
		ssize_t size = lgetxattr(path, names[i], value, sizeof(value));

		if (size >= 0)
			r = mlimg_owner_set_add_acl(set, value, (size_t)size);
		else if (errno != ENODATA && errno != ENOTSUP)
			r = -errno;
	}
	return r;
}

static int note(struct mlimg_owner_set *set, int dir_fd, const char *name, const struct stat *st)
{
	int r = mlimg_owner_set_add(set, false, st->st_uid);

	if (r == 0)
		r = mlimg_owner_set_add(set, true, st->st_gid);
	return r < 0 || S_ISLNK(st->st_mode) ? r : note_acls(set, dir_fd, name);
}

static int push(struct queue *q, const char *dir, const char *name)
{
	char path[MLIMG_PATH_MAX + MLIMG_NAME_MAX + 2];
	int size = snprintf(path, sizeof(path), "%s%s%s", dir, *dir ? "/" : "", name);

	if (size > MLIMG_PATH_MAX)
		return -ENAMETOOLONG;
	if (mlimg_buffer_reserve(&q->paths, &q->room, (q->n + 1) * sizeof(*q->paths)) < 0)
		return -ENOMEM;
	q->paths[q->n] = mlimg_arena_strndup(q->arena, path, (size_t)size);
	return q->paths[q->n++] ? 0 : -ENOMEM;
}

/* @return 0; -errno, -E2BIG among them: not all was looked at */
static int read_dir(
	struct mlimg_carve_owners *carved, struct queue *q, int top_fd, const char *path)
{
	mlimg_autoclose int fd =
		mlimg_open_beneath_strict(top_fd, *path ? path : ".", O_RDONLY | O_DIRECTORY);
	DIR *dir = fd < 0 ? NULL : mlimg_dir_open(fd, ".");
	int r = fd < 0 ? fd : dir ? 0 : -errno;
	struct dirent *e;
	struct stat st;

	while (r == 0 && (errno = 0, e = readdir(dir))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (++q->n_seen > MLIMG_OWNER_SET_THINGS_MAX)
			r = -E2BIG;
		else if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			r = -errno;
		if (r == 0)
			r = note(&carved->set, fd, e->d_name, &st);
		if (r == 0 && S_ISDIR(st.st_mode))
			r = push(q, path, e->d_name);
	}
	if (r == 0 && errno)
		r = -errno;
	if (dir)
		closedir(dir);
	return r;
}

static int read_all(struct mlimg_carve_owners *carved, struct queue *q)
{
	mlimg_autoclose int top_fd =
		mlimg_open_beneath_strict(carved->user_fd, MLIMG_CARVE_DIR, O_RDONLY | O_DIRECTORY);
	int r;

	if (top_fd == -ENOENT)
		return 0;
	q->arena = mlimg_arena_new();
	if (top_fd < 0 || !q->arena)
		return top_fd < 0 ? top_fd : -ENOMEM;
	r = push(q, "", "");
	while (r == 0 && q->first < q->n)
		r = read_dir(carved, q, top_fd, q->paths[q->first++]);
	return r;
}

int mlimg_carve_owners_has(struct mlimg_carve_owners *carved, bool is_group, uint32_t id)
{
	if (!carved->is_read) {
		struct queue q = {.n = 0};

		carved->is_read = true;
		carved->set.is_cut = read_all(carved, &q) < 0;
		mlimg_arena_free(q.arena);
		free(q.paths);
	}
	return mlimg_owner_set_has(&carved->set, is_group, id);
}

void mlimg_carve_owners_done(struct mlimg_carve_owners *carved)
{
	mlimg_owner_set_done(&carved->set);
}
