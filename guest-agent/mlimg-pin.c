/* SPDX-License-Identifier: MIT */
/* `mlimg pin` and `mlimg unpin`: what no change of the stack touches. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/mlimg-cmd.h"
#include "guest-agent/pins.h"
#include "tools/cli.h"

static void pins_done(struct mlimg_pins *pins)
{
	free(pins->text);
}

static int put_pin(const struct mlimg_cmd *cmd, const char *path, bool is_pinned, bool has_changed,
	struct mlimg_err *err)
{
	if (mlimg_cmd_has(cmd, MLIMG_CMD_JSON))
		return mlimg_cmd_put_json(
			json_pack("{s:o,s:b,s:b}", "path", mlimg_cmd_json_path(path), "pinned",
				is_pinned, "changed", has_changed),
			JSON_COMPACT, err);
	mlimg_cmd_put_path(path);
	puts(!has_changed           ? ": is pinned already"
			: is_pinned ? ": pinned: when the stack changes it stays as it is"
				    : ": no longer pinned: the next change of the stack treats it "
				      "like any other");
	return 0;
}

/* A glob of the file as what it is meant for: a path, where mlimg has written it. */
static void put_glob(const char *glob)
{
	char path[MLIMG_PATH_GLOB_MAX + 1], *end = path;

	for (glob++; *glob; glob++) {
		glob += *glob == '\\' && glob[1];
		*end++ = *glob;
	}
	*end = '\0';
	mlimg_cmd_put_path(path);
	putchar('\n');
}

static int put_all(
	const struct mlimg_cmd *cmd, const struct mlimg_pins *pins, struct mlimg_err *err)
{
	mlimg_autojson json_t *all = json_array();
	char glob[MLIMG_PATH_GLOB_MAX + 1];

	for (size_t at = 0; mlimg_pins_next(pins, &at, glob);) {
		if (mlimg_cmd_has(cmd, MLIMG_CMD_JSON))
			json_array_append_new(all, mlimg_cmd_json_path(glob + 1));
		else
			put_glob(glob);
	}
	return mlimg_cmd_has(cmd, MLIMG_CMD_JSON)
		? mlimg_cmd_put_json(mlimg_steal(&all), JSON_COMPACT, err)
		: 0;
}

static int pin_one(struct mlimg_cmd *cmd, struct mlimg_pins *pins, const char *typed,
	bool is_pinned, struct mlimg_err *err)
{
	char path[MLIMG_PATH_MAX + 1], glob[MLIMG_PATH_GLOB_MAX + 1];
	char found[MLIMG_PATH_GLOB_MAX + 1] = "";
	int r = mlimg_view_resolve(cmd->view, typed, path, err);
	bool was_pinned;

	if (r == 0)
		r = mlimg_pins_glob(path, glob, err);
	if (r < 0)
		return r;
	was_pinned = mlimg_pins_find(pins, path, found);
	if (!is_pinned && was_pinned && strcmp(found, glob) != 0)
		return mlimg_err_set(err, 0, "'%s' is pinned by '%s'", glob, found);
	if (!is_pinned && !was_pinned)
		return mlimg_err_set(err, 0, "'%s' is not pinned", glob);
	if (was_pinned == is_pinned)
		return put_pin(cmd, path, is_pinned, false, err);
	if (mlimg_pins_set(pins, glob, is_pinned) < 0)
		return mlimg_err_set(err, ENOMEM, "pin '%s'", glob);
	r = mlimg_pins_write(cmd->view, pins, err);
	return r < 0 ? r : put_pin(cmd, path, is_pinned, true, err);
}

static int pin(struct mlimg_cmd *cmd, bool is_pinned, struct mlimg_err *err)
{
	mlimg_cleanup(pins_done) struct mlimg_pins pins = {.text = NULL};
	mlimg_autoclose int lock = -1;
	int r = cmd->view->boot ? 0 : mlimg_err_set(err, 0, "this system was not booted by mlimg");

	if (r == 0 && cmd->n_operands > 0)
		r = mlimg_cmd_need_kept(cmd, err);
	/* Who may not look into /run/mlimg cannot pin either, but list. */
	if (r == 0 && cmd->n_operands > 0 && cmd->view->root_fd >= 0) {
		lock = mlimg_queue_lock(cmd->view->root_fd, err);
		r = lock < 0 ? lock : 0;
	}
	if (r == 0)
		r = mlimg_pins_read(cmd->view, &pins, err);
	if (r == 0 && cmd->n_operands == 0)
		r = put_all(cmd, &pins, err);
	for (int i = 0; i < cmd->n_operands && r == 0; i++)
		r = pin_one(cmd, &pins, cmd->operands[i], is_pinned, err);
	return r;
}

int mlimg_cmd_pin(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	return pin(cmd, true, err);
}

int mlimg_cmd_unpin(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	return pin(cmd, false, err);
}
