/* SPDX-License-Identifier: MIT */
#include "guest-agent/file-flags.h"

#include <errno.h>
#include <fcntl.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/walk.h"
#include "libmlimg/whiteout.h"

int mlimg_file_flags_clear(int fd)
{
	int flags;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 || !(flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)))
		return 0;
	flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0 ? -errno : 1;
}

/* A flag allows no change of xattrs either, so that it goes first. @return 1, 0, -errno */
static int lift(int upper_fd, const struct mlimg_entry *e, const struct mlimg_xattr *mark)
{
	mlimg_autoclose int fd = mlimg_open_beneath_strict(
		upper_fd, *e->path ? e->path : ".", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	int r = fd < 0 ? fd : mlimg_file_flags_clear(fd);

	if (r <= 0)
		return r;
	return fsetxattr(fd, mark->name, mark->value, mark->size, 0) < 0 ? -errno : 1;
}

int mlimg_file_flags_lift(
	int upper_fd, const struct mlimg_manifest *upper, size_t *ret_n, struct mlimg_err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < upper->n_entries; i++) {
		const struct mlimg_entry *e = &upper->entries[i];
		const struct mlimg_xattr *mark = mlimg_entry_xattr(e, MLIMG_XATTR_PROTATTR);
		bool may_have = mark && (e->type == MLIMG_FILE || e->type == MLIMG_DIR);
		int r = may_have ? lift(upper_fd, e, mark) : 0;

		if (r < 0)
			return mlimg_err_set(err, r, "flags of 'user/upper/%.200s'", e->path);
		n += (size_t)r;
	}
	*ret_n = n;
	return 0;
}

/* --- of an upper that is not in memory --- */

struct lifting {
	int upper_fd;
	struct mlimg_arena *arena;
	size_t n;
};

static int lift_marked(struct lifting *l, const struct mlimg_entry *e, bool is_append,
	bool is_immutable, struct mlimg_err *err)
{
	struct mlimg_entry marked = {.path = e->path, .type = e->type};
	int r = mlimg_entry_mark_flags(l->arena, &marked, is_append, is_immutable);

	if (r == 0)
		r = lift(l->upper_fd, e, mlimg_entry_xattr(&marked, MLIMG_XATTR_PROTATTR));
	if (r < 0)
		return mlimg_err_set(err, r, "flags of 'user/upper/%.200s'", e->path);
	l->n += (size_t)r;
	return 0;
}

/* Of what cannot be asked nothing is known to stand in the way. */
static int visit(const struct mlimg_entry *e, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	int dirfd = at->parent_fd < 0 ? at->root_fd : at->parent_fd;
	struct lifting *l = ctx;
	bool is_append, is_immutable;
	struct statx st;

	if ((e->type != MLIMG_FILE && e->type != MLIMG_DIR) ||
		statx(dirfd, at->name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0,
			&st) < 0)
		return 0;
	is_append = st.stx_attributes & STATX_ATTR_APPEND;
	is_immutable = st.stx_attributes & STATX_ATTR_IMMUTABLE;
	return is_append || is_immutable ? lift_marked(l, e, is_append, is_immutable, err) : 0;
}

int mlimg_file_flags_lift_all(int upper_fd, size_t *ret_n, struct mlimg_err *err)
{
	struct lifting l = {.upper_fd = upper_fd, .arena = mlimg_arena_new()};
	int r = l.arena
		? mlimg_walk(upper_fd, MLIMG_WALK_ONE_FS | MLIMG_WALK_NO_XATTRS, visit, &l, err)
		: mlimg_err_set(err, ENOMEM, "flags of 'user/upper'");

	mlimg_arena_free(l.arena);
	if (r == 0)
		*ret_n = l.n;
	return r;
}
