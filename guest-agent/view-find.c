/* SPDX-License-Identifier: MIT */
/*
 * What lies beneath a path. For each directory on the way there is a list of the places that show
 * in it, topmost first, as overlayfs makes it: it ends at an opaque directory, at a whiteout, and at
 * what is no directory; a redirect sends what is beneath elsewhere (the kernel's
 * Documentation/filesystems/overlayfs.rst; libmlimg/patch.h for files).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/view.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/upper-view.h"
#include "libmlimg/whiteout.h"

/* A directory of one tree. */
struct place {
	size_t tree;
	char *path;
};

/* The places of a directory of the union. */
struct places {
	struct place *at;
	size_t n, room;   /* room: bytes */
	size_t path_size; /* of the directory's own path */
};

struct mlimg_view_cursor {
	const struct mlimg_view *view;
	struct mlimg_entry_reader reader;
	struct places *levels; /* of the root, and of each directory down to where it was last */
	size_t n, room;
	char path[MLIMG_PATH_MAX + 1]; /* of the last level */
	char joined[MLIMG_PATH_MAX + 1];
};

/* --- one tree --- */

int mlimg_view_at(const struct mlimg_view_tree *tree, struct mlimg_entry_reader *reader,
	const char *path, struct mlimg_entry *ret_entry)
{
	mlimg_autoclose int dir_fd = -1;
	const char *name;
	int r;

	if (tree->manifest) {
		const struct mlimg_entry *e = mlimg_manifest_find(tree->manifest, path);

		if (e)
			*ret_entry = *e;
		return e != NULL;
	}
	/* The root's own xattrs are asked for by the descriptor. */
	dir_fd = mlimg_open_parent_strict(tree->fd, path, *path ? O_PATH : O_RDONLY, &name);
	r = dir_fd < 0 ? dir_fd : mlimg_entry_at_read(reader, dir_fd, name, path, false, ret_entry);
	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -EXDEV || r == -ENAMETOOLONG)
		return 0;
	return r < 0 ? r : 1;
}

