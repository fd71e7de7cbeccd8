/* SPDX-License-Identifier: MIT */
#include "tools/source-unionfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/walk.h"
#include "libmlimg/whiteout.h"

/* The markers of a branch. */
struct markers {
	struct mlimg_arena *arena;
	struct marker {
		char *path; /* that is hidden */
		int64_t mtime_s;
		uint32_t mtime_ns;
	} * list;
	size_t n, room;
};

int mlimg_unionfs_check(const struct mlimg_entry *entry, struct mlimg_err *err)
{
	if (mlimg_entry_is_whiteout(entry))
		return mlimg_err_refuse(err,
			"'%s' is a device 0,0, which in a layer would be a whiteout", entry->path);
	for (uint32_t i = 0; i < entry->n_xattrs; i++)
		if (strncmp(entry->xattrs[i].name, MLIMG_XATTR_OVERLAY,
			    strlen(MLIMG_XATTR_OVERLAY)) == 0)
			return mlimg_err_refuse(err, "'%s' has %s, which is none of unionfs-fuse's",
				entry->path, entry->xattrs[i].name);
	return 0;
}

static int take_marker(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	struct markers *m = ctx;
	struct marker *marker;
	size_t size;

	if (!mlimg_unionfs_marker(entry->path, &size))
		return 0;
	if (mlimg_buffer_reserve(&m->list, &m->room, (m->n + 1) * sizeof(*m->list)) < 0)
		return mlimg_err_set(err, ENOMEM, "'%s'", entry->path);
	marker = &m->list[m->n];
	*marker = (struct marker){.mtime_s = entry->mtime_s, .mtime_ns = entry->mtime_ns};
	marker->path = mlimg_arena_strndup(m->arena, entry->path, size);
	if (!marker->path)
		return mlimg_err_set(err, ENOMEM, "'%s'", entry->path);
	m->n++;
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return mlimg_manifest_path_cmp(
		((const struct marker *)a)->path, ((const struct marker *)b)->path);
}

/* @return whether the branches beneath can show anything in the directory that holds @path */
static bool has_meaning(const struct mlimg_source_to *to, const char *path)
{
	const struct mlimg_node *dir = to->top;
	const char *slash;

	for (; (slash = strchr(path, '/')); path = slash + 1) {
		const struct mlimg_node *node =
			mlimg_tree_child(to->tree, dir, path, (size_t)(slash - path));

		if (!node)
			return true;
		if (node->inode->type != MLIMG_DIR || node->sealed)
			return false;
		dir = node;
	}
	return true;
}

/*
 * @return the first directory on the way to @path that no source has, its path cut off after it; or
 * NULL
 */
static const struct mlimg_node *first_implied(const struct mlimg_source_to *to, char *path)
{
	const struct mlimg_node *dir = to->top;
	char *rest = path, *slash;

	for (; (slash = strchr(rest, '/')); rest = slash + 1) {
		dir = mlimg_tree_child(to->tree, dir, rest, (size_t)(slash - rest));
		if (!dir || !dir->inode->is_implied)
			continue;
		*slash = '\0';
		return dir;
	}
	return NULL;
}

static int hide(const struct marker *marker, const char *name, const struct mlimg_source_to *to,
	struct mlimg_err *err)
{
	struct mlimg_entry entry = {.path = marker->path,
		.type = MLIMG_CHAR,
		.mtime_s = marker->mtime_s,
		.mtime_ns = marker->mtime_ns,
		.nlink = 1};
	struct mlimg_node *parent;
	const char *last;
	int r;

	if (!has_meaning(to, marker->path))
		return 0;
	r = mlimg_tree_parent(to, name, marker->path, &parent, &last, err);
	if (r < 0 || !parent)
		return r;
	r = mlimg_tree_hide(to->tree, parent, last, &entry, err);
	if (r < 0 || to->has_beneath || to->beneath || !first_implied(to, marker->path))
		return r;
	return mlimg_err_refuse(err,
		"'%s': the branch hides something in it, but does not have the directory itself: "
		"give the layers beneath with --over",
		marker->path);
}

int mlimg_unionfs_hide(
	int root_fd, const char *name, const struct mlimg_source_to *to, struct mlimg_err *err)
{
	mlimg_autoclose int fd =
		openat(root_fd, MLIMG_UNIONFS_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct markers m = {0};
	int r;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		return 0;
	if (fd < 0)
		return mlimg_err_set(err, errno, "open '%s/%s'", name, MLIMG_UNIONFS_DIR);
	m.arena = mlimg_arena_new();
	if (!m.arena)
		return mlimg_err_set(err, ENOMEM, "'%s'", name);
	r = mlimg_walk(fd, MLIMG_WALK_NO_XATTRS | MLIMG_WALK_ONE_FS, take_marker, &m, err);
	if (r == 0 && m.n > 1)
		qsort(m.list, m.n, sizeof(*m.list), by_path);
	for (size_t i = 0; r == 0 && i < m.n; i++)
		r = hide(&m.list[i], name, to, err);
	mlimg_arena_free(m.arena);
	free(m.list);
	return r;
}
