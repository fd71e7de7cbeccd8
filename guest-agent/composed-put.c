/* SPDX-License-Identifier: MIT */
/* The composed tree on its way to where the union looks for it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/composed.h"
#include "guest-agent/entry-at.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/remove-tree.h"
#include "libmlimg/text.h"

#define NEW "composed.new" /* what is being written */

/* ---- the tree ---- */

static int write_file(int root_fd, const char *path, const struct mlimg_records_text *text)
{
	mlimg_autoclose int fd =
		openat(root_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : mlimg_write_all(fd, text->text, text->size);
}

static int make_entries(int root_fd, const struct mlimg_composed *c, struct mlimg_err *err)
{
	for (size_t i = 1; i < c->manifest->n_entries; i++) {
		const struct mlimg_entry *e = &c->manifest->entries[i];
		int r = e->type == MLIMG_FILE ? write_file(root_fd, e->path, &c->texts[i])
					      : mlimg_entry_at_make(root_fd, e->path, e);

		if (r < 0)
			return mlimg_err_set(err, r, "make '%s'", e->path);
	}
	return 0;
}

/* What is in a directory comes before it, whose time it would change. */
static int set_attributes(int root_fd, const struct mlimg_composed *c, struct mlimg_err *err)
{
	struct mlimg_entry_reader reader = {.link = ""};
	int r = 0;

	for (size_t i = c->manifest->n_entries; r == 0 && i-- > 0;) {
		const struct mlimg_entry *e = &c->manifest->entries[i];
		mlimg_autoclose int parent =
			mlimg_open_parent_strict(root_fd, e->path, O_RDONLY, NULL);

		r = parent < 0 ? parent
			       : mlimg_entry_at_set(&reader, parent, mlimg_path_name(e->path), e);
		if (r < 0)
			r = mlimg_err_set(err, r, "set the attributes of '%s'", e->path);
	}
	mlimg_entry_reader_done(&reader);
	return r;
}

static int write_manifest(int fd, const struct mlimg_composed *c, struct mlimg_err *err)
{
	mlimg_autoclose int file =
		openat(fd, "manifest", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	struct mlimg_text text = {.data = NULL};
	int r = file < 0 ? -errno : 0;

	mlimg_manifest_put(c->manifest, mlimg_text_put, &text);
	if (r == 0)
		r = text.has_failed ? -ENOMEM : mlimg_write_all(file, text.data, text.size);
	free(text.data);
	return r < 0 ? mlimg_err_set(err, r, "make 'manifest'") : 0;
}

/* Tree and manifest into the directory @name, which is made. */
static int write_tree(
	int fd, const char *name, const struct mlimg_composed *c, struct mlimg_err *err)
{
	mlimg_autoclose int dir = -1, root = -1;
	int r;

	if (mkdirat(fd, name, 0700) < 0)
		return mlimg_err_set(err, errno, "make '%s'", name);
	dir = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || mkdirat(dir, "rootfs", 0700) < 0)
		return mlimg_err_set(err, errno, "make '%s/rootfs'", name);
	root = openat(dir, "rootfs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root < 0)
		return mlimg_err_set(err, errno, "open '%s/rootfs'", name);
	r = make_entries(root, c, err);
	if (r == 0)
		r = set_attributes(root, c, err);
	return r < 0 ? r : write_manifest(dir, c, err);
}

/* ---- its places ---- */

static void remove_others(int dir_fd, const char *kept)
{
	mlimg_autoclosedir DIR *dir = mlimg_dir_open(dir_fd, ".");
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strncmp(entry->d_name, MLIMG_COMPOSED_PREFIX, strlen(MLIMG_COMPOSED_PREFIX)) ==
				0 &&
			strcmp(entry->d_name, kept) != 0)
			(void)mlimg_remove_tree(dir_fd, entry->d_name);
}

/*
 * All of it is on the disk before it has its name; whether the name is there after a power cut does
 * not matter.
 */
static int keep(int dir_fd, const char *name, const struct mlimg_composed *c, struct mlimg_err *err)
{
	int r = write_tree(dir_fd, NEW, c, err);

	if (r == 0 && syncfs(dir_fd) < 0)
		r = mlimg_err_set(err, errno, "write '" NEW "' out");
	if (r == 0 && renameat(dir_fd, NEW, dir_fd, name) < 0)
		r = mlimg_err_set(err, errno, "name '%s'", name);
	if (r < 0)
		(void)mlimg_remove_tree(dir_fd, NEW);
	return r < 0 ? mlimg_err_wrap(err, r, "user/mlimg") : 0;
}

static int link_to(int root_fd, const char *name, struct mlimg_err *err)
{
	char target[MLIMG_COMPOSED_NAME_SIZE + 16];

	snprintf(target, sizeof(target), "user/mlimg/%s", name);
	return symlinkat(target, root_fd, MLIMG_COMPOSED_DIR) < 0
		? mlimg_err_set(err, errno, "link '" MLIMG_COMPOSED_DIR "' to '%s'", target)
		: 0;
}

int mlimg_composed_put(const struct mlimg_composed_place *place,
	const struct mlimg_composed_stack *stack, struct mlimg_err *err)
{
	char name[MLIMG_COMPOSED_NAME_SIZE];
	int r = mlimg_remove_tree(place->root_fd, MLIMG_COMPOSED_DIR), no_room = 0;

	if (r < 0)
		return mlimg_err_set(err, r, "remove '" MLIMG_COMPOSED_DIR "'");
	mlimg_composed_name(place->stack_id, name);
	if (place->dir_fd >= 0)
		remove_others(place->dir_fd, place->is_kept ? name : "");
	if (!stack->composed.manifest)
		return 0;
	if (place->is_kept)
		return link_to(place->root_fd, name, err);
	if (place->dir_fd >= 0) {
		r = keep(place->dir_fd, name, &stack->composed, err);
		no_room = mlimg_is_no_room(r);
		if (!no_room)
			return r < 0 ? r : link_to(place->root_fd, name, err);
	}
	r = write_tree(place->root_fd, MLIMG_COMPOSED_DIR, &stack->composed, err);
	return r < 0 ? r : no_room;
}
