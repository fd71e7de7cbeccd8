/* SPDX-License-Identifier: MIT */
#include "guest-agent/pins.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path-class.h"

#define PATH MLIMG_PINS_DIR "/" MLIMG_PINS_FILE
#define HEAD "# Made by 'mlimg pin'.\n"
#define CLASS " keep"

int mlimg_pins_read(const struct mlimg_view *view, struct mlimg_pins *ret, struct mlimg_err *err)
{
	mlimg_autoclose int fd = mlimg_open_beneath(
		view->merged_fd, PATH, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

	*ret = (struct mlimg_pins){.text = NULL};
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd < 0)
		return mlimg_err_set(err, fd, "open '/" PATH "'");
	return mlimg_read_fd(fd, "/" PATH, MLIMG_CLASS_FILE_MAX, &ret->text, &ret->size, err);
}

int mlimg_pins_glob(const char *path, char ret_glob[MLIMG_PATH_GLOB_MAX + 1], struct mlimg_err *err)
{
	char *at = ret_glob, *end = ret_glob + MLIMG_PATH_GLOB_MAX - 2;

	if (!*path)
		return mlimg_err_set(err, EINVAL, "the root cannot be pinned");
	for (*at++ = '/'; *path && at < end; path++) {
		if (*path == '\n')
			break;
		if (strchr("*?[]\\ \t", *path))
			*at++ = '\\';
		*at++ = *path;
	}
	*at = '\0';
	if (*path)
		return mlimg_err_set(err, EINVAL, "'%.200s...' cannot be pinned: %s", ret_glob,
			*path == '\n' ? "a newline in a name" : "it is too long");
	return 0;
}

/* The glob of a line that is a pin. */
static bool take_line(const char *line, size_t size, char ret_glob[MLIMG_PATH_GLOB_MAX + 1])
{
	size_t class_size = strlen(CLASS);

	if (size <= class_size || line[0] != '/' ||
		memcmp(line + size - class_size, CLASS, class_size) != 0)
		return false;
	size -= class_size;
	if (size > MLIMG_PATH_GLOB_MAX)
		return false;
	memcpy(ret_glob, line, size);
	ret_glob[size] = '\0';
	return true;
}

bool mlimg_pins_next(
	const struct mlimg_pins *pins, size_t *at, char ret_glob[MLIMG_PATH_GLOB_MAX + 1])
{
	while (*at < pins->size) {
		const char *line = pins->text + *at;
		size_t size = strcspn(line, "\n");

		*at += size + 1;
		if (take_line(line, size, ret_glob))
			return true;
	}
	return false;
}

bool mlimg_pins_find(
	const struct mlimg_pins *pins, const char *path, char ret_glob[MLIMG_PATH_GLOB_MAX + 1])
{
	char own[MLIMG_PATH_GLOB_MAX + 1], glob[MLIMG_PATH_GLOB_MAX + 1];
	bool has_own = mlimg_pins_glob(path, own, NULL) == 0, is_pinned = false;

	for (size_t at = 0; mlimg_pins_next(pins, &at, glob);) {
		if (!mlimg_path_is_in_glob(path, glob + 1))
			continue;
		strcpy(ret_glob, glob);
		is_pinned = true;
		if (has_own && strcmp(own, glob) == 0)
			break;
	}
	return is_pinned;
}

int mlimg_pins_set(struct mlimg_pins *pins, const char *glob, bool is_pinned)
{
	size_t room = pins->size + strlen(HEAD) + strlen(glob) + strlen(CLASS) + 3;
	char *text = malloc(room), *end = text;
	char found[MLIMG_PATH_GLOB_MAX + 1];

	if (!text)
		return -ENOMEM;
	if (!pins->size)
		end = stpcpy(end, HEAD);
	for (size_t at = 0; at < pins->size;) {
		const char *line = pins->text + at;
		size_t size = strcspn(line, "\n");

		at += size + 1;
		if (!is_pinned && take_line(line, size, found) && strcmp(found, glob) == 0)
			continue;
		end = mempcpy(end, line, size);
		*end++ = '\n';
	}
	if (is_pinned)
		end += sprintf(end, "%s" CLASS "\n", glob);
	free(pins->text);
	*end = '\0';
	pins->text = text;
	pins->size = (size_t)(end - text);
	return 0;
}

/* The class files' own reader must take it. */
static int check(const struct mlimg_pins *pins, struct mlimg_err *err)
{
	struct mlimg_path_classes *classes = mlimg_path_classes_new();
	int r = classes ? mlimg_path_classes_add(classes, "/" PATH, pins->text, pins->size, err)
			: mlimg_err_set(err, ENOMEM, "read '/" PATH "'");

	mlimg_path_classes_free(classes);
	return r;
}

static int open_dir(const struct mlimg_view *view, struct mlimg_err *err)
{
	int fd;

	for (const char *slash = MLIMG_PINS_DIR; slash; slash = strchr(slash + 1, '/')) {
		char dir[sizeof(MLIMG_PINS_DIR)] = "";

		memcpy(dir, MLIMG_PINS_DIR, (size_t)(slash - MLIMG_PINS_DIR));
		if (dir[0] && mkdirat(view->merged_fd, dir, 0755) < 0 && errno != EEXIST)
			return mlimg_err_set(err, errno, "make '/%s'", dir);
	}
	if (mkdirat(view->merged_fd, MLIMG_PINS_DIR, 0755) < 0 && errno != EEXIST)
		return mlimg_err_set(err, errno, "make '/" MLIMG_PINS_DIR "'");
	fd = mlimg_open_beneath(view->merged_fd, MLIMG_PINS_DIR, O_RDONLY | O_DIRECTORY);
	return fd < 0 ? mlimg_err_set(err, fd, "open '/" MLIMG_PINS_DIR "'") : fd;
}

int mlimg_pins_write(
	const struct mlimg_view *view, const struct mlimg_pins *pins, struct mlimg_err *err)
{
	char glob[MLIMG_PATH_GLOB_MAX + 1];
	mlimg_autoclose int dir_fd = -1;
	size_t at = 0;
	int r = check(pins, err);

	if (r < 0)
		return r;
	dir_fd = open_dir(view, err);
	if (dir_fd < 0)
		return dir_fd;
	/* Without a pin only what was written with it is left. */
	if (!mlimg_pins_next(pins, &at, glob) && strcmp(pins->text, HEAD) == 0)
		return unlinkat(dir_fd, MLIMG_PINS_FILE, 0) < 0 && errno != ENOENT
			? mlimg_err_set(err, errno, "remove '/" PATH "'")
			: 0;
	return mlimg_replace_file(dir_fd, MLIMG_PINS_FILE, pins->text, pins->size, 0644, err);
}
