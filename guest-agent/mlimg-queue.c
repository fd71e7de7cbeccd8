/* SPDX-License-Identifier: MIT */
/*
 * `mlimg queue`, and what commands have in common that need the upper itself: it waits for the next
 * boot.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/mlimg-cmd.h"
#include "guest-agent/queue-run.h"
#include "libmlimg/io.h"
#include "tools/cli.h"

int mlimg_cmd_open_own(const struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	const struct mlimg_view *view = cmd->view;
	int r = mlimg_view_need_user(view, err), fd;

	if (r < 0)
		return r;
	if (view->mode != MLIMG_BOOT_NORMAL)
		return mlimg_err_set(err, 0,
			"this boot is '%s': nothing of the user layer can be changed in it",
			mlimg_boot_mode_name(view->mode));
	fd = openat(view->user_fd, "mlimg", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? mlimg_err_set(err, errno, "open '%s/user/mlimg'", view->root) : fd;
}

int mlimg_cmd_carry_out(struct mlimg_cmd *cmd, int own_fd, const struct mlimg_queue_op *ops,
	size_t n, struct mlimg_err *err)
{
	struct mlimg_queue_run run = {.user_fd = cmd->view->user_fd, .is_unionfs = true};
	int r;

	if (n == 0)
		return 0;
	if (!cmd->view->is_unionfs)
		return mlimg_queue_add(own_fd, ops, n, err);
	r = mlimg_queue_run_live(&run, ops, n, err);
	if (r == 0 && run.bad[0] && !run.number)
		return mlimg_err_set(err, 0, "%.300s: what was begun is '%s/user/mlimg/%s' now",
			run.bad, cmd->view->root, run.bad_name);
	return r > 0 ? mlimg_err_wrap(err, -EBUSY, "this waits for the next boot") : r;
}

const char *mlimg_cmd_when(const struct mlimg_cmd *cmd)
{
	return cmd->view->is_unionfs ? "" : "at the next boot ";
}

/* How much it is, in parentheses. */
static void put_amount(const struct mlimg_user_undo *undo)
{
	char size[MLIMG_CLI_SIZE_TEXT];

	mlimg_cli_format_size(undo->size_bytes, size);
	if (undo->entry->type == MLIMG_FILE) {
		printf(" (%s)", size);
		return;
	}
	if (undo->entry->type != MLIMG_DIR) {
		printf(" (%s)", mlimg_type_name(undo->entry->type));
		return;
	}
	printf(" (%" PRIu64 " %s, %s", undo->n_entries,
		mlimg_cli_noun(undo->n_entries, "entry", "entries"), size);
	if (undo->n_own > 0 && undo->shows)
		printf("; %" PRIu64 " of them in no layer", undo->n_own);
	putchar(')');
}

void mlimg_cmd_put_undo(const struct mlimg_user_undo *undo)
{
	if (undo->has == MLIMG_USER_HAS_WHITEOUT) {
		if (undo->shows)
			printf("it is there again, as %s has it", undo->shows->label);
		else
			fputs("what hides it goes, and no layer has anything there", stdout);
		return;
	}
	fputs("yours is set aside", stdout);
	put_amount(undo);
	if (undo->shows)
		printf(", and what %s has shows", undo->shows->label);
	else
		fputs(", and nothing is there: no layer has it", stdout);
	if (undo->from[0]) {
		fputs("; what it was renamed from shows again: ", stdout);
		mlimg_cmd_put_path(undo->from);
	}
}

void mlimg_cmd_put_end(const struct mlimg_cmd *cmd, size_t n_queued)
{
	if (mlimg_cmd_has(cmd, MLIMG_CMD_JSON))
		return;
	if (mlimg_cmd_has(cmd, MLIMG_CMD_DRY_RUN))
		puts("Nothing was done: --dry-run.");
	else if (n_queued > 0 && !cmd->view->is_unionfs)
		puts("Until then nothing changes there: 'mlimg queue' shows what waits, and takes "
		     "it back.");
}

/* --- mlimg queue --- */

static int put_queue(const struct mlimg_cmd *cmd, int own_fd, struct mlimg_err *err)
{
	struct mlimg_queue *queue = NULL;
	int r = mlimg_queue_read(own_fd, &queue, err);

	if (r < 0)
		return r;
	if (mlimg_cmd_has(cmd, MLIMG_CMD_JSON)) {
		r = mlimg_cmd_put_json(mlimg_queue_to_json(queue, queue->n), JSON_INDENT(2), err);
	} else {
		for (size_t i = 0; i < queue->n; i++) {
			printf("%-11s ", mlimg_queue_verb_name(queue->ops[i].verb));
			mlimg_cmd_put_path(queue->ops[i].path);
			putchar('\n');
		}
		if (queue->n == 0)
			puts("Nothing waits for the next boot.");
	}
	mlimg_queue_free(queue);
	return r;
}

static int put_cancelled(const struct mlimg_cmd *cmd, const char *path, struct mlimg_err *err)
{
	if (mlimg_cmd_has(cmd, MLIMG_CMD_JSON))
		return mlimg_cmd_put_json(
			json_pack("{s:o,s:b}", "path", mlimg_cmd_json_path(path), "cancelled", 1),
			JSON_COMPACT, err);
	mlimg_cmd_put_path(path);
	puts(": no longer waits for the next boot: it stays as it is");
	return 0;
}

static int cancel(const struct mlimg_cmd *cmd, int own_fd, const char *typed, struct mlimg_err *err)
{
	char path[MLIMG_PATH_MAX + 1];
	const char *paths[] = {path};
	uint32_t n = 0;
	int r = mlimg_view_resolve(cmd->view, typed, path, err);

	if (r == 0)
		r = mlimg_queue_cancel(own_fd, paths, 1, &n, err);
	if (r == 0 && n == 0)
		return mlimg_err_set(err, 0, "'/%s': nothing waits for the next boot there", path);
	return r < 0 ? r : put_cancelled(cmd, path, err);
}

int mlimg_cmd_queue(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	bool is_cancel = mlimg_cmd_has(cmd, MLIMG_CMD_CANCEL);
	mlimg_autoclose int own_fd = -1;
	int r = 0;

	if (is_cancel && cmd->n_operands == 0)
		return mlimg_err_usage(err, "'queue --cancel' needs a path");
	if (!is_cancel && cmd->n_operands > 0)
		return mlimg_err_usage(err, "queue: unexpected operand '%s'", cmd->operands[0]);
	own_fd = mlimg_cmd_open_own(cmd, err);
	if (own_fd < 0)
		return own_fd;
	if (!is_cancel)
		return put_queue(cmd, own_fd, err);
	for (int i = 0; i < cmd->n_operands && r == 0; i++)
		r = cancel(cmd, own_fd, cmd->operands[i], err);
	return r;
}