int mlimg_view_open_file(const struct mlimg_view_tree *tree, const char *path)
{
	mlimg_autoclose int fd = mlimg_open_beneath_strict(
		tree->fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? mlimg_steal_fd(&fd) : -ENOENT;
}

/* --- lists of places --- */

static void places_done(struct places *p)
{
	while (p->n > 0)
		free(p->at[--p->n].path);
	free(p->at);
	*p = (struct places){0};
}

static int add_place(struct places *p, size_t tree, const char *path)
{
	if (mlimg_buffer_reserve(&p->at, &p->room, (p->n + 1) * sizeof(*p->at)) < 0)
		return -ENOMEM;
	p->at[p->n] = (struct place){tree, strdup(path)};
	if (!p->at[p->n].path)
		return -ENOMEM;
	p->n++;
	return 0;
}

/* @return @path and @name in @ret_path, or false when that is too long */
static bool join(char ret_path[MLIMG_PATH_MAX + 1], const char *path, const char *name, size_t size)
{
	if (size > MLIMG_NAME_MAX || strlen(path) + 1 + size > MLIMG_PATH_MAX)
		return false;
	mlimg_path_join(ret_path, path, name, size);
	return true;
}

static int find_places(
	struct mlimg_view_cursor *c, const char *path, size_t first_tree, struct places *ret);

/* The directory @name of @in, into @ret. @return 0 or -errno */
static int step(struct mlimg_view_cursor *c, const struct places *in, const char *name, size_t size,
	struct places *ret)
{
	char own[MLIMG_NAME_MAX + 1], path[MLIMG_PATH_MAX + 1], lower[MLIMG_PATH_MAX + 1];
	int r = 0;

	if (size > MLIMG_NAME_MAX)
		return 0;
	memcpy(own, name, size);
	own[size] = '\0';
	for (size_t i = 0; i < in->n && r >= 0; i++) {
		const struct mlimg_view_tree *tree = &c->view->trees[in->at[i].tree];
		const struct mlimg_xattr *redirect;
		struct mlimg_entry e;
		int found;

		if (!join(path, in->at[i].path, own, strlen(own)))
			continue;
		found = mlimg_view_at(tree, &c->reader, path, &e);
		/* What unionfs-fuse hides may be in a directory that its branch lacks. */
		if (found == 0 && c->view->is_unionfs && tree->manifest)
			found = add_place(ret, in->at[i].tree, path);
		r = found < 0 ? found : 0;
		if (found <= 0)
			continue;
		if (e.type != MLIMG_DIR)
			break;
		r = add_place(ret, in->at[i].tree, path);
		if (r < 0 || mlimg_entry_is_opaque(&e))
			break;
		redirect = mlimg_entry_xattr(&e, MLIMG_XATTR_REDIRECT);
		if (!redirect)
			continue;
		/* An absolute one begins at the root of what is beneath; any other is a name. */
		if (!mlimg_redirect_follow(redirect, own, lower))
			break;
		if (redirect->value[0] == '/')
			return find_places(c, lower, in->at[i].tree + 1, ret);
		strcpy(own, lower);
	}
	return r < 0 ? r : 0;
}

/* The places of a directory in the trees from @first_tree on, added to @ret. */
static int find_places(
	struct mlimg_view_cursor *c, const char *path, size_t first_tree, struct places *ret)
{
	struct places at = {0};
	int r = 0;

	for (size_t i = first_tree; i < c->view->n_trees && r == 0; i++)
		r = add_place(&at, i, "");
	while (*path && r == 0) {
		size_t size = strcspn(path, "/");
		struct places next = {0};

		r = step(c, &at, path, size, &next);
		places_done(&at);
		at = next;
		path += size + (path[size] == '/');
	}
	for (size_t i = 0; i < at.n && r == 0; i++)
		r = add_place(ret, at.at[i].tree, at.at[i].path);
	places_done(&at);
	return r;
}

/* --- the cursor --- */

struct mlimg_view_cursor *mlimg_view_cursor_new(const struct mlimg_view *view)
{
	struct mlimg_view_cursor *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->view = view;
	if (mlimg_buffer_reserve(&c->levels, &c->room, sizeof(*c->levels)) < 0) {
		free(c);
		return NULL;
	}
	c->levels[c->n++] = (struct places){0};
	if (find_places(c, "", 0, &c->levels[0]) < 0) {
		mlimg_view_cursor_free(c);
		return NULL;
	}
	return c;
}

void mlimg_view_cursor_free(struct mlimg_view_cursor *c)
{
	if (!c)
		return;
	while (c->n > 0)
		places_done(&c->levels[--c->n]);
	free(c->levels);
	mlimg_entry_reader_done(&c->reader);
	free(c);
}

/* One more level, for the component of @c->path that ends at @end. */
static int push(struct mlimg_view_cursor *c, const char *name, size_t size, size_t end)
{
	struct places next = {.path_size = end};
	int r = mlimg_buffer_reserve(&c->levels, &c->room, (c->n + 1) * sizeof(*c->levels));

	if (r == 0)
		r = step(c, &c->levels[c->n - 1], name, size, &next);
	if (r < 0)
		places_done(&next);
	else
		c->levels[c->n++] = next;
	return r;
}

/* Make the last level that of the directory whose path are the first bytes of @path. */
static int go_to(struct mlimg_view_cursor *c, const char *path, size_t dir_size)
{
	size_t at;
	int r = 0;

	while (c->n > 1) {
		size_t size = c->levels[c->n - 1].path_size;

		if (size <= dir_size && memcmp(c->path, path, size) == 0 &&
			(size == dir_size || path[size] == '/'))
			break;
		places_done(&c->levels[--c->n]);
	}
	at = c->levels[c->n - 1].path_size;
	while (at < dir_size && r == 0) {
		size_t begin = at + (at > 0), size = strcspn(path + begin, "/");

		at = begin + size;
		memcpy(c->path, path, at);
		r = push(c, path + begin, size, at);
	}
	return r;
}

int mlimg_view_beneath(struct mlimg_view_cursor *c, const char *path, struct mlimg_view_found *ret,
	struct mlimg_err *err)
{
	const char *name = mlimg_path_name(path);
	size_t dir_size = mlimg_path_dir_size(path);
	const struct places *in;
	int r = go_to(c, path, dir_size);

	ret->tree = NULL;
	if (r < 0)
		return mlimg_err_set(err, r, "look for '/%s' in the layers", path);
	in = &c->levels[c->n - 1];
	for (size_t i = 0; i < in->n; i++) {
		const struct mlimg_view_tree *tree = &c->view->trees[in->at[i].tree];

		if (in->at[i].tree == 0 || !join(ret->path, in->at[i].path, name, strlen(name)))
			continue;
		r = mlimg_view_at(tree, &c->reader, ret->path, &ret->entry);
		if (r < 0)
			return mlimg_err_set(err, r, "look for '/%s' in %s", path, tree->label);
		if (r == 0)
			continue;
		ret->tree = mlimg_entry_is_whiteout(&ret->entry) ? NULL : tree;
		return 0;
	}
	return 0;
}

int mlimg_view_dir_beneath(struct mlimg_view_cursor *c, const char *path,
	char ret_path[MLIMG_PATH_MAX + 1], struct mlimg_err *err)
{
	int r = go_to(c, path, strlen(path));
	const struct places *in = &c->levels[c->n - 1];

	ret_path[0] = '\0';
	if (r < 0)
		return mlimg_err_set(err, r, "look for '/%s' in the layers", path);
	for (size_t i = 0; i < in->n; i++) {
		if (in->at[i].tree == 0)
			continue;
		strcpy(ret_path, in->at[i].path);
		break;
	}
	return 0;
}
