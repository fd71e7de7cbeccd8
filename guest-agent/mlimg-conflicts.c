/* SPDX-License-Identifier: MIT */
/* `mlimg conflicts`: what was set aside or put beside when the stack changed, and is still there. */
#include <inttypes.h>

#include "guest-agent/conflicts.h"
#include "guest-agent/mlimg-cmd.h"

struct conflicts {
	struct mlimg_cmd *cmd;
	uint64_t n;
};

static int put_json(const struct mlimg_conflict *c, struct mlimg_err *err)
{
	return mlimg_cmd_put_json(
		json_pack("{s:o,s:s,s:o,s:I,s:s,s:s*,s:s*,s:s*}", "path",
			mlimg_cmd_json_path(c->path), "done", c->done, "at",
			mlimg_cmd_json_path(c->at), "generation", (json_int_t)c->generation,
			"verdict", c->verdict, "class", c->class, "why", c->why, "resolved",
			mlimg_keep_way_name(c->way)),
		JSON_COMPACT, err);
}

static int put(const struct mlimg_conflict *c, void *ctx, struct mlimg_err *err)
{
	struct conflicts *all = ctx;
	bool is_open = mlimg_conflict_is_open(c);

	if (!is_open && !(c->way && mlimg_cmd_has(all->cmd, MLIMG_CMD_ALL)))
		return 0;
	all->n++;
	if (mlimg_cmd_has(all->cmd, MLIMG_CMD_JSON))
		return put_json(c, err);
	mlimg_cmd_paint(all->cmd, is_open ? MLIMG_COLOR_YELLOW : MLIMG_COLOR_GREEN);
	printf("%-7s", c->is_aside ? "aside" : "beside");
	mlimg_cmd_paint(all->cmd, MLIMG_COLOR_NONE);
	mlimg_cmd_put_path(c->path);
	if (c->is_aside)
		printf("  (yours: %s/user/mlimg", all->cmd->view->root);
	else
		fputs("  (the system's: ", stdout);
	mlimg_cmd_put_path(c->at);
	if (!c->is_there)
		fputs(", gone", stdout);
	printf("; generation %" PRIu64, c->generation);
	if (c->way)
		printf("; resolved: %s", mlimg_keep_way_name(c->way));
	puts(")");
	return 0;
}

int mlimg_cmd_conflicts(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	struct conflicts all = {.cmd = cmd};
	int r = mlimg_conflicts_find(cmd->view, put, &all, err);

	if (r == 0 && all.n == 0 && !mlimg_cmd_has(cmd, MLIMG_CMD_JSON))
		puts("There are no conflicts.");
	return r;
}
