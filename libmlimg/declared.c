/* SPDX-License-Identifier: MIT */
#include "libmlimg/declared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

static bool has_only_names(const char *path)
{
	for (const char *part = path;; part++) {
		size_t len = strcspn(part, "/");

		if (len == 0 || (len <= 2 && strspn(part, ".") >= len))
			return false;
		part += len;
		if (!*part)
			return true;
	}
}

/* @line: printable and ending in NUL, @is_odd: since something in it was not */
static void take_line(const char *file, unsigned n, const char *line, bool is_odd,
	mlimg_declared_fn *fn, void *ctx)
{
	char flaw[MLIMG_DECLARED_PATH_MAX + 64] = "";

	if (line[0] != '/' || strlen(line + 1) > MLIMG_DECLARED_PATH_MAX || is_odd)
		snprintf(flaw, sizeof(flaw), "no absolute path of at most %d plain characters",
			MLIMG_DECLARED_PATH_MAX);
	else if (!has_only_names(line + 1))
		snprintf(flaw, sizeof(flaw), "'%.200s' has empty parts, \".\" or \"..\"", line);
	fn(file, n, *flaw ? NULL : line + 1, flaw, ctx);
}

static size_t strlen_without_blanks(const char *text, size_t len)
{
	while (len > 0 && strchr(" \t\r", text[len - 1]) && text[len - 1])
		len--;
	return len;
}

void mlimg_declared_parse(
	const char *file, const char *text, size_t size, mlimg_declared_fn *fn, void *ctx)
{
	const char *end = text + size;

	for (unsigned n = 1; text < end; n++) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t len = (size_t)((newline ? newline : end) - text);
		char line[MLIMG_DECLARED_PATH_MAX + 3];
		/* Blanks at the end, as editors leave them, are no part of it. */
		size_t n_shown = strlen_without_blanks(text, len);
		/* Longer ones are cut, and still too long. */
		size_t n_kept = n_shown < sizeof(line) ? n_shown : sizeof(line) - 1;
		bool is_odd = false;

		memcpy(line, text, n_kept);
		line[n_kept] = '\0';
		for (size_t i = 0; i < n_kept; i++)
			if (line[i] <= ' ' || line[i] > '~') {
				line[i] = '?';
				is_odd = true;
			}
		if (n_kept > 0 && line[0] != '#')
			take_line(file, n, line, is_odd, fn, ctx);
		text += len + 1;
	}
}

bool mlimg_declared_is_file(const char *name)
{
	size_t len = strlen(name);

	return name[0] != '.' && len > 5 && strcmp(name + len - 5, ".conf") == 0;
}

static int is_file(const struct dirent *entry)
{
	return mlimg_declared_is_file(entry->d_name);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int mlimg_declared_list(int dir_fd, struct dirent ***ret_names)
{
	int n = scandirat(dir_fd, ".", ret_names, is_file, by_name);

	return n < 0 ? -errno : n;
}

void mlimg_declared_free(struct dirent **names, int n)
{
	if (n < 0)
		return;
	while (n > 0)
		free(names[--n]);
	free(names);
}

void mlimg_declared_show(const char *name, char ret_text[64])
{
	snprintf(ret_text, 64, "%s", name);
	for (char *c = ret_text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

int mlimg_declared_read(
	int dir_fd, const char *name, char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	mlimg_autoclose int fd = mlimg_open_beneath_strict(
		dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	char shown[64];
	struct stat st;

	mlimg_declared_show(name, shown);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return mlimg_err_set(err, 0, "%s is no file that can be read", shown);
	return mlimg_read_fd(fd, shown, MLIMG_DECLARED_FILE_MAX, ret_text, ret_size, err);
}
