/* SPDX-License-Identifier: MIT */
/*
 * `mlimg copy-up`: the user's own copies of what layers have, made by the union itself. It copies a
 * file when that is opened for writing, and anything when its attributes are set, to what they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guest-agent/mlimg-cmd.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/walk.h"
#include "libmlimg/whiteout.h"
#include "tools/cli.h"
#include "tools/progress.h"

struct copying {
	struct mlimg_cmd *cmd;
	int upper_fd;
	dev_t dev; /* of the merged root's directories */
	uint64_t n_copied, bytes, n_there, n_elsewhere;
	struct mlimg_progress progress;
};

/* @return whether the upper has the path: the union's own answer is the same either way */
static bool is_in_upper(const struct copying *c, const char *path)
{
	struct stat st;

	return mlimg_stat_beneath(c->upper_fd, path, &st) == 0 && !mlimg_stat_is_whiteout(&st);
}

static int touch_file(int dir_fd, const char *name, mode_t mode)
{
	mlimg_autoclose int fd =
		openat(dir_fd, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0)
		return 0;
	/* A program that is running, or a file that is immutable in its layer. */
	return fchmodat(dir_fd, name, mode, 0) < 0 ? -errno : 0;
}

static int touch(int dir_fd, const char *name, const struct stat *st)
{
	mode_t mode = st->st_mode & 07777;

	if (S_ISREG(st->st_mode))
		return touch_file(dir_fd, name, mode);
	if (S_ISLNK(st->st_mode))
		return fchownat(dir_fd, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0
			? -errno
			: 0;
	return fchmodat(dir_fd, name, mode, 0) < 0 ? -errno : 0;
}

static int copy_one(struct copying *c, const char *path, int dir_fd, const char *name,
	const struct stat *st, struct mlimg_err *err)
{
	int r;

	if (S_ISDIR(st->st_mode) && st->st_dev != c->dev) {
		c->n_elsewhere++;
		return 0;
	}
	if (is_in_upper(c, path)) {
		c->n_there++;
		return 0;
	}
	/*
	 * unionfs-fuse would copy all that the topmost layer has in it, and bring back what was
	 * removed. A directory is made there when something in it is copied.
	 */
	if (S_ISDIR(st->st_mode) && c->cmd->view->is_unionfs)
		return 0;
	r = touch(dir_fd, name, st);
	if (r < 0)
		return mlimg_err_set(err, r, "copy up '/%s'", path);
	if (!is_in_upper(c, path)) {
		c->n_elsewhere++;
		return 0;
	}
	c->n_copied++;
	c->bytes += S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
	mlimg_progress_update(&c->progress, c->bytes);
	return 0;
}

static int see(const struct mlimg_entry *e, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	return copy_one(ctx, e->path, at->parent_fd, at->name, at->st, err);
}

static int copy_path(struct copying *c, const char *path, struct mlimg_err *err)
{
	const char *name = mlimg_path_name(path);
	char dir[MLIMG_PATH_MAX + 1];
	mlimg_autoclose int fd = -1;
	struct stat st;
	int r;

	if (!*path)
		return mlimg_err_set(err, 0, "the whole root: name what is to be copied up");
	snprintf(dir, sizeof(dir), "%.*s", (int)mlimg_path_dir_size(path), path);
	fd = openat(
		c->cmd->view->merged_fd, dir[0] ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return mlimg_err_set(err, errno, "copy up '/%s'", path);
	if (S_ISDIR(st.st_mode) && c->cmd->view->is_unionfs &&
		!mlimg_cmd_has(c->cmd, MLIMG_CMD_RECURSIVE))
		return mlimg_err_set(err, 0,
			"'/%s' is a directory, which unionfs-fuse cannot copy alone: --recursive "
			"copies what is in it",
			path);
	r = copy_one(c, path, fd, name, &st, err);
	if (r < 0 || !S_ISDIR(st.st_mode) || st.st_dev != c->dev ||
		!mlimg_cmd_has(c->cmd, MLIMG_CMD_RECURSIVE))
		return r;
	return mlimg_walk_within(c->cmd->view->merged_fd, path, &st,
		MLIMG_WALK_ONE_FS | MLIMG_WALK_NO_XATTRS, see, c, err);
}

static int put_result(struct copying *c, const char *path, struct mlimg_err *err)
{
	char size[MLIMG_CLI_SIZE_TEXT];

	if (c->n_elsewhere > 0)
		c->cmd->has_failed = true;
	if (mlimg_cmd_has(c->cmd, MLIMG_CMD_JSON))
		return mlimg_cmd_put_json(
			json_pack("{s:o,s:I,s:I,s:I,s:I}", "path", mlimg_cmd_json_path(path),
				"copied", (json_int_t)c->n_copied, "bytes", (json_int_t)c->bytes,
				"already", (json_int_t)c->n_there, "elsewhere",
				(json_int_t)c->n_elsewhere),
			JSON_COMPACT, err);
	mlimg_cmd_put_path(path);
	printf(": %" PRIu64 " copied up (%s)", c->n_copied, mlimg_cli_format_size(c->bytes, size));
	if (c->n_there)
		printf(", %" PRIu64 " yours already", c->n_there);
	if (c->n_elsewhere)
		printf(", %" PRIu64 " on another file system", c->n_elsewhere);
	if (c->cmd->view->mode != MLIMG_BOOT_NORMAL)
		fputs("; it is lost at the end of this boot", stdout);
	putchar('\n');
	return 0;
}

static int open_upper(struct copying *c, struct mlimg_err *err)
{
	const struct mlimg_view *view = c->cmd->view;
	struct stat st;
	int r = mlimg_view_need_user(view, err);

	if (r < 0)
		return r;
	if (view->mode == MLIMG_BOOT_READONLY)
		return mlimg_err_set(err, 0, "nothing can be changed in this boot");
	c->upper_fd = openat(view->root_fd,
		view->mode == MLIMG_BOOT_NORMAL ? "user/upper" : "volatile/upper",
		O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->upper_fd < 0 || fstat(view->merged_fd, &st) < 0)
		return mlimg_err_set(err, errno, "open the upper");
	c->dev = st.st_dev;
	return 0;
}

int mlimg_cmd_copy_up(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	struct copying c = {.cmd = cmd, .upper_fd = -1};
	char path[MLIMG_PATH_MAX + 1];
	int r = open_upper(&c, err);

	for (int i = 0; i < cmd->n_operands && r == 0; i++) {
		c.n_copied = c.bytes = c.n_there = c.n_elsewhere = 0;
		mlimg_progress_init(&c.progress, "copying up", 0);
		r = mlimg_view_resolve(cmd->view, cmd->operands[i], path, err);
		if (r == 0)
			r = copy_path(&c, path, err);
		mlimg_progress_end(&c.progress);
		if (r == 0)
			r = put_result(&c, path, err);
	}
	if (c.upper_fd >= 0)
		close(c.upper_fd);
	return r;
}
