/* SPDX-License-Identifier: MIT */
/* Carve-outs that earlier boots made, and what a new one would hide. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "guest-agent/carve-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/whiteout.h"

#define OWN "mlimg" /* in the user layer */
#define UPPER "upper"
#define HEAD "# The carve-outs that this user layer has.\n"

void mlimg_carve_made_read(struct mlimg_carving *c)
{
	mlimg_autoclose int own_fd = -1;
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t size;
	int r;

	if (c->user_fd < 0)
		return;
	own_fd = mlimg_open_beneath_strict(c->user_fd, OWN, O_RDONLY | O_DIRECTORY);
	r = own_fd < 0 ? mlimg_err_set(&err, own_fd, "open 'user/" OWN "'")
		       : mlimg_read_beneath(own_fd, MLIMG_CARVE_MADE, MLIMG_DECLARED_FILE_MAX,
				 &c->text, &size, &err);
	if (r == 0)
		mlimg_carve_parse(MLIMG_CARVE_MADE, c->text, size, &c->made);
	else if (r != -ENOENT)
		mlimg_carve_note(c->carve, "carve-outs of earlier boots: %s", err.text);
}

/* @return the file's text, or NULL; free() it */
static char *made_text(const struct mlimg_carve *mounted, const struct mlimg_carve *left)
{
	size_t room = sizeof(HEAD) + 2 * MLIMG_CARVE_MAX * (MLIMG_CARVE_PATH_MAX + 2);
	char *text = malloc(room), *end = text;

	if (!text)
		return NULL;
	end = stpcpy(end, HEAD);
	for (size_t i = 0; i < mounted->n_paths; i++)
		end += sprintf(end, "/%s\n", mounted->paths[i]);
	for (size_t i = 0; i < left->n_paths; i++)
		end += sprintf(end, "/%s\n", left->paths[i]);
	return text;
}

void mlimg_carve_made_write(struct mlimg_carving *c)
{
	mlimg_autoclose int own_fd =
		mlimg_open_beneath_strict(c->user_fd, OWN, O_RDONLY | O_DIRECTORY);
	mlimg_autofree char *text = made_text(c->carve, &c->made);
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r;

	if (text && strcmp(text, c->text ? c->text : HEAD) == 0)
		return;
	if (own_fd < 0 || !text)
		r = mlimg_err_set(&err, own_fd < 0 ? own_fd : ENOMEM, "open 'user/" OWN "'");
	else
		r = mlimg_replace_file(own_fd, MLIMG_CARVE_MADE, text, strlen(text), 0644, &err);
	if (r < 0)
		mlimg_carve_note(c->carve, "carve-outs are not recorded: %s", err.text);
}

/* @return the directory in the user layer, or -errno */
static int open_of_user(const struct mlimg_carving *c, const char *dir, const char *path)
{
	char whole[sizeof(MLIMG_CARVE_DIR) + MLIMG_CARVE_PATH_MAX + 1];

	if (c->user_fd < 0)
		return -ENOENT;
	snprintf(whole, sizeof(whole), "%s/%s", dir, path);
	return mlimg_open_beneath_strict(c->user_fd, whole, O_RDONLY | O_DIRECTORY);
}

int mlimg_carve_has_store(struct mlimg_carving *c, const char *path)
{
	mlimg_autoclose int fd = open_of_user(c, MLIMG_CARVE_DIR, path);
	int r = fd < 0 ? fd : mlimg_dir_has_entries(fd, ".");

	/* Or it would be taken for one that is in use when it is declared again. */
	if (r == 0 && c->mode == MLIMG_BOOT_NORMAL)
		unlinkat(c->base_fd, path, AT_REMOVEDIR);
	return r == -ENOENT ? 0 : r;
}

static bool is_made(const struct mlimg_carving *c, const char *path)
{
	for (size_t i = 0; i < c->made.n_paths; i++)
		if (strcmp(c->made.paths[i], path) == 0)
			return true;
	return false;
}

bool mlimg_carve_is_new(struct mlimg_carving *c, const char *path)
{
	mlimg_autoclose int store = open_of_user(c, MLIMG_CARVE_DIR, path);

	/* A directory on the way to another carve-out is there, too. */
	return store == -ENOENT || (c->text && !is_made(c, path));
}

static bool is_renamed(int fd)
{
	return fgetxattr(fd, MLIMG_XATTR_REDIRECT, NULL, 0) > 0;
}

/* Whether @path, or a directory above it, shows in its place what a layer has elsewhere. */
static bool is_in_renamed(const struct mlimg_carving *c, const char *path)
{
	char part[MLIMG_CARVE_PATH_MAX + 1];

	for (size_t len = strcspn(path, "/");; len += 1 + strcspn(path + len + 1, "/")) {
		mlimg_autoclose int fd = -1;

		snprintf(part, sizeof(part), "%.*s", (int)len, path);
		fd = open_of_user(c, UPPER, part);
		if (fd < 0)
			return false;
		if (is_renamed(fd))
			return true;
		if (!path[len])
			return false;
	}
}

static bool is_file_of_users(int dir_fd, const char *name)
{
	mlimg_autoclose int fd = -1;
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return true;
	if (!S_ISDIR(st.st_mode))
		return !mlimg_stat_is_whiteout(&st);
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 || is_renamed(fd) || mlimg_dir_has_entries(fd, ".") != 0;
}

bool mlimg_carve_hides_files(struct mlimg_carving *c, int target, const char *path)
{
	mlimg_autoclose int fd = open_of_user(c, UPPER, path);
	DIR *dir = fd < 0 ? NULL : mlimg_dir_open(fd, ".");
	bool has = false;
	struct dirent *e;

	while (dir && !has && (e = readdir(dir)))
		has = strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
			is_file_of_users(fd, e->d_name);
	if (dir)
		closedir(dir);
	return has || (is_in_renamed(c, path) && mlimg_dir_has_entries(target, ".") == 1);
}
