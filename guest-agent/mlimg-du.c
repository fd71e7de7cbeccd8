/* SPDX-License-Identifier: MIT */
/* `mlimg du`: what the user layer spends, and on what. */
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guest-agent/carve.h"
#include "guest-agent/change.h"
#include "guest-agent/mlimg-cmd.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/unionfs.h"
#include "libmlimg/walk.h"
#include "tools/cli.h"

#define DEPTH 2 /* levels that are shown unless told otherwise */

struct sums {
	uint64_t copies, news; /* bytes as they are allocated */
};

/* A directory that is being summed up. */
struct level {
	size_t path_size;
	struct sums sums;
};

struct du {
	struct mlimg_cmd *cmd;
	struct mlimg_view_cursor *cursor;
	struct mlimg_view_found found;
	const char *top;               /* what is asked for */
	uint64_t depth;                /* levels below it that are shown */
	struct level *levels;          /* the root, and each directory down to the present one */
	size_t n, room;                /* room: bytes */
	void *inodes;                  /* of files with several names: tsearch(3)'s */
	json_t *rows;                  /* NULL: text */
	char path[MLIMG_PATH_MAX + 1]; /* of the last level */
};

/* --- output --- */

static void put_sizes(const struct sums *s)
{
	char used[MLIMG_CLI_SIZE_TEXT], copies[MLIMG_CLI_SIZE_TEXT], news[MLIMG_CLI_SIZE_TEXT];

	printf("%9s %9s %9s  ", mlimg_cli_format_size(s->copies + s->news, used),
		mlimg_cli_format_size(s->copies, copies), mlimg_cli_format_size(s->news, news));
}

static void put_row(struct du *d, const struct level *l)
{
	char path[MLIMG_PATH_MAX + 1];

	snprintf(path, sizeof(path), "%.*s", (int)l->path_size, d->path);
	if (!mlimg_path_is_within(path, d->top) ||
		mlimg_path_depth(path) - mlimg_path_depth(d->top) > d->depth)
		return;
	if (d->rows) {
		json_array_append_new(d->rows,
			json_pack("{s:o,s:I,s:I,s:I}", "path", mlimg_cmd_json_path(path),
				"used_bytes", (json_int_t)(l->sums.copies + l->sums.news),
				"copies_bytes", (json_int_t)l->sums.copies, "new_bytes",
				(json_int_t)l->sums.news));
		return;
	}
	put_sizes(&l->sums);
	mlimg_cmd_put_path(path);
	putchar('\n');
}

/* --- the upper --- */

static void pop(struct du *d)
{
	const struct level *l = &d->levels[--d->n];

	put_row(d, l);
	if (d->n == 0)
		return;
	d->levels[d->n - 1].sums.copies += l->sums.copies;
	d->levels[d->n - 1].sums.news += l->sums.news;
}

static int push(struct du *d, const char *path)
{
	if (mlimg_buffer_reserve(&d->levels, &d->room, (d->n + 1) * sizeof(*d->levels)) < 0)
		return -ENOMEM;
	strcpy(d->path, path);
	d->levels[d->n++] = (struct level){.path_size = strlen(path)};
	return 0;
}

static int by_inode(const void *a, const void *b)
{
	ino_t x = *(const ino_t *)a, y = *(const ino_t *)b;

	return x < y ? -1 : x > y;
}

/* @return 1 the first time that a file with several names is seen; 0; -ENOMEM */
static int is_first(struct du *d, const struct stat *st)
{
	ino_t *copy;
	ino_t **node;

	if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
		return 1;
	copy = malloc(sizeof(*copy));
	if (copy)
		*copy = st->st_ino;
	node = copy ? tsearch(copy, &d->inodes, by_inode) : NULL;
	if (node && *node == copy)
		return 1;
	free(copy);
	return node ? 0 : -ENOMEM;
}

static int see(const struct mlimg_entry *e, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	struct du *d = ctx;
	struct mlimg_err why = MLIMG_ERR_INIT;
	uint64_t bytes = (uint64_t)at->st->st_blocks * 512;
	int first;

	while (d->n > 0 && !mlimg_path_is_below(e->path, d->path)) {
		pop(d);
		d->path[d->n ? d->levels[d->n - 1].path_size : 0] = '\0';
	}
	if (e->type == MLIMG_DIR && push(d, e->path) < 0)
		return mlimg_err_set(err, ENOMEM, "sum up '/%s'", e->path);
	first = is_first(d, at->st);
	if (first < 0)
		return mlimg_err_set(err, ENOMEM, "sum up '/%s'", e->path);
	if (!first)
		return 0;
	/* What cannot be looked up is the user's at any rate. */
	if (mlimg_view_beneath(d->cursor, e->path, &d->found, &why) < 0)
		d->found.tree = NULL;
	if (d->found.tree && !mlimg_unionfs_is_meta(e->path))
		d->levels[d->n - 1].sums.copies += bytes;
	else
		d->levels[d->n - 1].sums.news += bytes;
	return 0;
}

