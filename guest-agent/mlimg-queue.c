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

#include "guest-agent/conflicts.h"
#include "guest-agent/mlimg-cmd.h"
#include "guest-agent/queue-run.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "tools/cli.h"

MLIMG_DEFINE_CLEANUP(struct mlimg_queue, mlimg_queue_free)

int mlimg_cmd_need_kept(const struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	enum mlimg_boot_mode mode = cmd->view->mode;

	return mode == MLIMG_BOOT_NORMAL
		? 0
		: mlimg_err_set(err, 0,
			  "this boot is '%s': nothing of the user layer can be changed in it",
			  mlimg_boot_mode_name(mode));
}

static int open_own(const struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	const struct mlimg_view *view = cmd->view;
	int r = mlimg_view_need_user(view, err), fd;

	if (r < 0)
		return r;
	fd = openat(view->user_fd, "mlimg", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? mlimg_err_set(err, errno, "open '%s/user/mlimg'", view->root) : fd;
}

int mlimg_cmd_open_own(const struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	int r = mlimg_view_need_user(cmd->view, err);

	if (r == 0)
		r = mlimg_cmd_need_kept(cmd, err);
	return r < 0 ? r : open_own(cmd, err);
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

/* @return NULL when it cannot be known; @err nothing where this is for want of rights */
static struct mlimg_queue *read_queue(const struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	const struct mlimg_view *view = cmd->view;
	mlimg_autoclose int own_fd = view->user_fd < 0
		? -1
		: mlimg_open_beneath_strict(view->user_fd, "mlimg", O_RDONLY | O_DIRECTORY);
	struct mlimg_queue *queue;

	return own_fd < 0 || mlimg_queue_read(own_fd, &queue, err) < 0 ? NULL : queue;
}

struct mlimg_queue *mlimg_cmd_queue_if_known(struct mlimg_cmd *cmd)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_queue *queue = read_queue(cmd, &err);

	if (queue || !err.code)
		return queue;
	mlimg_cli_warn(MLIMG_CMD_PROG, "what waits for the next boot: %s", err.text);
	if (err.kind == MLIMG_ERR_REFUSED)
		cmd->is_damaged = true;
	else
		cmd->has_failed = true;
	return NULL;
}

const char *mlimg_cmd_queued(const struct mlimg_queue *queue, const char *path)
{
	const struct mlimg_queue_op *op;
	char above[MLIMG_PATH_MAX + 1];

	for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
		snprintf(above, sizeof(above), "%.*s", (int)(slash - path), path);
		op = mlimg_queue_find(queue, above);
		/* Of others what the user has in there stays. */
		if (op && (op->verb == MLIMG_QUEUE_RESET || op->verb == MLIMG_QUEUE_RESET_ALL))
			return mlimg_queue_verb_name(op->verb);
	}
	op = mlimg_queue_find(queue, path);
	return op ? mlimg_queue_verb_name(op->verb) : NULL;
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

/* What one operand takes back. */
struct cancelling {
	char path[MLIMG_PATH_MAX + 1]; /* what waits there */
	const struct mlimg_queue *queue;
	/* Of a conflict that was resolved for the system's, which is why it waits: */
	bool is_reopened;
	uint64_t generation;
	char beside[MLIMG_PATH_MAX + 1]; /* the system's, which waits with it */
};

/*
 * `mlimg resolve --keep theirs` has queued both, and noted that it is resolved. A note that is
 * gone while both still wait was taken back by one who could not go on.
 */
static int see(const struct mlimg_conflict *found, void *ctx, struct mlimg_err *err)
{
	struct cancelling *c = ctx;

	if (c->is_reopened || found->is_aside ||
		(strcmp(found->path, c->path) != 0 && strcmp(found->at, c->path) != 0) ||
		!mlimg_queue_find(c->queue, found->at))
		return 0;
	if (found->way != MLIMG_KEEP_THEIRS &&
		(found->way || !mlimg_queue_find(c->queue, found->path)))
		return 0;
	c->is_reopened = true;
	c->generation = found->generation;
	snprintf(c->beside, sizeof(c->beside), "%s", found->at);
	snprintf(c->path, sizeof(c->path), "%s", found->path);
	return 0;
}

static int put_cancelled(
	const struct mlimg_cmd *cmd, const struct cancelling *c, struct mlimg_err *err)
{
	if (mlimg_cmd_has(cmd, MLIMG_CMD_JSON))
		return mlimg_cmd_put_json(
			json_pack("{s:o,s:b,s:b}", "path", mlimg_cmd_json_path(c->path),
				"cancelled", 1, "reopened", c->is_reopened),
			JSON_COMPACT, err);
	mlimg_cmd_put_path(c->path);
	fputs(": no longer waits for the next boot: it stays as it is", stdout);
	puts(c->is_reopened ? ", and in conflict" : "");
	return 0;
}

static int take_back(const struct cancelling *c, int own_fd, struct mlimg_err *err)
{
	const char *const paths[] = {c->path, c->beside};
	uint32_t n;
	int r;

	if (c->is_reopened)
		return mlimg_resolved_take_back(own_fd, c->generation, paths, 2, &n, err);
	r = mlimg_queue_cancel(own_fd, paths, 1, &n, err);
	return r < 0 ? mlimg_err_wrap(err, r, MLIMG_RESOLVED_NOT_BACK, c->path) : 0;
}

/* @return whether one of the first @n has taken it back with its own */
static bool is_taken_back(const struct cancelling *all, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(all[i].path, all[n].path) == 0 ||
			(all[i].is_reopened && strcmp(all[i].beside, all[n].path) == 0))
			return true;
	return false;
}

