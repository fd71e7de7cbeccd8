/* SPDX-License-Identifier: MIT */
/* `mlimg reset` and `mlimg undelete`: what a layer has shows again. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/mlimg-cmd.h"
#include "guest-agent/put-file.h"
#include "libmlimg/io.h"
#include "libmlimg/path-class.h"
#include "libmlimg/whiteout.h"
#include "tools/cli.h"

/* A path, and what is to be done there. */
struct undoing {
	char path[MLIMG_PATH_MAX + 1];
	struct mlimg_user_undo undo;
	enum mlimg_queue_verb verb; /* 0: nothing is queued */
	bool is_copy;               /* a copy of what a layer has is put there */
	const char *op_path;        /* of the operation */
};

/* --- reset --- */

/* Records of these name things that stay where they are. */
static int refuse_database(const struct mlimg_user_undo *undo, struct mlimg_err *err)
{
	const char *path = undo->database->path;
	bool is_accounts = strncmp(path, "etc/", 4) == 0;

	return mlimg_err_set(err, 0,
		is_accounts ? "'/%s' goes only with --force: accounts that you have made would be "
			      "gone, and their files nobody's"
			    : "'/%s' goes only with --force: packages that you have installed "
			      "would be unknown, and their files would stay",
		path);
}

static int plan_reset(const struct mlimg_cmd *cmd, struct undoing *u, struct mlimg_err *err)
{
	const struct mlimg_user_undo *undo = &u->undo;

	switch (undo->has) {
	case MLIMG_USER_HAS_NOTHING:
		return undo->shows ? 0 : mlimg_err_set(err, ENOENT, "'/%s'", u->path);
	case MLIMG_USER_HAS_ABOVE:
		return mlimg_err_set(err, 0, "'/%s': '/%s' is %s, which hides it: reset that",
			u->path, undo->entry->path,
			mlimg_entry_is_whiteout(undo->entry) ? "deleted" : "no directory");
	case MLIMG_USER_HAS_OPAQUE:
		return undo->shows ? mlimg_err_set(err, 0,
					     "'/%s': '/%s' shows nothing of what the layers have "
					     "in it: 'mlimg "
					     "undelete' brings it back",
					     u->path, undo->entry->path)
				   : mlimg_err_set(err, ENOENT, "'/%s'", u->path);
	case MLIMG_USER_HAS_WHITEOUT:
	case MLIMG_USER_HAS_ENTRY: break;
	}
	if (undo->n_entries > 1 && !mlimg_cmd_has(cmd, MLIMG_CMD_RECURSIVE))
		return mlimg_err_set(err, 0,
			"'/%s' is a directory, and %" PRIu64 " %s of yours in it: --recursive",
			u->path, undo->n_entries - 1,
			mlimg_cli_noun(undo->n_entries - 1, "entry is", "entries are"));
	if (undo->database && !mlimg_cmd_has(cmd, MLIMG_CMD_FORCE))
		return refuse_database(undo, err);
	/* What is made in a directory until the boot is not asked about. */
	u->verb = undo->entry->type == MLIMG_DIR && mlimg_cmd_has(cmd, MLIMG_CMD_FORCE)
		? MLIMG_QUEUE_RESET_ALL
		: MLIMG_QUEUE_RESET;
	return 0;
}

/* --- undelete --- */

static int plan_opaque(const struct mlimg_cmd *cmd, struct undoing *u, struct mlimg_err *err)
{
	if (mlimg_cmd_has(cmd, MLIMG_CMD_ALL)) {
		u->verb = MLIMG_QUEUE_TRANSPARENT;
		u->op_path = u->undo.entry->path;
		return 0;
	}
	if (u->undo.has == MLIMG_USER_HAS_ENTRY)
		return mlimg_err_set(err, 0,
			"'/%s' is there, and shows nothing of what the layers have in it: --all "
			"brings all of that back",
			u->path);
	if (u->undo.shows_type == MLIMG_DIR)
		return mlimg_err_set(err, 0,
			"'/%s' is a directory in one that shows nothing of the layers: --all "
			"brings back all that they have in '/%s'",
			u->path, u->undo.entry->path);
	u->is_copy = true;
	return 0;
}

static int plan_undelete(const struct mlimg_cmd *cmd, struct undoing *u, struct mlimg_err *err)
{
	const struct mlimg_user_undo *undo = &u->undo;

	if (!undo->shows && undo->has != MLIMG_USER_HAS_ENTRY)
		return mlimg_err_set(err, 0, "'/%s': no layer has it", u->path);
	switch (undo->has) {
	case MLIMG_USER_HAS_NOTHING: return 0;
	case MLIMG_USER_HAS_WHITEOUT: u->verb = MLIMG_QUEUE_RESTORE; return 0;
	case MLIMG_USER_HAS_OPAQUE: return plan_opaque(cmd, u, err);
	case MLIMG_USER_HAS_ENTRY:
		return undo->shows && undo->entry->type == MLIMG_DIR &&
				mlimg_entry_is_opaque(undo->entry)
			? plan_opaque(cmd, u, err)
			: 0;
	case MLIMG_USER_HAS_ABOVE: break;
	}
	return mlimg_entry_is_whiteout(undo->entry)
		? mlimg_err_set(err, 0, "'/%s' was deleted with '/%s': undelete that", u->path,
			  undo->entry->path)
		: mlimg_err_set(err, 0, "'/%s': '/%s' is no directory now: reset that", u->path,
			  undo->entry->path);
}

/* --- both --- */

