/* SPDX-License-Identifier: MIT */
/* What is protected: declarations. protect-upper.c acts on them. */
#include "guest-agent/protect.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/whiteout.h"

#define LEFT "protected" /* in /run/mlimg */

static void __attribute__((format(printf, 2, 3)))
note(struct mlimg_protect *protect, const char *fmt, ...)
{
	va_list ap;

	if (protect->n_notes == MLIMG_PROTECT_NOTES_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(protect->notes[protect->n_notes++], MLIMG_ERR_TEXT_SIZE, fmt, ap);
	va_end(ap);
}

static void take_line(const char *file, unsigned n, const char *path, const char *flaw, void *ctx)
{
	struct mlimg_protect *protect = ctx;

	if (!path) {
		note(protect, "%s, line %u: %s", file, n, flaw);
		return;
	}
	for (size_t i = 0; i < protect->n_patterns; i++)
		if (strcmp(path, protect->patterns[i]) == 0)
			return;
	if (protect->n_patterns == MLIMG_PROTECT_MAX)
		note(protect, "%s, line %u: more than %d protected paths", file, n,
			MLIMG_PROTECT_MAX);
	else
		strcpy(protect->patterns[protect->n_patterns++], path);
}

void mlimg_protect_parse(
	const char *name, const char *text, size_t size, struct mlimg_protect *protect)
{
	mlimg_declared_parse(name, text, size, take_line, protect);
}

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

static bool is_whiteout(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) &&
		st.st_rdev == makedev(0, 0);
}

static void read_file(int dir, const char *name, struct mlimg_protect *protect)
{
	mlimg_autofree char *text = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	char shown[64];
	size_t size;

	mlimg_declared_show(name, shown);
	if (is_whiteout(dir, name))
		return;
	if (mlimg_declared_read(dir, name, &text, &size, &err) < 0)
		note(protect, "protected.d/%s", err.text);
	else
		mlimg_protect_parse(shown, text, size, protect);
}

static int read_dir(int dir, struct seen *seen, struct mlimg_protect *protect)
{
	struct dirent **names = NULL;
	int n = mlimg_declared_list(dir, &names), r = 0;

	if (n < 0)
		note(protect, "protected.d: %s", strerror(-n));
	for (int i = 0; i < n && r == 0; i++) {
		if (is_seen(seen, names[i]->d_name))
			continue;
		read_file(dir, names[i]->d_name, protect);
		r = add_seen(seen, names[i]->d_name);
	}
	mlimg_declared_free(names, n);
	return r;
}

/* Whether a layer hides the directory @path of those beneath it, or has something else there. */
static bool hides(int tree, const char *path)
{
	mlimg_autoclose int fd = mlimg_open_beneath_strict(tree, path, O_RDONLY | O_DIRECTORY);
	char value;

	if (fd < 0)
		return fd != -ENOENT;
	return fgetxattr(fd, MLIMG_XATTR_OPAQUE, &value, 1) == 1 && value == 'y';
}

int mlimg_protect_read(const struct mlimg_lowers *lowers, struct mlimg_protect *protect)
{
	mlimg_cleanup(seen_done) struct seen seen = {.n = 0};
	int r = 0;

	for (size_t i = 0; i < lowers->n && r == 0; i++) {
		int tree = lowers->fds[i];
		mlimg_autoclose int dir =
			mlimg_open_beneath_strict(tree, MLIMG_PROTECT_CONF, O_RDONLY | O_DIRECTORY);

		if (dir >= 0)
			r = read_dir(dir, &seen, protect);
		if (hides(tree, "etc") || hides(tree, "etc/mlimg") ||
			hides(tree, MLIMG_PROTECT_CONF))
			break;
	}
	return r;
}

int mlimg_protect_leave(int run_fd, const struct mlimg_protect *protect, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	FILE *f;

	unlinkat(run_fd, LEFT, 0);
	if (!protect->n_patterns)
		return 0;
	f = open_memstream(&text, &size);
	if (!f)
		return mlimg_err_set(err, ENOMEM, LEFT);
	for (size_t i = 0; i < protect->n_patterns; i++)
		fprintf(f, "/%s\n", protect->patterns[i]);
	if (fclose(f) != 0)
		return mlimg_err_set(err, ENOMEM, LEFT);
	return mlimg_replace_file(run_fd, LEFT, text, size, 0600, err);
}

int mlimg_protect_recall(int run_fd, struct mlimg_protect *protect, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_read_file(
		run_fd, LEFT, MLIMG_PROTECT_MAX * (MLIMG_DECLARED_PATH_MAX + 2), &text, &size, err);

	if (r == -ENOENT)
		return 0;
	if (r == 0)
		mlimg_protect_parse(LEFT, text, size, protect);
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
	for (size_t i = 0; i < protect->n_patterns; i++)
		if (is_in_line(protect->patterns[i], path))
			return true;
	return false;
}
