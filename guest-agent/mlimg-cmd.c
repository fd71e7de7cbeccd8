/* SPDX-License-Identifier: MIT */
#include "guest-agent/mlimg-cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/cli.h"

void mlimg_cmd_paint(const struct mlimg_cmd *cmd, enum mlimg_cmd_color color)
{
	static const char *const codes[] = {[MLIMG_COLOR_NONE] = "0",
		[MLIMG_COLOR_BOLD] = "1",
		[MLIMG_COLOR_RED] = "31",
		[MLIMG_COLOR_GREEN] = "32",
		[MLIMG_COLOR_YELLOW] = "33",
		[MLIMG_COLOR_CYAN] = "36"};

	if (cmd->has_color)
		printf("\033[%sm", codes[color]);
}

void mlimg_cmd_put_path(const char *path)
{
	char escaped[MLIMG_ESCAPED_SIZE];

	putchar('/');
	fputs(mlimg_manifest_escape(path, escaped), stdout);
}

json_t *mlimg_cmd_json_path(const char *path)
{
	mlimg_autofree char *escaped = malloc(4 * strlen(path) + 1);

	return escaped ? json_string(mlimg_manifest_escape(path, escaped)) : NULL;
}

json_t *mlimg_cmd_json_tree(const struct mlimg_view_tree *tree)
{
	static const char *const kinds[] = {[MLIMG_VIEW_UPPER] = "upper",
		[MLIMG_VIEW_KEPT] = "kept",
		[MLIMG_VIEW_COMPOSED] = "composed",
		[MLIMG_VIEW_LAYER] = "layer",
		[MLIMG_VIEW_INDEX] = "index"};

	if (!tree)
		return json_null();
	if (!tree->layer)
		return json_pack("{s:s}", "kind", kinds[tree->kind]);
	return json_pack("{s:s,s:s,s:s,s:s}", "kind", mlimg_kind_name(tree->layer->kind), "name",
		tree->layer->name, "version", tree->layer->version, "build_id",
		tree->layer->build_id);
}

void mlimg_cmd_put_time(FILE *out, int64_t seconds)
{
	time_t t = (time_t)seconds;
	char text[40];
	struct tm tm;

	if (localtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
		fputs(text, out);
	else
		fprintf(out, "%" PRId64, seconds);
}

int mlimg_cmd_put_json(json_t *json, size_t flags, struct mlimg_err *err)
{
	mlimg_autofree char *text = json ? json_dumps(json, flags) : NULL;

	json_decref(json);
	if (!text)
		return mlimg_err_set(err, ENOMEM, "write JSON");
	puts(text);
	return 0;
}

void mlimg_cmd_warn_skipped(struct mlimg_cmd *cmd)
{
	const struct mlimg_view *view = cmd->view;

	if (view->n_skipped == 0)
		return;
	/* Who is not root is not meant to read all. */
	cmd->has_failed = cmd->has_failed || !view->sent;
	if (view->n_skipped == 1)
		mlimg_cli_warn(MLIMG_CMD_PROG, "not looked at: %s", view->skipped);
	else
		mlimg_cli_warn(MLIMG_CMD_PROG, "not looked at: %s, and %" PRIu64 " more",
			view->skipped, view->n_skipped - 1);
}