static void pass_over(const char *path, int error, bool was_visited, void *ctx)
{
}

static int sum_upper(struct du *d, struct mlimg_err *err)
{
	int r = mlimg_walk_lenient(d->cmd->view->trees[0].fd,
		MLIMG_WALK_ONE_FS | MLIMG_WALK_NO_XATTRS, see, pass_over, d, err);

	while (d->n > 0) {
		if (r == 0)
			pop(d);
		else
			d->n--;
	}
	tdestroy(d->inodes, free);
	free(d->levels);
	return r;
}

/* --- what else is in the user layer --- */

static int add_blocks(const struct mlimg_entry *e, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	uint64_t *sum = ctx;
	uint64_t blocks = (uint64_t)at->st->st_blocks * 512;

	/* Each name has its part of a file with several. */
	*sum += S_ISDIR(at->st->st_mode) || at->st->st_nlink < 2 ? blocks
								 : blocks / at->st->st_nlink;
	return 0;
}

static int sum_tree(
	const struct du *d, const char *path, uint64_t *ret_bytes, struct mlimg_err *err)
{
	mlimg_autoclose int fd = mlimg_open_beneath_strict(
		d->cmd->view->user_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

	*ret_bytes = 0;
	if (fd < 0)
		return fd == -ENOENT ? 0 : mlimg_err_set(err, fd, "open '%s'", path);
	return mlimg_walk_lenient(fd, MLIMG_WALK_ONE_FS | MLIMG_WALK_NO_XATTRS, add_blocks,
		pass_over, ret_bytes, err);
}

static void put_other(struct du *d, json_t *json, const char *key, const char *text, uint64_t bytes)
{
	char size[MLIMG_CLI_SIZE_TEXT];

	if (json)
		json_object_set_new(json, key, json_integer((json_int_t)bytes));
	else
		printf("%9s  %s\n", mlimg_cli_format_size(bytes, size), text);
}

static int put_others(struct du *d, json_t *json, struct mlimg_err *err)
{
	uint64_t aside, undo, own, carved;
	int r = sum_tree(d, "mlimg/" MLIMG_CHANGE_ASIDE, &aside, err);

	if (r == 0)
		r = sum_tree(d, "mlimg/" MLIMG_CHANGE_UNDO, &undo, err);
	if (r == 0)
		r = sum_tree(d, "mlimg", &own, err);
	if (r == 0)
		r = sum_tree(d, MLIMG_CARVE_DIR, &carved, err);
	if (r < 0)
		return r;
	if (!json)
		puts("\nBeside these:");
	put_other(d, json, "aside_bytes", "what was set aside: yours to remove", aside);
	put_other(d, json, "undo_bytes", "for taking back the last change of the stack", undo);
	put_other(d, json, "own_bytes", "mlimg's own: what the stack was, reports",
		own > aside + undo ? own - aside - undo : 0);
	put_other(d, json, "carve_outs_bytes", "carve-outs", carved);
	return 0;
}

static int put_all(struct du *d, struct mlimg_err *err)
{
	mlimg_autojson json_t *json = mlimg_cmd_has(d->cmd, MLIMG_CMD_JSON) ? json_object() : NULL;
	int r;

	if (json) {
		d->rows = json_array();
		json_object_set_new(json, "directories", d->rows);
	} else {
		printf("%9s %9s %9s\n", "used", "copies", "new");
	}
	r = sum_upper(d, err);
	if (r == 0 && !*d->top && d->cmd->view->user_fd >= 0)
		r = put_others(d, json, err);
	if (r == 0 && json)
		r = mlimg_cmd_put_json(mlimg_steal(&json), JSON_INDENT(2), err);
	return r;
}

int mlimg_cmd_du(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	mlimg_autofree struct du *d = calloc(1, sizeof(*d));
	const char *typed = mlimg_cmd_operand(cmd, 0), *depth = cmd->values[MLIMG_CMD_DEPTH];
	char top[MLIMG_PATH_MAX + 1] = "";
	int r = typed ? mlimg_view_resolve(cmd->view, typed, top, err) : 0;

	if (!d)
		return mlimg_err_set(err, ENOMEM, "sum up");
	d->depth = DEPTH;
	if (r == 0 && depth)
		r = mlimg_cli_number(depth, 0, MLIMG_PATH_MAX, &d->depth, err);
	if (r < 0)
		return r;
	d->cmd = cmd;
	d->top = top;
	d->cursor = mlimg_view_cursor_new(cmd->view);
	if (!d->cursor)
		return mlimg_err_set(err, ENOMEM, "sum up");
	r = put_all(d, err);
	mlimg_view_cursor_free(d->cursor);
	return r;
}
