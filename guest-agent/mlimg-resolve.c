/* SPDX-License-Identifier: MIT */
/* `mlimg resolve`: which of two files it is to be, where a change of the stack has left both. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guest-agent/resolve-impl.h"
#include "guest-agent/view-classes.h"
#include "libmlimg/io.h"
#include "tools/cli.h"

/* --- which --- */

static int see(const struct mlimg_conflict *c, void *ctx, struct mlimg_err *err)
{
	struct resolving *v = ctx;
	bool is_open = mlimg_conflict_is_open(c);

	/* What lies beside is another name of it. */
	if (strcmp(c->path, v->path) != 0 && (c->is_aside || strcmp(c->at, v->path) != 0))
		return 0;
	if (v->is_found && (v->is_open || !is_open))
		return 0;
	v->is_found = true;
	v->is_open = is_open;
	v->is_aside = c->is_aside;
	v->is_there = c->is_there;
	v->generation = c->generation;
	snprintf(v->at, sizeof(v->at), "%s", c->at);
	snprintf(v->path, sizeof(v->path), "%s", c->path);
	return 0;
}

static int look_at_root(struct resolving *v, struct mlimg_err *err)
{
	v->dir_fd = mlimg_open_parent_strict(v->cmd->view->merged_fd, v->path, O_RDONLY, &v->name);
	v->type = 0;
	if (v->dir_fd == -ENOENT || v->dir_fd == -ENOTDIR) {
		v->dir_fd = -1;
		return 0;
	}
	if (v->dir_fd < 0)
		return mlimg_err_set(err, v->dir_fd, "open the directory of '/%s'", v->path);
	if (fstatat(v->dir_fd, v->name, &v->there, AT_SYMLINK_NOFOLLOW) == 0)
		v->type = mlimg_type_of_mode(v->there.st_mode);
	else if (errno != ENOENT)
		return mlimg_err_set(err, errno, "look at '/%s'", v->path);
	return 0;
}

/*
 * As what lies beside, the file with the marks must not be taken for one in force. Where the change has
 * put nothing beside, for yours is aside, the table of classes says what programs read there.
 */
static int find_suffix(struct resolving *v, struct mlimg_err *err)
{
	size_t size = strlen(v->at), end = strlen(MLIMG_PLAN_DIST_SUFFIX);
	enum mlimg_path_beside beside = MLIMG_BESIDE_PLAIN;
	struct mlimg_path_classes *classes;
	int r;

	if (size > end && strcmp(v->at + size - end, MLIMG_PLAN_DIST_SUFFIX) == 0) {
		beside = MLIMG_BESIDE_DPKG_DIST;
	} else if (v->is_aside) {
		r = mlimg_view_classes(v->cmd->view, &classes, err);
		if (r < 0)
			return r;
		beside = mlimg_path_class_beside(classes, v->path);
		mlimg_path_classes_free(classes);
	}
	v->merged_suffix = beside == MLIMG_BESIDE_PLAIN ? MLIMG_PLAN_MERGED_SUFFIX
		: beside == MLIMG_BESIDE_DPKG_DIST      ? RESOLVE_MERGED_DIST_SUFFIX
							: NULL;
	return 0;
}

static int find(struct resolving *v, const char *typed, struct mlimg_err *err)
{
	int r = mlimg_view_resolve(v->cmd->view, typed, v->path, err);

	v->is_found = v->is_open = v->is_queued = v->is_beside_gone = v->has_base = false;
	v->is_beside_queued = v->has_cancelled = v->is_edited = false;
	v->n_conflicts = v->n_kept = v->n_sockets = 0;
	v->merged[0] = '\0';
	if (r == 0)
		r = mlimg_conflicts_find(v->cmd->view, see, v, err);
	if (r == 0 && !v->is_found)
		return mlimg_err_set(
			err, 0, "'/%s': no change of the stack has left a conflict there", v->path);
	if (r == 0)
		r = mlimg_user_undo_of(v->cmd->view, v->path, &v->undo, err);
	if (r == 0)
		r = look_at_root(v, err);
	return r < 0 || v->way != MLIMG_KEEP_MERGED ? r : find_suffix(v, err);
}

static int note(struct resolving *v, struct mlimg_err *err)
{
	int r;

	if (v->n_conflicts > 0 || mlimg_cmd_has(v->cmd, MLIMG_CMD_DRY_RUN))
		return 0;
	r = mlimg_resolved_note(v->own_fd, v->generation, v->path, v->way, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "note that '/%s' is resolved", v->path);
	return resolve_clear(v, err);
}

/* --- what is told --- */

static void put_aside(const struct resolving *v, const char *path)
{
	char escaped[MLIMG_ESCAPED_SIZE];

	printf("%s/user/mlimg/%s/%s", v->cmd->view->root,
		v->kept_dir[0] ? v->kept_dir : "aside/resolved-N",
		mlimg_manifest_escape(path, escaped));
}

static void put_left(const struct resolving *v)
{
	printf("%zu %s left: edit ", v->n_conflicts,
		mlimg_cli_noun(v->n_conflicts, "conflict is", "conflicts are"));
	mlimg_cmd_put_path(v->merged);
	fputs(", where each is marked", stdout);
	if (!v->has_base)
		fputs(" (all that differs: the former system's text is not known)", stdout);
	puts(", and say the same again");
}

