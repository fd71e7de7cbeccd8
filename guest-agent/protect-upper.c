/* SPDX-License-Identifier: MIT */
/*
 * What covers protected paths in an upper, and where it goes. A pattern is followed name by name
 * through the upper, so that nothing else of it is looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "guest-agent/protect-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/unionfs.h"
#include "libmlimg/whiteout.h"

/* Is there while something is set aside: what remains may be copies of what shows again. */
#define UNDER_WAY "mlimg/protecting"

/* What the user has put in its place goes there in the first protected-N. */
#define MISPLACED ".mlimg-protecting"

#define ASIDE_MAX 1000000 /* directories protected-N */

/*
 * A place in the merged tree, and where what the layers show there comes from: elsewhere below a
 * directory that was renamed, nowhere below an opaque one.
 */
struct place {
	char path[MLIMG_PATH_MAX + 1];
	char from[MLIMG_PATH_MAX + 1];
	bool has_from;
};

/* ---- setting aside ---- */

static int open_dir(int dir, const char *name, mode_t mode, bool *ret_is_new)
{
	int fd;

	*ret_is_new = mkdirat(dir, name, mode) == 0;
	if (!*ret_is_new && errno != EEXIST)
		return -errno;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* protected-N with the first N that is free. */
static int open_aside(struct mlimg_cover *c)
{
	mlimg_autoclose int own = -1, aside = -1;
	bool is_new;

	if (c->aside_fd >= 0)
		return 0;
	own = openat(c->user_fd, "mlimg", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (own < 0)
		return mlimg_err_set(c->err, errno, "open 'mlimg'");
	aside = open_dir(own, "aside", 0700, &is_new);
	if (aside < 0)
		return mlimg_err_set(c->err, aside, "make 'mlimg/aside'");
	for (int n = 1; n <= ASIDE_MAX; n++) {
		snprintf(c->protect->aside, sizeof(c->protect->aside), "protected-%d", n);
		c->aside_fd = open_dir(aside, c->protect->aside, 0700, &is_new);
		if (c->aside_fd >= 0 && is_new)
			return 0;
		/* Not ours to look into, whatever it is. */
		if (c->aside_fd < 0 && c->aside_fd != -ENOTDIR && c->aside_fd != -ELOOP)
			return mlimg_err_set(
				c->err, c->aside_fd, "make 'mlimg/aside/%s'", c->protect->aside);
		mlimg_cleanup_close(&c->aside_fd);
		c->aside_fd = -1;
	}
	return mlimg_err_set(c->err, EEXIST, "make 'mlimg/aside/%s'", c->protect->aside);
}

static bool is_under_way(int user_fd)
{
	struct stat st;

	return fstatat(user_fd, UNDER_WAY, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

int mlimg_cover_mark(struct mlimg_cover *c)
{
	mlimg_autoclose int fd = -1;
	int r;

	if (c->is_marked)
		return 0;
	fd = openat(
		c->user_fd, UNDER_WAY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST && !is_under_way(c->user_fd)) {
		r = open_aside(c);
		if (r < 0)
			return r;
		if (renameat2(c->user_fd, UNDER_WAY, c->aside_fd, MISPLACED, RENAME_NOREPLACE) < 0)
			return mlimg_err_set(c->err, errno, "set '" UNDER_WAY "' aside");
		fd = openat(c->user_fd, UNDER_WAY,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	}
	if (fd < 0 && errno != EEXIST)
		return mlimg_err_set(c->err, errno, "make '" UNDER_WAY "'");
	c->is_marked = true;
	return 0;
}

/* The directory that is to hold @path. */
static int make_parents(struct mlimg_cover *c, const char *path)
{
	mlimg_autoclose int dir = fcntl(c->aside_fd, F_DUPFD_CLOEXEC, 0);

	for (const char *slash; dir >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
		char name[NAME_MAX + 1];
		bool is_new;
		int next;

		snprintf(name, sizeof(name), "%.*s", (int)(slash - path), path);
		next = open_dir(dir, name, 0755, &is_new);
		if (next < 0)
			return next;
		close(dir);
		dir = next;
	}
	return dir < 0 ? -errno : mlimg_steal_fd(&dir);
}

static void tell(struct mlimg_cover *c, const char *path)
{
	struct mlimg_protect *p = c->protect;

	if (p->n_aside++ < MLIMG_PROTECTED_SHOWN_MAX)
		mlimg_protected_show(path, p->shown[p->n_aside - 1]);
}

int mlimg_cover_set_aside(
	struct mlimg_cover *c, int dir, const char *name, const char *where, const char *path)
{
	mlimg_autoclose int to = -1;
	int r;

	r = mlimg_cover_remove_caches(c, dir, name, where);
	if (r)
		return r < 0 ? r : 0;
	if (!c->can_write)
		return mlimg_err_refuse(c->err,
			"the user layer covers '/%.200s', which is protected: boot once in the "
			"mode normal, which sets that aside",
			path);
	r = mlimg_cover_mark(c);
	if (r == 0)
		r = open_aside(c);
	if (r < 0)
		return r;
	to = make_parents(c, where);
	if (to < 0)
		return mlimg_err_set(c->err, to, "set '/%.200s' aside", path);
	if (renameat2(dir, name, to, name, RENAME_NOREPLACE) < 0)
		return mlimg_err_set(c->err, errno, "set '/%.200s' aside", path);
	tell(c, path);
	return 0;
}

/* ---- the upper ---- */

/* Below a directory: what of the layers shows in it. */
static int find_origin(const struct mlimg_cover *c, int fd, const struct place *parent,
	const char *name, struct place *place)
{
	char value[MLIMG_PATH_MAX + 1];
	ssize_t n;

	place->has_from = parent->has_from;
	strcpy(place->from, parent->from);
	if (c->is_unionfs)
		return mlimg_cover_append(place->from, name) ? 0 : -ENAMETOOLONG;
	/*
	 * Opaque first, as the kernel has it (ovl_lookup_single()): a redirect beside it says
	 * nothing.
	 */
	if (fgetxattr(fd, MLIMG_XATTR_OPAQUE, value, 1) == 1 && value[0] == 'y') {
		place->has_from = false;
		return mlimg_cover_append(place->from, name) ? 0 : -ENAMETOOLONG;
	}
	n = fgetxattr(fd, MLIMG_XATTR_REDIRECT, value, sizeof(value) - 1);
	if (n > 0) {
		value[n] = '\0';
		name = value;
		if (*value == '/') {
			place->from[0] = '\0';
			place->has_from = true;
			name++;
		}
	}
	return mlimg_cover_append(place->from, name) ? 0 : -ENAMETOOLONG;
}

static bool has_marker(const struct mlimg_cover *c, const char *path)
{
	char marker[MLIMG_UNIONFS_PATH_MAX + 16];
	mlimg_autoclose int fd = -1;

	if (!c->is_unionfs || c->markers_fd < 0 || mlimg_unionfs_marker_of(path, marker, NULL) < 0)
		return false;
	fd = mlimg_open_beneath_strict(c->markers_fd, marker, O_PATH | O_NOFOLLOW);
	return fd >= 0;
}

/* Whether the directory, which is above a protected path, covers it. @return 1, 0, -errno */
static int covers(const struct mlimg_cover *c, const struct place *place, const char *rest)
{
	bool is_own = place->has_from && strcmp(place->from, place->path) == 0 &&
		!has_marker(c, place->path);
	int type = mlimg_cover_type(c, place->path), r;

	if (type < 0 || is_own)
		return type < 0 ? type : type == S_IFLNK;
	r = mlimg_cover_matches(c, place->path, rest);
	if (r == 0 && place->has_from && strcmp(place->from, place->path) != 0)
		r = mlimg_cover_matches(c, place->from, rest);
	return r;
}

static int follow(struct mlimg_cover *c, int dir, const struct place *parent, const char *pattern);

static int look_at(struct mlimg_cover *c, int dir, const struct place *parent, const char *name,
	const char *rest)
{
	mlimg_autofree struct place *place = malloc(sizeof(*place));
	mlimg_autoclose int fd = -1;
	struct stat st;
	int r;

	if (!place)
		return mlimg_err_set(c->err, ENOMEM, "protected paths");
	strcpy(place->path, parent->path);
	if (!mlimg_cover_append(place->path, name) ||
		fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (!rest)
		return mlimg_cover_set_aside(c, dir, name, place->path, place->path);
	if (S_ISDIR(st.st_mode)) {
		fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = fd < 0 ? -errno : find_origin(c, fd, parent, name, place);
		r = r < 0 ? r : covers(c, place, rest);
	} else {
		r = mlimg_cover_matches(c, place->path, rest);
	}
	if (r < 0)
		return mlimg_err_set(c->err, r, "look for what covers '/%.200s'", place->path);
	if (r)
		return mlimg_cover_set_aside(c, dir, name, place->path, place->path);
	return fd < 0 ? 0 : follow(c, fd, place, rest);
}

static int follow(struct mlimg_cover *c, int dir, const struct place *parent, const char *pattern)
{
	mlimg_cleanup(mlimg_names_done) struct mlimg_names names = {.n = 0};
	char glob[MLIMG_DECLARED_PATH_MAX + 1];
	const char *rest = mlimg_cover_split(pattern, glob);
	int r = mlimg_cover_list(dir, glob, "", &names);

	if (r < 0)
		return mlimg_err_set(c->err, r, "read '/%.200s' of the upper", parent->path);
	for (size_t i = 0; r == 0 && i < names.n; i++)
		/* Marks are no part of the tree. */
		if (!c->is_unionfs || *parent->path || strcmp(names.at[i], MLIMG_UNIONFS_DIR) != 0)
			r = look_at(c, dir, parent, names.at[i], rest);
	return r;
}

/* ---- unionfs-fuse's markers ---- */

static int follow_markers(struct mlimg_cover *c, int dir, const char *parent, const char *pattern);

/* The marker of a name, and then what is marked below it. */
static int look_at_marker(
	struct mlimg_cover *c, int dir, const char *parent, const char *name, const char *rest)
{
	char path[MLIMG_PATH_MAX + 1], where[2 * MLIMG_PATH_MAX], marker[NAME_MAX + 32];
	mlimg_autoclose int next = -1;
	struct stat st;
	int r = 1;

	strcpy(path, parent);
	if (!mlimg_cover_append(path, name))
		return 0;
	snprintf(marker, sizeof(marker), "%s" MLIMG_UNIONFS_TAG, name);
	snprintf(where, sizeof(where), MLIMG_UNIONFS_DIR "/%s" MLIMG_UNIONFS_TAG, path);
	if (fstatat(dir, marker, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		r = rest ? mlimg_cover_matches(c, path, rest) : 1;
		if (r < 0)
			return mlimg_err_set(c->err, r, "look for what covers '/%.200s'", path);
		r = r ? mlimg_cover_set_aside(c, dir, marker, where, path) : 0;
		if (r < 0)
			return r;
	}
	if (!rest)
		return 0;
	next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return next < 0 ? 0 : follow_markers(c, next, path, rest);
}

static int follow_markers(struct mlimg_cover *c, int dir, const char *parent, const char *pattern)
{
	mlimg_cleanup(mlimg_names_done) struct mlimg_names names = {.n = 0};
	char glob[MLIMG_DECLARED_PATH_MAX + 1];
	const char *rest = mlimg_cover_split(pattern, glob);
	int r = mlimg_cover_list(dir, glob, MLIMG_UNIONFS_TAG, &names);

	if (r == 0 && rest && strpbrk(glob, "*?["))
		r = mlimg_cover_list(dir, glob, "", &names);
	if (r < 0)
		return mlimg_err_set(c->err, r, "read '" MLIMG_UNIONFS_DIR "/%.200s'", parent);
	for (size_t i = 0; r == 0 && i < names.n; i++)
		r = look_at_marker(c, dir, parent, names.at[i], rest);
	return r;
}

/* First the upper itself: that a directory is opaque, its marker says. */
static int cover_all(struct mlimg_cover *c, int upper)
{
	mlimg_autofree struct place *root = calloc(1, sizeof(*root));
	int r = root ? 0 : mlimg_err_set(c->err, ENOMEM, "protected paths");

	if (root)
		root->has_from = true;
	if (c->is_unionfs)
		c->markers_fd = openat(
			upper, MLIMG_UNIONFS_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	for (size_t i = 0; r == 0 && i < c->protect->declared.n_patterns; i++) {
		r = follow(c, upper, root, c->protect->declared.patterns[i]);
		if (r == 0 && c->markers_fd >= 0)
			r = follow_markers(c, c->markers_fd, "", c->protect->declared.patterns[i]);
	}
	return r;
}

/* A journal keeps the order of what is done to names: the file goes last, as it came first. */
static int end(int user_fd, struct mlimg_err *err)
{
	if (syncfs(user_fd) < 0)
		return mlimg_err_set(err, errno, "write what was set aside");
	if (unlinkat(user_fd, UNDER_WAY, 0) < 0 && errno != ENOENT)
		return mlimg_err_set(err, errno, "remove '" UNDER_WAY "'");
	return 0;
}

int mlimg_protect_upper(int user_fd, const struct mlimg_lowers *lowers, bool is_unionfs,
	bool can_write, struct mlimg_protect *protect, struct mlimg_err *err)
{
	struct mlimg_cover c = {.lowers = lowers,
		.protect = protect,
		.err = err,
		.is_unionfs = is_unionfs,
		.can_write = can_write,
		.user_fd = user_fd,
		.aside_fd = -1,
		.markers_fd = -1};
	mlimg_autoclose int upper = -1;
	bool is_interrupted = is_under_way(user_fd);
	int r;

	if (!protect->declared.n_patterns && !is_interrupted)
		return 0;
	if (is_interrupted && !can_write)
		return mlimg_err_refuse(err,
			"setting aside what covers protected paths was cut off: boot once in the "
			"mode normal, which ends it");
	upper = openat(user_fd, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (upper < 0)
		return mlimg_err_set(err, errno, "open 'upper'");
	mlimg_cover_read_derived(&c);
	r = cover_all(&c, upper);
	if (r == 0 && !is_unionfs && (is_interrupted || c.is_marked))
		r = mlimg_cover_renamed(&c, upper);
	/* Before it is told. */
	if (r == 0 && (is_interrupted || c.is_marked))
		r = end(user_fd, err);
	free(c.derived);
	mlimg_cleanup_close(&c.aside_fd);
	mlimg_cleanup_close(&c.markers_fd);
	return r;
}
