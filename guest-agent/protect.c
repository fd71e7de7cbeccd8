/* SPDX-License-Identifier: MIT */
/* What is protected: declarations. protect-upper.c acts on them. */
#include "guest-agent/protect.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/whiteout.h"

#define LEFT "protected" /* in /run/mlimg */

/* Names of files that a layer above has, or hides. */
struct seen {
	char **names;
	size_t n;
};

static void seen_done(struct seen *seen)
{
	while (seen->n > 0)
		free(seen->names[--seen->n]);
	free(seen->names);
}

static bool is_seen(const struct seen *seen, const char *name)
{
	for (size_t i = 0; i < seen->n; i++)
		if (strcmp(seen->names[i], name) == 0)
			return true;
	return false;
}

static int add_seen(struct seen *seen, const char *name)
{
	char **names = reallocarray(seen->names, seen->n + 1, sizeof(*names));

	if (!names)
		return -ENOMEM;
	seen->names = names;
	names[seen->n] = strdup(name);
	return names[seen->n] ? (seen->n++, 0) : -ENOMEM;
}

/* What it says cannot be known where it cannot be read: then nothing may be shown instead of it. */
static int read_file(
	int dir, const char *name, struct mlimg_protect *protect, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	char shown[64];
	struct stat st;
	size_t size;
	int r;

	mlimg_declared_show(name, shown);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return mlimg_err_set(err, errno, "%s", shown);
	if (mlimg_stat_is_whiteout(&st))
		return 0;
	if (!S_ISREG(st.st_mode))
		return mlimg_err_refuse(err, "%s is no file that can be read", shown);
	r = mlimg_declared_read(dir, name, &text, &size, err);
	if (r < 0)
		return r;
	mlimg_protected_parse(shown, text, size, &protect->declared);
	return *protect->declared.flaw ? mlimg_err_refuse(err, "%s", protect->declared.flaw) : 0;
}

static int read_dir(
	int dir, struct seen *seen, struct mlimg_protect *protect, struct mlimg_err *err)
{
	struct dirent **names = NULL;
	int n = mlimg_declared_list(dir, &names), r = 0;

	if (n < 0)
		return mlimg_err_set(err, n, "list");
	for (int i = 0; i < n && r == 0; i++) {
		if (is_seen(seen, names[i]->d_name))
			continue;
		r = read_file(dir, names[i]->d_name, protect, err);
		if (r == 0 && add_seen(seen, names[i]->d_name) < 0)
			r = mlimg_err_set(err, ENOMEM, "list");
	}
	mlimg_declared_free(names, n);
	return r;
}

/*
 * Open a directory of a layer.
 *
 * @param ret_hides  set when the layer hides what those beneath have there
 * @return           -1 when the layer has none, else -errno
 */
static int open_layers_dir(
	int tree, const char *path, int *ret_fd, bool *ret_hides, struct mlimg_err *err)
{
	mlimg_autoclose int fd = mlimg_open_beneath_strict(tree, path, O_PATH | O_NOFOLLOW);
	struct stat st;
	char value;
	int r = fd;

	*ret_fd = -1;
	if (fd >= 0)
		r = fstat(fd, &st) < 0 ? -errno : 0;
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return mlimg_err_set(err, r, "%s", path);
	if (mlimg_stat_is_whiteout(&st)) {
		*ret_hides = true;
		return 0;
	}
	if (!S_ISDIR(st.st_mode))
		return mlimg_err_refuse(err, "%s is no directory", path);
	*ret_fd = mlimg_open_beneath_strict(tree, path, O_RDONLY | O_DIRECTORY);
	if (*ret_fd < 0)
		return mlimg_err_set(err, *ret_fd, "%s", path);
	if (fgetxattr(*ret_fd, MLIMG_XATTR_OPAQUE, &value, 1) == 1 && value == 'y')
		*ret_hides = true;
	return 0;
}

/* @param ret_hides  as above, for any directory on the way */
static int read_layer(int tree, struct seen *seen, bool *ret_hides, struct mlimg_protect *protect,
	struct mlimg_err *err)
{
	static const char *const way[] = {"etc", "etc/mlimg", MLIMG_PROTECTED_CONF};
	mlimg_autoclose int fd = -1;

	for (size_t i = 0; i < sizeof(way) / sizeof(way[0]); i++) {
		int r;

		mlimg_cleanup_close(&fd);
		r = open_layers_dir(tree, way[i], &fd, ret_hides, err);
		if (r < 0 || fd < 0)
			return r;
	}
	return read_dir(fd, seen, protect, err);
}

int mlimg_protect_read(
	const struct mlimg_lowers *lowers, struct mlimg_protect *protect, struct mlimg_err *err)
{
	mlimg_cleanup(seen_done) struct seen seen = {.n = 0};
	bool is_hidden = false;
	int r = 0;

	for (size_t i = 0; i < lowers->n && r == 0 && !is_hidden; i++)
		r = read_layer(lowers->fds[i], &seen, &is_hidden, protect, err);
	return r < 0 ? mlimg_err_wrap(err, r, "/" MLIMG_PROTECTED_CONF " of the layers") : 0;
}

int mlimg_protect_leave(int run_fd, const struct mlimg_protect *protect, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	FILE *f;

	unlinkat(run_fd, LEFT, 0);
	if (!protect->declared.n_patterns)
		return 0;
	f = open_memstream(&text, &size);
	if (!f)
		return mlimg_err_set(err, ENOMEM, LEFT);
	for (size_t i = 0; i < protect->declared.n_patterns; i++)
		fprintf(f, "/%s\n", protect->declared.patterns[i]);
	if (fclose(f) != 0)
		return mlimg_err_set(err, ENOMEM, LEFT);
	return mlimg_replace_file(run_fd, LEFT, text, size, 0600, err);
}

int mlimg_protect_recall(int run_fd, struct mlimg_protect *protect, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_read_file(run_fd, LEFT, MLIMG_PROTECTED_MAX * (MLIMG_DECLARED_PATH_MAX + 2),
		&text, &size, err);

	if (r == -ENOENT)
		return 0;
	if (r == 0)
		mlimg_protected_parse(LEFT, text, size, &protect->declared);
	return r;
}

/* Whether one is the other, or lies below it, as far as both go. */
static bool is_in_line(const char *pattern, const char *path)
{
	while (*pattern && *path) {
		char glob[MLIMG_DECLARED_PATH_MAX + 1], name[MLIMG_DECLARED_PATH_MAX + 1];
		size_t n = strcspn(pattern, "/"), len = strcspn(path, "/");

		snprintf(glob, sizeof(glob), "%.*s", (int)n, pattern);
		snprintf(name, sizeof(name), "%.*s", (int)len, path);
		if (fnmatch(glob, name, FNM_NOESCAPE) != 0)
			return false;
		pattern += n + (pattern[n] == '/');
		path += len + (path[len] == '/');
	}
	return true;
}

bool mlimg_protect_is_covered_by(const struct mlimg_protect *protect, const char *path)
{
	for (size_t i = 0; i < protect->declared.n_patterns; i++)
		if (is_in_line(protect->declared.patterns[i], path))
			return true;
	return false;
}