static void put_way(const struct resolving *v)
{
	char escaped[MLIMG_ESCAPED_SIZE];

	switch (v->way) {
	case MLIMG_KEEP_MINE: fputs(v->is_aside ? "yours is back" : "yours stays", stdout); return;
	case MLIMG_KEEP_MERGED: fputs("what was merged is there", stdout); return;
	default: break;
	}
	if (v->is_queued) {
		fputs(mlimg_cmd_when(v->cmd), stdout);
		mlimg_cmd_put_undo(&v->undo);
	} else {
		fputs("the system's stays", stdout);
	}
	if (v->is_aside && v->is_there)
		printf("; yours stays in %s/user/mlimg/%s", v->cmd->view->root,
			mlimg_manifest_escape(v->at, escaped));
}

static void put_text(const struct resolving *v)
{
	mlimg_cmd_put_path(v->path);
	fputs(": ", stdout);
	if (v->n_conflicts > 0) {
		put_left(v);
		return;
	}
	put_way(v);
	if (v->n_sockets)
		printf(", without %" PRIu64 " %s", v->n_sockets,
			mlimg_cli_noun(v->n_sockets, "socket", "sockets"));
	if (v->is_beside_gone || v->is_beside_queued) {
		fputs("; ", stdout);
		mlimg_cmd_put_path(v->at);
		fputs(v->is_beside_queued ? " goes then" : " is gone", stdout);
	}
	if (v->has_cancelled)
		fputs("; what waited there for the next boot is taken back", stdout);
	for (size_t i = 0; i < v->n_kept; i++) {
		fputs("; what was ", stdout);
		mlimg_cmd_put_path(v->kept[i]);
		fputs(" is in ", stdout);
		put_aside(v, v->kept[i]);
	}
	putchar('\n');
}

static int put_json(const struct resolving *v, struct mlimg_err *err)
{
	json_t *kept = json_array();

	for (size_t i = 0; i < v->n_kept; i++)
		json_array_append_new(kept, mlimg_cmd_json_path(v->kept[i]));
	return mlimg_cmd_put_json(
		json_pack("{s:o,s:s,s:I,s:b,s:b,s:s?,s:I,s:o,s:s?,s:o,s:I}", "path",
			mlimg_cmd_json_path(v->path), "keep", mlimg_keep_way_name(v->way),
			"generation", (json_int_t)v->generation, "resolved", v->n_conflicts == 0,
			"dry_run", mlimg_cmd_has(v->cmd, MLIMG_CMD_DRY_RUN), "when",
			v->n_conflicts > 0                                  ? NULL
				: v->is_queued && !v->cmd->view->is_unionfs ? "next-boot"
									    : "now",
			"conflicts", (json_int_t)v->n_conflicts, "merged",
			v->merged[0] ? mlimg_cmd_json_path(v->merged) : json_null(), "aside",
			v->n_kept > 0 && v->kept_dir[0] ? v->kept_dir : NULL, "kept", kept,
			"sockets", (json_int_t)v->n_sockets),
		JSON_COMPACT, err);
}

/* --- all --- */

static int resolve_one(struct resolving *v, const char *typed, struct mlimg_err *err)
{
	int r = find(v, typed, err);

	if (r == 0)
		r = resolve_do(v, err);
	if (r == 0)
		r = note(v, err);
	if (r == 0 && mlimg_cmd_has(v->cmd, MLIMG_CMD_JSON))
		r = put_json(v, err);
	else if (r == 0)
		put_text(v);
	v->cmd->has_failed = v->cmd->has_failed || v->n_conflicts > 0;
	if (v->dir_fd >= 0)
		close(v->dir_fd);
	v->dir_fd = -1;
	return r;
}

static int resolve_all(struct resolving *v, struct mlimg_err *err)
{
	size_t n_queued = 0;
	int r = v->own_fd < 0 ? v->own_fd : 0;

	for (int i = 0; i < v->cmd->n_operands && r == 0; i++) {
		r = resolve_one(v, v->cmd->operands[i], err);
		n_queued += v->is_queued;
	}
	if (r == 0)
		mlimg_cmd_put_end(v->cmd, n_queued);
	if (v->kept_fd >= 0)
		close(v->kept_fd);
	if (v->own_fd >= 0)
		close(v->own_fd);
	return r;
}

int mlimg_cmd_resolve(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	mlimg_autofree struct resolving *v = calloc(1, sizeof(*v));
	const char *keep = cmd->values[MLIMG_CMD_KEEP];

	if (!v)
		return mlimg_err_set(err, ENOMEM, "begin");
	if (!keep)
		return mlimg_err_usage(err, "'resolve' needs --keep mine, theirs or merged");
	*v = (struct resolving){.cmd = cmd, .kept_fd = -1, .dir_fd = -1};
	v->way = mlimg_keep_way_of(keep);
	if (!v->way)
		return mlimg_err_usage(err, "--keep '%s': neither mine, theirs nor merged", keep);
	v->own_fd = mlimg_cmd_open_own(cmd, err);
	return resolve_all(v, err);
}
