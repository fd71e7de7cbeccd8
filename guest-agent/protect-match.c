/* SPDX-License-Identifier: MIT */
/* Patterns of protected paths, name by name, and what the layers have that is matched. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/protect-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/whiteout.h"

void mlimg_names_done(struct mlimg_names *names)
{
	while (names->n > 0)
		free(names->at[--names->n]);
	free(names->at);
}

static int add_name(struct mlimg_names *names, const char *name, size_t len)
{
	char **at = reallocarray(names->at, names->n + 1, sizeof(*at));

	if (!at)
		return -ENOMEM;
	names->at = at;
	at[names->n] = strndup(name, len);
	return at[names->n] ? (names->n++, 0) : -ENOMEM;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int mlimg_cover_list(int dir, const char *glob, const char *suffix, struct mlimg_names *names)
{
	mlimg_autoclosedir DIR *d = NULL;
	const struct dirent *entry;
	int r = 0;

	if (!strpbrk(glob, "*?["))
		return add_name(names, glob, strlen(glob));
	d = mlimg_dir_open(dir, ".");
	if (!d)
		return -errno;
	while (r == 0 && (entry = readdir(d))) {
		size_t len = strlen(entry->d_name), cut = strlen(suffix);
		char name[NAME_MAX + 1];

		if (strspn(entry->d_name, ".") == len && len <= 2)
			continue;
		if (len <= cut || strcmp(entry->d_name + len - cut, suffix) != 0)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(len - cut), entry->d_name);
		if (fnmatch(glob, name, FNM_NOESCAPE) == 0)
			r = add_name(names, name, strlen(name));
	}
	qsort(names->at, names->n, sizeof(*names->at), compare_names);
	return r;
}

const char *mlimg_cover_split(const char *pattern, char ret_name[MLIMG_DECLARED_PATH_MAX + 1])
{
	size_t len = strcspn(pattern, "/");

	snprintf(ret_name, MLIMG_DECLARED_PATH_MAX + 1, "%.*s", (int)len, pattern);
	return pattern[len] ? pattern + len + 1 : NULL;
}

bool mlimg_cover_append(char path[MLIMG_PATH_MAX + 1], const char *name)
{
	size_t len = strlen(path);

	return snprintf(path + len, MLIMG_PATH_MAX + 1 - len, "%s%s", len ? "/" : "", name) <
		(int)(MLIMG_PATH_MAX + 1 - len);
}

/* ---- the layers ---- */

/*
 * Whether a layer has something below @dir that is matched. Its symbolic link in the place of a
 * directory is what is protected.
 */
static int matches_below(int dir, const char *pattern)
{
	mlimg_cleanup(mlimg_names_done) struct mlimg_names names = {.n = 0};
	char glob[MLIMG_DECLARED_PATH_MAX + 1];
	const char *rest = mlimg_cover_split(pattern, glob);
	int r = mlimg_cover_list(dir, glob, "", &names), found = 0;

	for (size_t i = 0; r == 0 && !found && i < names.n; i++) {
		mlimg_autoclose int next = -1;
		struct stat st;

		if (fstatat(dir, names.at[i], &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno != ENOENT)
				return -errno;
			continue;
		}
		if (mlimg_stat_is_whiteout(&st))
			continue;
		if (!rest || S_ISLNK(st.st_mode))
			return 1;
		if (!S_ISDIR(st.st_mode))
			continue;
		next = openat(dir, names.at[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		found = next < 0 ? -errno : matches_below(next, rest);
	}
	return r < 0 ? r : found;
}

int mlimg_cover_type(const struct mlimg_cover *c, const char *path)
{
	for (size_t i = 0; i < c->lowers->n; i++) {
		mlimg_autoclose int fd =
			mlimg_open_beneath_strict(c->lowers->fds[i], path, O_PATH | O_NOFOLLOW);
		struct stat st;

		if (fd == -ENOENT)
			continue;
		/* Something else in the place of a directory above it. */
		if (fd == -ENOTDIR || fd == -ELOOP)
			return fd == -ELOOP ? S_IFLNK : 0;
		if (fd < 0 || fstat(fd, &st) < 0)
			return fd < 0 ? fd : -errno;
		return mlimg_stat_is_whiteout(&st) ? 0 : (int)(st.st_mode & S_IFMT);
	}
	return 0;
}

int mlimg_cover_matches(const struct mlimg_cover *c, const char *path, const char *pattern)
{
	int type = *path ? mlimg_cover_type(c, path) : S_IFDIR, found = 0;

	if (type != S_IFDIR)
		return type < 0 ? type : type == S_IFLNK;
	for (size_t i = 0; found == 0 && i < c->lowers->n; i++) {
		mlimg_autoclose int fd = mlimg_open_beneath_strict(
			c->lowers->fds[i], *path ? path : ".", O_RDONLY | O_DIRECTORY);

		if (fd >= 0)
			found = matches_below(fd, pattern);
		else if (fd != -ENOENT && fd != -ENOTDIR && fd != -ELOOP)
			found = fd;
	}
	return found;
}