static int put_copy(const struct mlimg_view *view, const struct undoing *u, struct mlimg_err *err)
{
	const struct mlimg_view_found *from = &u->undo.beneath;
	const char *name, *to;
	mlimg_autoclose int to_fd =
		mlimg_open_parent_strict(view->merged_fd, u->path, O_RDONLY, &to);
	mlimg_autoclose int from_fd = to_fd < 0
		? to_fd
		: mlimg_open_parent_strict(from->tree->fd, from->path, O_RDONLY, &name);
	int r = from_fd;

	if (r >= 0)
		r = mlimg_put_copy(from_fd, name, to_fd, to, NULL);
	return r < 0 ? mlimg_err_set(err, r, "bring back '/%s'", u->path) : 0;
}

static void put_text(const struct mlimg_cmd *cmd, const struct undoing *u)
{
	const struct mlimg_user_undo *undo = &u->undo;

	mlimg_cmd_put_path(u->path);
	fputs(": ", stdout);
	if (u->is_copy) {
		printf("a copy of what %s has is there", undo->shows->label);
	} else if (u->verb == MLIMG_QUEUE_TRANSPARENT) {
		fputs(mlimg_cmd_when(cmd), stdout);
		fputs("all shows again that the layers have in ", stdout);
		mlimg_cmd_put_path(u->op_path);
	} else if (u->verb) {
		fputs(mlimg_cmd_when(cmd), stdout);
		mlimg_cmd_put_undo(undo);
	} else if (undo->has == MLIMG_USER_HAS_NOTHING) {
		printf("nothing to do: what %s has shows", undo->shows->label);
	} else {
		fputs("nothing to do: it is there, and yours", stdout);
	}
	putchar('\n');
}

static int put_json(const struct mlimg_cmd *cmd, const struct undoing *u, struct mlimg_err *err)
{
	const struct mlimg_user_undo *undo = &u->undo;
	const char *operation = u->is_copy ? "copy"
		: u->verb                  ? mlimg_queue_verb_name(u->verb)
					   : NULL;

	return mlimg_cmd_put_json(
		json_pack("{s:o,s:s?,s:s?,s:b,s:I,s:I,s:I,s:o}", "path",
			mlimg_cmd_json_path(u->path), "operation", operation, "when",
			!operation                                    ? NULL
				: u->is_copy || cmd->view->is_unionfs ? "now"
								      : "next-boot",
			"dry_run", mlimg_cmd_has(cmd, MLIMG_CMD_DRY_RUN), "entries",
			(json_int_t)undo->n_entries, "own", (json_int_t)undo->n_own, "size_bytes",
			(json_int_t)undo->size_bytes, "shows", mlimg_cmd_json_tree(undo->shows)),
		JSON_COMPACT, err);
}

/* What is queued is queued all at once, or not at all. */
static int carry_out(struct mlimg_cmd *cmd, int own_fd, struct undoing *all, size_t *ret_n,
	struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_queue_op *ops = calloc((size_t)cmd->n_operands, sizeof(*ops));
	int r = 0;

	*ret_n = 0;
	if (!ops)
		return mlimg_err_set(err, ENOMEM, "queue");
	for (int i = 0; i < cmd->n_operands; i++)
		if (all[i].verb)
			ops[(*ret_n)++] = (struct mlimg_queue_op){all[i].verb,
				(char *)(uintptr_t)(all[i].op_path ? all[i].op_path : all[i].path)};
	if (mlimg_cmd_has(cmd, MLIMG_CMD_DRY_RUN))
		return 0;
	for (int i = 0; i < cmd->n_operands && r == 0; i++)
		if (all[i].is_copy)
			r = put_copy(cmd->view, &all[i], err);
	return r < 0 ? r : mlimg_cmd_carry_out(cmd, own_fd, ops, *ret_n, err);
}

typedef int plan_fn(const struct mlimg_cmd *cmd, struct undoing *u, struct mlimg_err *err);

static int plan(struct mlimg_cmd *cmd, plan_fn *fn, struct undoing *all, struct mlimg_err *err)
{
	int r = 0;

	for (int i = 0; i < cmd->n_operands && r == 0; i++) {
		r = mlimg_view_resolve(cmd->view, cmd->operands[i], all[i].path, err);
		if (r == 0 && !all[i].path[0])
			r = mlimg_err_set(err, 0,
				"the whole root: for that there is the factory reset, see "
				"mlimg-boot(7)");
		if (r == 0)
			r = mlimg_user_undo_of(cmd->view, all[i].path, &all[i].undo, err);
		if (r == 0)
			r = fn(cmd, &all[i], err);
	}
	return r;
}

static int undo(struct mlimg_cmd *cmd, plan_fn *fn, struct mlimg_err *err)
{
	mlimg_autofree struct undoing *all = calloc((size_t)cmd->n_operands, sizeof(*all));
	mlimg_autoclose int own_fd = mlimg_cmd_open_own(cmd, err);
	size_t n_queued = 0;
	int r = own_fd < 0 ? own_fd : 0;

	if (r == 0 && !all)
		r = mlimg_err_set(err, ENOMEM, "begin");
	if (r == 0)
		r = plan(cmd, fn, all, err);
	if (r == 0)
		r = carry_out(cmd, own_fd, all, &n_queued, err);
	for (int i = 0; i < cmd->n_operands && r == 0; i++) {
		if (mlimg_cmd_has(cmd, MLIMG_CMD_JSON))
			r = put_json(cmd, &all[i], err);
		else
			put_text(cmd, &all[i]);
	}
	if (r == 0)
		mlimg_cmd_put_end(cmd, n_queued);
	return r;
}

int mlimg_cmd_reset(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	return undo(cmd, plan_reset, err);
}

int mlimg_cmd_undelete(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	return undo(cmd, plan_undelete, err);
}
