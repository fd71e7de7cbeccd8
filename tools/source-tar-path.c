/* SPDX-License-Identifier: MIT */
/* What the paths of a tar mean in the tree. */
#include "tools/source-tar.h"

#include <archive_entry.h>
#include <string.h>

#include "libmlimg/whiteout.h"

/* OCI image-spec, layer.md, "Whiteouts". */
#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"

int mlimg_tar_normalise(const char *name, const char *whole, const char *what,
	char ret_path[MLIMG_PATH_MAX + 1], struct mlimg_err *err)
{
	const char *raw = whole;
	size_t used = 0;

	if (!raw || !raw[0])
		return mlimg_err_refuse(err, "'%s': %s without a path", name, what);
	if (raw[0] == '/')
		return mlimg_err_refuse(
			err, "'%s': %s '%s' has an absolute path", name, what, whole);
	while (*raw) {
		size_t n = strcspn(raw, "/");

		if (n == 2 && raw[0] == '.' && raw[1] == '.')
			return mlimg_err_refuse(
				err, "'%s': %s '%s' leads out of the tree", name, what, whole);
		if (n > 0 && !(n == 1 && raw[0] == '.')) {
			if (n > MLIMG_NAME_MAX)
				return mlimg_err_refuse(err,
					"'%s': %s '%s': name is longer than %d bytes", name, what,
					whole, MLIMG_NAME_MAX);
			if (used + n + 1 > MLIMG_PATH_MAX)
				return mlimg_err_refuse(err,
					"'%s': %s '%s': path is longer than %d bytes", name, what,
					whole, MLIMG_PATH_MAX);
			if (used)
				ret_path[used++] = '/';
			memcpy(ret_path + used, raw, n);
			used += n;
		}
		raw += n;
		raw += *raw == '/';
	}
	ret_path[used] = '\0';
	return 0;
}

struct mlimg_node *mlimg_tar_lookup(const struct mlimg_tar_reader *rd, const char *path)
{
	struct mlimg_tree *tree = rd->to->tree;
	struct mlimg_node *node = rd->to->top;

	while (node && *path && !mlimg_node_is_closed(tree, node)) {
		size_t size = strcspn(path, "/");

		node = mlimg_tree_child(tree, node, path, size);
		path += size;
		path += *path == '/';
	}
	return node && !mlimg_node_is_closed(tree, node) && !mlimg_node_is_hiding(node) ? node
											: NULL;
}

static bool is_marker(const char *name)
{
	return strncmp(name, WHITEOUT, strlen(WHITEOUT)) == 0;
}

/* "a/.wh.b" hides "a/b". */
static int hide(
	struct mlimg_tar_reader *rd, char *path, struct archive_entry *from, struct mlimg_err *err)
{
	struct mlimg_entry marker = {.path = path,
		.mtime_s = archive_entry_mtime(from),
		.mtime_ns = (uint32_t)archive_entry_mtime_nsec(from)};
	struct mlimg_node *parent;
	const char *name;
	int r = mlimg_tree_parent(rd->to, rd->tar->name, path, &parent, &name, err);

	return r < 0 || !parent ? r : mlimg_tree_hide(rd->to->tree, parent, name, &marker, err);
}

static int make_opaque(struct mlimg_tar_reader *rd, struct mlimg_err *err)
{
	struct mlimg_node *parent;
	const char *name;
	int r = mlimg_tree_parent(rd->to, rd->tar->name, rd->path, &parent, &name, err);

	if (r == 0 && parent)
		mlimg_tree_seal(rd->to->tree, parent);
	return r;
}

int mlimg_tar_marker(struct mlimg_tar_reader *rd, struct archive_entry *from, struct mlimg_err *err)
{
	char *name = rd->path, *slash;
	const char *hidden;
	int r;

	for (; (slash = strchr(name, '/')); name = slash + 1)
		if (is_marker(name))
			return mlimg_err_refuse(err, "'%s': entry '%s' lies below a whiteout",
				rd->tar->name, rd->path);
	if (!is_marker(name))
		return 0;
	hidden = name + strlen(WHITEOUT);
	if (strcmp(name, OPAQUE) == 0) {
		r = make_opaque(rd, err);
		return r < 0 ? r : 1;
	}
	if (!hidden[0] || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0 ||
		is_marker(hidden))
		return mlimg_err_refuse(err, "'%s': whiteout '%s' of what cannot be a name",
			rd->tar->name, rd->path);
	memmove(name, hidden, strlen(hidden) + 1);
	r = hide(rd, rd->path, from, err);
	return r < 0 ? r : 1;
}
