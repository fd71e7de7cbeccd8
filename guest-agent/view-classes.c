/* SPDX-License-Identifier: MIT */
/*
 * The rules are class-files.c's, which takes manifests. Of the whole stack it looks at two
 * directories only, so a manifest of these is enough.
 */
#include "guest-agent/view-classes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/class-files.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/walk.h"
#include "libmlimg/whiteout.h"

/* In the order of manifests. */
static const char *const dirs[] = {"etc/mlimg/" MLIMG_CLASS_DIR, "usr/lib/mlimg/" MLIMG_CLASS_DIR};

struct reading {
	struct mlimg_view *view;
	struct mlimg_view_cursor *cursor;
	struct mlimg_view_found found;
	struct mlimg_manifest *stack; /* of the two directories */
	char **names;                 /* in one of them, of all trees */
	size_t n_names, room;         /* room: bytes */
};

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void forget_names(struct reading *r)
{
	while (r->n_names > 0)
		free(r->names[--r->n_names]);
}

static int take_names(struct reading *r, const struct mlimg_view_tree *tree, const char *path)
{
	mlimg_autoclose int fd =
		mlimg_open_beneath_strict(tree->fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	mlimg_autoclosedir DIR *dir = fd < 0 ? NULL : mlimg_dir_open(fd, ".");
	const struct dirent *d;

	while (dir && (d = readdir(dir)) && r->n_names < MLIMG_CLASS_FILES_MAX) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (mlimg_buffer_reserve(
			    &r->names, &r->room, (r->n_names + 1) * sizeof(*r->names)) < 0)
			return -ENOMEM;
		r->names[r->n_names] = strdup(d->d_name);
		if (!r->names[r->n_names++])
			return -ENOMEM;
	}
	return 0;
}

/* What the layers have at a path; a file with its digest. @return 1, 0, -errno */
static int add(struct reading *r, const char *path, struct mlimg_err *err)
{
	struct mlimg_entry e;
	int ret = mlimg_view_beneath(r->cursor, path, &r->found, err);

	if (ret < 0 || !r->found.tree)
		return ret;
	e = r->found.entry;
	e.path = (char *)(uintptr_t)path;
	if (e.type == MLIMG_FILE) {
		mlimg_autoclose int fd = mlimg_view_open_file(r->found.tree, r->found.path);

		if (fd < 0 || mlimg_digest_fd(fd, e.digest, &e.size_bytes) < 0)
			return 0;
		e.has_digest = true;
	}
	return mlimg_manifest_add(r->stack, &e) ? 1 : mlimg_err_set(err, ENOMEM, "read '%s'", path);
}

/* The directories down to @dir, which begin with another name than those of the former. */
static int add_parents(struct reading *r, const char *dir, struct mlimg_err *err)
{
	char path[64];
	int ret = 1;

	for (size_t size = strcspn(dir, "/"); ret == 1; size += 1 + strcspn(dir + size + 1, "/")) {
		snprintf(path, sizeof(path), "%.*s", (int)size, dir);
		ret = add(r, path, err);
		if (!dir[size])
			break;
	}
	return ret;
}

static int add_dir(struct reading *r, const char *dir, struct mlimg_err *err)
{
	char path[64 + MLIMG_NAME_MAX + 1];
	int ret = add_parents(r, dir, err);

	if (ret <= 0)
		return ret;
	for (size_t i = 1; i < r->view->n_trees && ret >= 0; i++)
		ret = take_names(r, &r->view->trees[i], dir);
	if (ret < 0)
		return mlimg_err_set(err, ret, "read '%s'", dir);
	if (r->n_names > 1)
		qsort(r->names, r->n_names, sizeof(*r->names), by_name);
	for (size_t i = 0; i < r->n_names && ret >= 0; i++) {
		if (i > 0 && strcmp(r->names[i], r->names[i - 1]) == 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, r->names[i]);
		ret = add(r, path, err);
	}
	forget_names(r);
	return ret < 0 ? ret : 0;
}

/* @ctx: struct reading * */
static int read_text(const char *path, const uint8_t digest[MLIMG_SHA256_SIZE], size_t max,
	void *ctx, char **ret_data, size_t *ret_size)
{
	struct reading *r = ctx;
	mlimg_autoclose int fd = -1;
	int ret = mlimg_view_beneath(r->cursor, path, &r->found, NULL);

	if (ret < 0 || !r->found.tree)
		return ret < 0 ? ret : -ENOENT;
	fd = mlimg_view_open_file(r->found.tree, r->found.path);
	return fd < 0 ? fd : mlimg_read_fd(fd, path, max, ret_data, ret_size, NULL);
}

static int read_classes(
	struct reading *r, struct mlimg_path_classes *classes, struct mlimg_err *err)
{
	struct mlimg_class_files files = {.stack = r->stack,
		.before = r->stack,
		.mine = r->view->trees[0].manifest,
		.upper = &r->view->uppers[0].source,
		.read = read_text,
		.read_ctx = r};
	int ret = add(r, "", err);

	for (size_t i = 0; i < 2 && ret >= 0; i++)
		ret = add_dir(r, dirs[i], err);
	return ret < 0 ? ret : mlimg_class_files_read(&files, classes, err);
}

int mlimg_view_classes(
	struct mlimg_view *view, struct mlimg_path_classes **ret_classes, struct mlimg_err *err)
{
	mlimg_autofree struct reading *r = calloc(1, sizeof(*r));
	struct mlimg_path_classes *classes = mlimg_path_classes_new();
	int ret = -ENOMEM;

	if (r) {
		*r = (struct reading){.view = view,
			.cursor = mlimg_view_cursor_new(view),
			.stack = mlimg_manifest_new()};
		if (r->cursor && r->stack && classes)
			ret = read_classes(r, classes, err);
		else
			ret = mlimg_err_set(err, ENOMEM, "read " MLIMG_CLASS_DIR);
		mlimg_view_cursor_free(r->cursor);
		mlimg_manifest_free(r->stack);
		forget_names(r);
		free(r->names);
	}
	if (ret < 0)
		mlimg_path_classes_free(classes);
	else
		*ret_classes = classes;
	return ret;
}
