/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guest-agent/change-place.h"
#include "guest-agent/put-file.h"
#include "guest-agent/resolve-impl.h"
#include "guest-agent/resolve-texts.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/remove-tree.h"
#include "libmlimg/whiteout.h"

static bool is_dry(const struct resolving *v)
{
	return mlimg_cmd_has(v->cmd, MLIMG_CMD_DRY_RUN);
}

/* What may be replaced. */
static const struct stat *what_is_there(const struct resolving *v)
{
	return v->type ? &v->there : NULL;
}

static int fail(const struct resolving *v, int r, const char *what, struct mlimg_err *err)
{
	return r == -EEXIST || r == -ESTALE
		? mlimg_err_set(err, 0, "'/%s' has changed meanwhile: say it again", v->path)
		: mlimg_err_set(err, r, "%s '/%s'", what, v->path);
}

/*
 * Of another way before: it would take away again what is kept now. Before anything is done: who is
 * told that it was not finds all as it was, and says it again.
 */
static int take_back(struct resolving *v, struct mlimg_err *err)
{
	const char *const paths[] = {v->path, v->at};
	uint32_t n = 0;
	int r;

	if (is_dry(v))
		return 0;
	r = mlimg_resolved_take_back(v->own_fd, v->generation, paths, v->is_aside ? 1 : 2, &n, err);
	v->has_cancelled = n > 0;
	/* No boot does anything of a damaged one. */
	return r == -EUCLEAN ? 0 : r;
}

/* --- what is the user's is set aside before it goes --- */

/*
 * aside/resolved-N, of which there is one for each call of the command, and another one for a path
 * that is in there already: in conflict in two generations.
 */
