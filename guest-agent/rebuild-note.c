/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/base.h"
#include "guest-agent/rebuild.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/json.h"
#include "libmlimg/rebuild.h"
#include "libmlimg/text.h"

#define REPORT_MAX (64u << 20)

/* Each once, and only what something can make. */
static void add(struct mlimg_text *list, const char *path)
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
		add(list, path);
}

/* Without a report, or with one that is no JSON, nothing was dropped that somebody could miss. */
static void add_dropped(const struct mlimg_rebuild_boot *boot, struct mlimg_text *list)
{
	mlimg_autofree char *text = NULL;
	mlimg_autojson json_t *json = NULL;
	char name[48];
	size_t size, i;
	json_t *path;

	snprintf(name, sizeof(name), "reports/%" PRIu64 ".json", boot->generation);
	if (boot->dir_fd < 0 ||
		mlimg_read_beneath(boot->dir_fd, name, REPORT_MAX, &text, &size, NULL) < 0 ||
		mlimg_json_load("report", text, size, &json, NULL) < 0)
		return;
	json_array_foreach(json_object_get(json, "rebuild"), i, path)
	{
		if (json_is_string(path))
			add(list, json_string_value(path));
	}
}

static int write_list(
	int fd, const char *name, const struct mlimg_text *list, struct mlimg_err *err)
{
	return mlimg_replace_file(fd, name, list->data, list->size, 0644, err);
}

static int note_new(const struct mlimg_rebuild_boot *boot, struct mlimg_err *err)
{
	struct mlimg_text list = {.data = NULL};
	int r = 0;

	for (size_t i = 0; i < boot->n_layers; i++)
		for (size_t k = 0; k < boot->layers[i].info.n_rebuild; k++)
			add(&list, boot->layers[i].info.rebuild[k]);
	add_dropped(boot, &list);
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
			add(list, path);
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