static int cancel(const struct mlimg_cmd *cmd, int own_fd, struct cancelling *all, int i,
	struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_queue_free_cleanup) struct mlimg_queue *queue = NULL;
	struct mlimg_err why = MLIMG_ERR_INIT;
	struct cancelling *c = &all[i];
	int r = mlimg_view_resolve(cmd->view, cmd->operands[i], c->path, err);

	if (r == 0)
		r = mlimg_queue_read(own_fd, &queue, err);
	if (r < 0)
		return r;
	c->queue = queue;
	if (!mlimg_queue_find(queue, c->path))
		return is_taken_back(all, i)
			? 0
			: mlimg_err_set(
				  err, 0, "'/%s': nothing waits for the next boot there", c->path);
	/* What is damaged there is no reason to do what nobody wants any more. */
	if (mlimg_conflicts_find(cmd->view, see, c, &why) < 0)
		mlimg_cli_warn(MLIMG_CMD_PROG, "conflicts are not looked at: %s", why.text);
	r = take_back(c, own_fd, err);
	return r < 0 ? r : put_cancelled(cmd, c, err);
}

static int cancel_all(const struct mlimg_cmd *cmd, int own_fd, struct mlimg_err *err)
{
	mlimg_autofree struct cancelling *all = calloc((size_t)cmd->n_operands, sizeof(*all));
	int r = all ? 0 : mlimg_err_set(err, ENOMEM, "begin");

	for (int i = 0; i < cmd->n_operands && r == 0; i++)
		r = cancel(cmd, own_fd, all, i, err);
	return r;
}

int mlimg_cmd_queue(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	bool is_cancel = mlimg_cmd_has(cmd, MLIMG_CMD_CANCEL);
	mlimg_autoclose int own_fd = -1;

	if (is_cancel && cmd->n_operands == 0)
		return mlimg_err_usage(err, "'queue --cancel' needs a path");
	if (!is_cancel && cmd->n_operands > 0)
		return mlimg_err_usage(err, "queue: unexpected operand '%s'", cmd->operands[0]);
	own_fd = is_cancel ? mlimg_cmd_open_own(cmd, err) : open_own(cmd, err);
	if (own_fd < 0)
		return own_fd;
	return is_cancel ? cancel_all(cmd, own_fd, err) : put_queue(cmd, own_fd, err);
}