static int make_kept_dir(struct resolving *v)
{
	if (mkdirat(v->own_fd, MLIMG_CHANGE_ASIDE, 0700) < 0 && errno != EEXIST)
		return -errno;
	for (unsigned n = 1; v->kept_fd < 0; n++) {
		snprintf(v->kept_dir, sizeof(v->kept_dir), MLIMG_CHANGE_ASIDE "/resolved-%u", n);
		if (mkdirat(v->own_fd, v->kept_dir, 0700) < 0) {
			if (errno == EEXIST)
				continue;
			return -errno;
		}
		v->kept_fd = openat(
			v->own_fd, v->kept_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (v->kept_fd < 0)
			return -errno;
	}
	return 0;
}

/* A copy of what is in the merged root's directory, with the path that it has there. */
static int keep_copy(struct resolving *v, const char *name, struct mlimg_err *err)
{
	size_t dir_size = (size_t)(v->name - v->path);
	char path[MLIMG_PATH_MAX + 1];
	mlimg_autoclose int fd = -1;
	const char *kept_name;
	int r = 0;

	snprintf(path, sizeof(path), "%.*s%s", (int)dir_size, v->path, name);
	strcpy(v->kept[v->n_kept++], path);
	if (is_dry(v))
		return 0;
	if (v->kept_fd < 0)
		r = make_kept_dir(v);
	if (r == 0)
		r = mlimg_change_make_way(v->kept_fd, path, 0700);
	if (r == 0)
		r = fd = mlimg_open_parent_strict(v->kept_fd, path, O_RDONLY, &kept_name);
	if (r >= 0)
		r = mlimg_put_copy(v->dir_fd, name, fd, kept_name, NULL);
	return r < 0 ? mlimg_err_set(err, r, "set '/%s' aside", path) : 0;
}

/* As it is now: the view's upper was read before what this call itself has put back. */
static bool is_in_upper(const struct resolving *v)
{
	struct stat st;

	return mlimg_stat_beneath(v->cmd->view->trees[0].fd, v->path, &st) == 0 &&
		!mlimg_stat_is_whiteout(&st);
}

/* What is at the path goes; if it is in the upper it is the user's. */
static int keep_present(struct resolving *v, struct mlimg_err *err)
{
	if (v->type && is_in_upper(v))
		return keep_copy(v, v->name, err);
	return 0;
}

/* @return whether it is the layers' file, byte for byte, as it was put there */
static bool is_unchanged(const struct resolving *v, const char *name)
{
	const struct mlimg_view_found *theirs = &v->undo.beneath;
	mlimg_autoclose int fd = -1, theirs_fd = -1;

	if (!theirs->tree || v->undo.shows_type != MLIMG_FILE)
		return false;
	fd = openat(v->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	theirs_fd = mlimg_view_open_file(theirs->tree, theirs->path);
	return fd >= 0 && theirs_fd >= 0 && mlimg_files_are_same(fd, theirs_fd) == 1;
}

/* What was read before; what is written meanwhile is nobody's to remove. */
static int remove_seen(
	const struct resolving *v, const char *path, const struct stat *seen, struct mlimg_err *err)
{
	int r = mlimg_put_away(v->dir_fd, mlimg_path_name(path), seen);

	if (r == -ESTALE)
		return mlimg_err_set(err, 0, "'/%s' has changed meanwhile: say it again", path);
	return r < 0 ? mlimg_err_set(err, r, "remove '/%s'", path) : 0;
}

/* The layers' file beside the user's goes. */
static int remove_beside(struct resolving *v, struct mlimg_err *err)
{
	const char *name = mlimg_path_name(v->at);
	struct stat seen;
	int r = 0;

	if (v->is_aside || !v->is_there)
		return 0;
	if (fstatat(v->dir_fd, name, &seen, AT_SYMLINK_NOFOLLOW) < 0)
		return mlimg_err_set(err, errno, "remove '/%s'", v->at);
	if (!is_unchanged(v, name))
		r = keep_copy(v, name, err);
	v->is_beside_gone = r == 0;
	return r < 0 || is_dry(v) ? r : remove_seen(v, v->at, &seen, err);
}

/* --- mine --- */

static int put_back(struct resolving *v, struct mlimg_err *err)
{
	mlimg_autoclose int from_fd = -1;
	const char *name;
	struct stat st;
	int r;

	from_fd = mlimg_open_parent_strict(v->own_fd, v->at, O_RDONLY, &name);
	if (from_fd < 0 || fstatat(from_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return mlimg_err_set(err, from_fd < 0 ? from_fd : errno, "open 'mlimg/%s'", v->at);
	if (v->type == MLIMG_DIR)
		return mlimg_err_set(err, 0,
			"'/%s' is a directory now: yours is not put in its place. Copy what you "
			"want "
			"of '%s/user/mlimg/%s', and keep theirs",
			v->path, v->cmd->view->root, v->at);
	r = keep_present(v, err);
	if (r < 0 || is_dry(v))
		return r;
	if (v->dir_fd < 0) {
		r = mlimg_change_make_way(v->cmd->view->merged_fd, v->path, 0755);
		if (r == 0)
			r = v->dir_fd = mlimg_open_parent_strict(
				v->cmd->view->merged_fd, v->path, O_RDONLY, &v->name);
	}
	if (r >= 0 && S_ISDIR(st.st_mode))
		r = mlimg_put_tree(
			from_fd, name, v->dir_fd, v->name, what_is_there(v), &v->n_sockets);
	else if (r >= 0)
		r = mlimg_put_copy(from_fd, name, v->dir_fd, v->name, what_is_there(v));
	/* FUSE hands no syncfs() on. */
	if (r >= 0 && v->cmd->view->is_unionfs && syncfs(v->own_fd) < 0)
		r = -errno;
	return r < 0 ? fail(v, r, "put back", err) : 0;
}

/* --- theirs --- */

static int show_theirs(struct resolving *v, struct mlimg_err *err)
{
	const struct mlimg_queue_op ops[] = {
		{MLIMG_QUEUE_RESET, v->path}, {MLIMG_QUEUE_RESET, v->at}};

	if (v->undo.has != MLIMG_USER_HAS_ENTRY && v->undo.has != MLIMG_USER_HAS_WHITEOUT)
		return 0;
	if (v->undo.n_entries > 1)
		return mlimg_err_set(err, 0,
			"'/%s' is a directory with what is yours in it: 'mlimg reset --recursive' "
			"sets it aside",
			v->path);
	v->is_queued = true;
	/* Until then the user may say otherwise. */
	v->is_beside_queued = v->is_there && !v->cmd->view->is_unionfs;
	return is_dry(v)
		? 0
		: mlimg_cmd_carry_out(v->cmd, v->own_fd, ops, 1 + v->is_beside_queued, err);
}

/* --- merged --- */

/* The attributes of the user's. */
static int read_mine(
	struct resolving *v, struct mlimg_entry_reader *reader, struct mlimg_entry *ret)
{
	mlimg_autoclose int fd = -1;
	const char *name = v->name;

	if (v->is_aside)
		fd = mlimg_open_parent_strict(v->own_fd, v->at, O_RDONLY, &name);
	if (v->is_aside && fd < 0)
		return fd;
	return mlimg_entry_at_read(reader, v->is_aside ? fd : v->dir_fd, name, v->path, false, ret);
}

static int put_like_mine(struct resolving *v, const char *name, const struct stat *replaces,
	const char *text, size_t size, struct mlimg_err *err)
{
	struct mlimg_entry_reader reader = {.link = ""};
	struct mlimg_entry mine;
	int r;

	if (is_dry(v))
		return 0;
	r = read_mine(v, &reader, &mine);
	if (r == 0 && mine.type != MLIMG_FILE)
		r = -EINVAL;
	if (r == 0)
		r = mlimg_put_text(v->dir_fd, name, replaces, text, size, &mine);
	mlimg_entry_reader_done(&reader);
	return r < 0 ? fail(v, r, "write what was merged of", err) : 0;
}

/* The merged text takes the place of what is there. */
static int put_merged(struct resolving *v, const char *text, size_t size, struct mlimg_err *err)
{
	int r = take_back(v, err);

	if (r == 0)
		r = keep_present(v, err);
	if (r == 0)
		r = put_like_mine(v, v->name, what_is_there(v), text, size, err);
	return r < 0 ? r : remove_beside(v, err);
}

/* The file with the marks, when the user has taken them out. */
static int take_edited(struct resolving *v, const char *text, size_t size, struct mlimg_err *err)
{
	size_t line = mlimg_merge3_find_mark(text, size);

	if (line > 0)
		return mlimg_err_set(err, 0,
			"'/%s', line %zu: a conflict is still marked: edit it, or remove the file "
			"to "
			"merge again",
			v->merged, line);
	v->merged[0] = '\0';
	v->is_edited = true;
	return put_merged(v, text, size, err);
}

/* @param merged_name  of the file with the marks, or NULL: there is none */
static int merge(struct resolving *v, const char *merged_name, struct mlimg_err *err)
{
	const struct mlimg_view_found *beneath = &v->undo.beneath;
	struct mlimg_resolve_from root = {v->dir_fd, v->name}, aside = {v->own_fd, v->at},
				  layer = {beneath->tree ? beneath->tree->fd : -1, beneath->path};
	const struct mlimg_resolve_texts texts = {.mine = v->is_aside ? aside : root,
		.theirs = v->is_aside ? root : layer,
		.theirs_name = v->undo.shows ? v->undo.shows->label : "what is there",
		.generation = v->generation,
		.base_path = beneath->tree ? beneath->path : v->path};
	struct mlimg_resolve_merged merged = {.text = NULL};
	int r;

	if (!v->is_aside && !beneath->tree)
		return mlimg_err_set(err, 0, "'/%s': no layer has it", v->path);
	r = mlimg_resolve_merge(v->cmd->view, &texts, v->path, &merged, err);
	if (r < 0)
		return r;
	v->has_base = merged.has_base;
	v->n_conflicts = merged.n_conflicts;
	if (merged.n_conflicts == 0) {
		v->merged[0] = '\0';
		r = put_merged(v, merged.text, merged.size, err);
	} else if (merged_name) {
		r = put_like_mine(v, merged_name, NULL, merged.text, merged.size, err);
	} else {
		r = mlimg_err_set(err, 0,
			"'/%s': changes touch each other, and a file with marks beside it would be "
			"in force: edit it by hand, with yours in '%s/user/mlimg/%s', and keep "
			"theirs",
			v->path, v->cmd->view->root, v->at);
	}
	free(merged.text);
	return r;
}

static int keep_merged(struct resolving *v, struct mlimg_err *err)
{
	char name[MLIMG_NAME_MAX + sizeof(RESOLVE_MERGED_DIST_SUFFIX)];
	mlimg_autofree char *text = NULL;
	size_t size;
	int r;

	if (v->type != MLIMG_FILE)
		return mlimg_err_set(err, 0, "'/%s' is no file that could be merged", v->path);
	if (!v->merged_suffix)
		return merge(v, NULL, err);
	if (strlen(v->path) + strlen(v->merged_suffix) > MLIMG_PATH_MAX)
		return mlimg_err_set(err, ENAMETOOLONG, "'/%s'", v->path);
	strcpy(stpcpy(name, v->name), v->merged_suffix);
	strcpy(stpcpy(v->merged, v->path), v->merged_suffix);
	/* Before it is read, so that what is written after that is told. */
	if (fstatat(v->dir_fd, name, &v->edited, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	else
		r = mlimg_resolve_read(&(struct mlimg_resolve_from){v->dir_fd, name}, &text, &size);
	if (r == 0)
		return take_edited(v, text, size, err);
	return r == -ENOENT ? merge(v, name, err) : mlimg_err_set(err, r, "read '/%s'", v->merged);
}

int resolve_do(struct resolving *v, struct mlimg_err *err)
{
	struct stat st;
	int r = 0;

	if (v->kept_fd >= 0 &&
		(mlimg_stat_beneath(v->kept_fd, v->path, &st) == 0 ||
			mlimg_stat_beneath(v->kept_fd, v->at, &st) == 0))
		close(mlimg_steal_fd(&v->kept_fd));
	if (v->is_aside && !v->is_there && v->way != MLIMG_KEEP_THEIRS)
		return mlimg_err_set(
			err, 0, "'/%s': yours is no longer in 'mlimg/%s'", v->path, v->at);
	switch (v->way) {
	case MLIMG_KEEP_MINE:
		r = take_back(v, err);
		if (r < 0)
			return r;
		return v->is_aside ? put_back(v, err) : remove_beside(v, err);
	case MLIMG_KEEP_THEIRS:
		if (!v->is_aside)
			r = show_theirs(v, err);
		return r < 0 || v->is_beside_queued ? r : remove_beside(v, err);
	default: return keep_merged(v, err);
	}
}

int resolve_clear(struct resolving *v, struct mlimg_err *err)
{
	char path[MLIMG_PATH_MAX + sizeof(RESOLVE_MERGED_DIST_SUFFIX)];
	mlimg_autoclose int fd = -1;
	const char *kept;
	int r = 0;

	if (is_dry(v))
		return 0;
	if (v->is_edited) {
		strcpy(stpcpy(path, v->path), v->merged_suffix);
		r = remove_seen(v, path, &v->edited, err);
	}
	if (!v->is_aside || v->way != MLIMG_KEEP_MINE)
		return r;
	r = fd = mlimg_open_parent_strict(v->own_fd, v->at, O_RDONLY, &kept);
	if (r >= 0)
		r = mlimg_remove_tree(fd, kept);
	return r < 0 ? mlimg_err_set(err, r, "remove 'mlimg/%s'", v->at) : 0;
}
