/* SPDX-License-Identifier: MIT */
#include "guest-agent/carve-owners.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guest-agent/carve.h"
#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/manifest.h"

#define SMALL_IDS 65536

/* Directories that are still to be read, first come, first read. */
struct queue {
	struct mlimg_arena *arena;
	char **paths;
	size_t first, n, room;
	size_t n_seen;
};

static void note(struct mlimg_carve_owners *carved, bool is_group, uint32_t id)
{
	if (id >= SMALL_IDS)
		carved->has_large = true;
	else
		carved->owners[(is_group * SMALL_IDS + id) / 8] |= (uint8_t)(1u << id % 8);
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
		if (++q->n_seen > MLIMG_CARVE_OWNERS_MAX)
			r = -E2BIG;
		else if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			r = -errno;
		if (r < 0)
			break;
		note(carved, false, st.st_uid);
		note(carved, true, st.st_gid);
		if (S_ISDIR(st.st_mode))
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
	carved->owners = calloc(2, SMALL_IDS / 8);
	if (top_fd < 0 || !q->arena || !carved->owners)
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
		carved->is_cut = read_all(carved, &q) < 0;
		mlimg_arena_free(q.arena);
		free(q.paths);
	}
	if (id < SMALL_IDS && carved->owners &&
		carved->owners[(is_group * SMALL_IDS + id) / 8] & 1u << id % 8)
		return 1;
	return carved->is_cut || (id >= SMALL_IDS && carved->has_large) ? -1 : 0;
}

void mlimg_carve_owners_done(struct mlimg_carve_owners *carved)
{
	free(carved->owners);
	carved->owners = NULL;
}
