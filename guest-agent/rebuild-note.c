/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/base.h"
#include "guest-agent/rebuild.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/rebuild.h"
#include "libmlimg/text.h"

/* Each once, and only what something can make. */
void mlimg_rebuild_collect(struct mlimg_text *list, const char *path)
{
	char command[MLIMG_REBUILD_COMMAND_MAX];
	size_t size = strlen(path);

	if (!mlimg_rebuild_command(path, command))
		return;
	for (const char *at = list->data; at && *at; at = strchr(at, '\n') + 1)
		if (strncmp(at, path, size) == 0 && at[size] == '\n')
			return;
	mlimg_text_put(list, path, size);
	mlimg_text_put(list, "\n", 1);
}

/*
 * The lines of a file, each once. One that is not there, or is none that mlimg has written, has
 * none.
 */
static void add_lines(int dirfd, const char *name, struct mlimg_text *list)
{
	mlimg_autofree char *text = NULL;
	char *rest = NULL;
	size_t size;

	if (dirfd < 0 ||
		mlimg_read_beneath(dirfd, name, MLIMG_REBUILD_LIST_MAX, &text, &size, NULL) < 0)
		return;
	for (char *path = strtok_r(text, "\n", &rest); path; path = strtok_r(NULL, "\n", &rest))
		mlimg_rebuild_collect(list, path);
}

static int write_list(
	int fd, const char *name, const struct mlimg_text *list, struct mlimg_err *err)
{
	return mlimg_replace_file(fd, name, list->data, list->size, 0644, err);
}

int mlimg_rebuild_stage(
	int own_fd, int new_fd, const struct mlimg_text *list, struct mlimg_err *err)
{
	mlimg_autofree char *more = list->data ? strndup(list->data, list->size) : NULL;
	struct mlimg_text all = {.data = NULL};
	char *rest = NULL;
	int r;

	add_lines(own_fd, MLIMG_REBUILD_FILE, &all);
	add_lines(new_fd, MLIMG_REBUILD_FILE, &all);
	for (char *path = more ? strtok_r(more, "\n", &rest) : NULL; path;
		path = strtok_r(NULL, "\n", &rest))
		mlimg_rebuild_collect(&all, path);
	if (list->has_failed || all.has_failed || (list->data && !more))
		r = mlimg_err_set(err, ENOMEM, "list what is to be rebuilt");
	else
		r = all.size ? write_list(new_fd, MLIMG_REBUILD_FILE, &all, err) : 0;
	free(all.data);
	return r;
}

static void collect_of_layers(
	struct mlimg_text *list, const struct mlimg_mounted *layers, size_t n_layers)
{
	for (size_t i = 0; i < n_layers; i++)
		for (size_t k = 0; k < layers[i].info.n_rebuild; k++)
			mlimg_rebuild_collect(list, layers[i].info.rebuild[k]);
}

int mlimg_rebuild_stage_layers(int own_fd, int new_fd, const struct mlimg_mounted *layers,
	size_t n_layers, const struct mlimg_report *report, struct mlimg_err *err)
{
	struct mlimg_text list = {.data = NULL};
	int r;

	collect_of_layers(&list, layers, n_layers);
	for (size_t i = 0; i < report->n_rebuild; i++)
		mlimg_rebuild_collect(&list, report->rebuild[i]);
	r = mlimg_rebuild_stage(own_fd, new_fd, &list, err);
	free(list.data);
	return r;
}

static int note_new(const struct mlimg_rebuild_boot *boot, struct mlimg_err *err)
{
	struct mlimg_text list = {.data = NULL};
	int r = 0;

	collect_of_layers(&list, boot->layers, boot->n_layers);
	if (list.has_failed)
		r = mlimg_err_set(err, ENOMEM, "list what is to be rebuilt");
	else if (!list.size && boot->may_write)
		unlinkat(boot->dir_fd, MLIMG_REBUILD_FILE, 0);
	if (r == 0 && list.size && boot->may_write) {
		r = write_list(boot->dir_fd, MLIMG_REBUILD_FILE, &list, err);
		r = mlimg_is_no_room(r) ? 0 : r;
	}
	/* What was made for the stack before is gone. */
	if (r == 0 && boot->may_write)
		unlinkat(boot->dir_fd, MLIMG_REBUILD_DERIVED, 0);
	if (r == 0 && list.size)
		r = write_list(boot->root_fd, MLIMG_REBUILD_FILE, &list, err);
	free(list.data);
	return r;
}

/*
 * What was made and is not in the upper any more: a factory reset has set it aside, or it covered a
 * protected path. What the layers have there was made without the other layers. A whiteout, or what
 * is no directory above it, is the user's will.
 */
static void add_lost(const struct mlimg_rebuild_boot *boot, struct mlimg_text *list)
{
	mlimg_autofree char *text = NULL;
	char *rest = NULL;
	size_t size;

	if (boot->upper_fd < 0 ||
		mlimg_read_beneath(boot->dir_fd, MLIMG_REBUILD_DERIVED, MLIMG_REBUILD_LIST_MAX,
			&text, &size, NULL) < 0)
		return;
	for (char *path = strtok_r(text, "\n", &rest); path; path = strtok_r(NULL, "\n", &rest)) {
		mlimg_autoclose int fd =
			mlimg_open_beneath_strict(boot->upper_fd, path, O_PATH | O_NOFOLLOW);

		if (fd == -ENOENT)
			mlimg_rebuild_collect(list, path);
	}
}

/* What an earlier boot could not end, and what was lost since. */
static int note_old(const struct mlimg_rebuild_boot *boot, struct mlimg_err *err)
{
	struct mlimg_text list = {.data = NULL};
	int r = 0;

	add_lines(boot->dir_fd, MLIMG_REBUILD_FILE, &list);
	add_lost(boot, &list);
	if (list.has_failed)
		r = mlimg_err_set(err, ENOMEM, "list what is to be rebuilt");
	else if (list.size)
		r = write_list(boot->root_fd, MLIMG_REBUILD_FILE, &list, err);
	free(list.data);
	return r;
}

int mlimg_rebuild_note(const struct mlimg_rebuild_boot *boot, struct mlimg_err *err)
{
	unlinkat(boot->root_fd, MLIMG_REBUILD_FILE, 0);
	return boot->has_changed ? note_new(boot, err) : note_old(boot, err);
}
